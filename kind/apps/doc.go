// Package apps holds the kinds of the API group apps/v1: Deployment, ReplicaSet, StatefulSet, DaemonSet and
// ControllerRevision. Everything is pure and safe for concurrent use.
package apps
