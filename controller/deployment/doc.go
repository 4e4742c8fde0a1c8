// Package deployment rolls a pod template out by way of ReplicaSets.
//
// Each template has one ReplicaSet, named <deployment>-<hash of the template>; old ones are kept at size 0 so
// that `kubectl rollout undo` can bring one back. The rules are those of Kubernetes: RollingUpdate within
// maxSurge and maxUnavailable, Recreate, pausing, proportional scaling in mid-rollout, revisions, progress
// deadline, history limit.
//
// One rule is stricter than upstream's, so that the budget holds for pods and not only for the sizes that the
// sets ask for: a rollout takes its next step only when every set has observed its last size. Until then a
// set's status may be older than its last scale-down, and upstream would take pods away twice, or add new ones
// beside old ones that are not gone yet.
//
// The controller is pure; package controller runs it.
package deployment
