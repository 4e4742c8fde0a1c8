// Package events writes core/v1 Events: what a part of Sampan did or waits for, about an object.
//
// A [Recorder] takes an [Event] without ever blocking, and its goroutine writes it to the API server. An
// Event is an aid for people: when the queue is full, or the API server refuses, it is dropped and counted,
// and nothing fails.
//
// The rules of what is written are those of Kubernetes (client-go's EventCorrelator) and live in the pure
// [Correlator]: the same event again raises a count, ten similar ones within ten minutes are combined, and
// one object gets at most 25 events in a burst and one every five minutes after that.
package events

import (
	"k8s.io/apimachinery/pkg/types"

	"sampan/view"
)

// Event is something that happened to an object.
type Event struct {
	About view.Key
	UID   types.UID // of the object
	// Revision is the object's resourceVersion, "" if it does not matter.
	Revision string
	// FieldPath names a part of the object: "spec.containers{web}"; "" for all of it.
	FieldPath string

	Component string // that reports: "replicaset-controller", "default-scheduler", "kubelet"
	Host      string // on which it runs, "" for the control plane

	Warning bool   // type Warning rather than Normal
	Reason  string // CamelCase: "SuccessfulCreate"
	Message string
}
