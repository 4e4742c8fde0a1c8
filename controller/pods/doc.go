// Package pods is what the workload controllers share about pods: whether one is active, ready, available;
// how one is made from a template; which of too many go first; which ones an owner claims. All of it is pure.
package pods
