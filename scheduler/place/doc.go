// Package place decides on which node a pod runs: filter, score, explain.
//
// A [Cluster] is the scheduler's account of the nodes: what each offers and what its pods take. It is kept up to
// date change by change, so a decision costs one pass over the nodes and never a pass over all pods.
// [Cluster.Decide] returns the best node, or says per reason how many nodes do not fit, in upstream's words.
//
// The package is pure: no clock, no randomness, no goroutine. A Cluster belongs to one goroutine. Equal histories give
// equal decisions; ties between nodes are broken by the pod's UID, so that equal nodes share the load.
package place
