// Package core holds the kinds of the core API group (v1): defaults, validation, printing and subresources,
// a file per kind. The rules of a pod's specification are in files of their own, since every workload's pod
// template has them too; other groups use them through DefaultPodTemplate and ValidatePodTemplate.
//
// Everything is pure and safe for concurrent use. Rules, texts and field paths are those that the
// Kubernetes API documents for v1.37, so that users meet the errors that they know.
package core
