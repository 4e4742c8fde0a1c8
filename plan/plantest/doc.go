// Package plantest is what the tests of pure decisions share: a cluster in memory that plans are applied to,
// plans as text, and the properties that every controller must have.
//
// A [Cluster] is the least API server that a plan needs: it gives UIDs, revisions and generations, checks
// preconditions, keeps finalizers. It has no admission, defaults or validation.
package plantest
