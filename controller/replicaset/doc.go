// Package replicaset keeps as many pods as a ReplicaSet asks for.
//
// Pods are made in numbered slots: the pod of slot i has the name plan.ChildName(<set>-, UID, i), so a create
// that is repeated after a crash makes no second pod. A slot is free when no pod of any owner and in any state
// has its name; a pod that failed is therefore replaced in another slot, and so is one that is still terminating.
// Beyond that the rules are those of Kubernetes: adoption and release by selector, the ranking of victims,
// at most 500 creations or deletions at a time, status and its ReplicaFailure condition.
//
// The controller is pure; package controller runs it.
package replicaset
