// Package deployment rolls a pod template out by way of ReplicaSets.
package deployment
