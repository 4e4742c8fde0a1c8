// Package deployment rolls a pod template out by way of ReplicaSets.
//
// Each template has one ReplicaSet, named <deployment>-<hash of the template>; old ones are kept at size 0 so
// that `kubectl rollout undo` can bring one back. The rules are those of Kubernetes: RollingUpdate within
// maxSurge and maxUnavailable, Recreate, pausing, proportional scaling in mid-rollout, revisions, progress
// deadline, history limit.
//
// One rule is stricter than upstream's: an old ReplicaSet's available pods count only as far as it still asks
// for them. Its status may be older than the scale-down that was just written, and upstream would take pods
// away twice then.
//
// The controller is pure; package controller runs it.
package deployment
