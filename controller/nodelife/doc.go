// Package nodelife decides what follows when a node stops renewing its lease, or reports that it is not ready.
//
// [New] marks the node's conditions Unknown 40 s after its last renewal, keeps the not-ready and unreachable taints
// in step with the Ready condition, marks the node's pods not ready, and deletes pods whose toleration of a
// NoExecute taint is absent or over. It waits by Plan.WakeAt: a renewal only moves that time.
//
// It is a value for package controller (or package sim) to run; it is pure and keeps no state but Mem.
package nodelife
