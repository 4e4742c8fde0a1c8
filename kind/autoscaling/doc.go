// Package autoscaling holds the kinds of the API group autoscaling: HorizontalPodAutoscaler, stored as v2 and served as
// v1 too. Everything is pure and safe for concurrent use.
package autoscaling
