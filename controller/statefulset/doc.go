// Package statefulset keeps pods that have an identity: an ordinal, a name, a place in DNS, claims.
//
// The rules are those of Kubernetes: pods <set>-<ordinal>, made from the lowest ordinal up, each when those
// below it are ready (OrderedReady) or all at once (Parallel), and removed from the highest down; one claim
// per template and ordinal, which outlives the pod; RollingUpdate from the highest ordinal down to the
// partition, at most maxUnavailable at a time, or OnDelete; revisions kept as ControllerRevisions, whose
// patches kubectl rollout history and undo understand.
//
// Beyond upstream (its issue 67250): a pod that is not ready and has an old revision is replaced when its turn
// comes instead of being waited for, so a rollout that is stuck on a broken template recovers by itself when the
// template is corrected.
//
// The controller is pure; package controller runs it.
package statefulset
