package events

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

// name returns the name of the Event object: that of the object it is about and sixteen digits that differ
// between events. They come from the event and the time, so that a replay gives the same names.
func name(e Event, now time.Time) string {
	h := fnv.New64a()
	for _, s := range []string{string(e.UID), e.FieldPath, e.Component, e.Host, e.Reason, e.Message} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	fmt.Fprint(h, now.UnixNano(), e.Warning)
	base := e.About.Name
	if len(base) > 200 { // a name has at most 253 characters
		base = base[:200]
	}
	return fmt.Sprintf("%s.%016x", base, h.Sum64())
}

// namespace returns where events about the object live: beside it, or in "default" if it has no namespace.
func namespace(e Event) string {
	if e.About.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return e.About.Namespace
}

// object builds the Event object.
func (w Written) object(k *kind.Kind) *corev1.Event {
	e := w.Event
	eventType := corev1.EventTypeNormal
	if e.Warning {
		eventType = corev1.EventTypeWarning
	}
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: namespace(e)},
		InvolvedObject: corev1.ObjectReference{
			Kind:            k.GVK.Kind,
			APIVersion:      k.GVK.GroupVersion().String(),
			Namespace:       e.About.Namespace,
			Name:            e.About.Name,
			UID:             e.UID,
			ResourceVersion: e.Revision,
			FieldPath:       e.FieldPath,
		},
		Reason:              e.Reason,
		Message:             e.Message,
		Source:              corev1.EventSource{Component: e.Component, Host: e.Host},
		FirstTimestamp:      seconds(w.First),
		LastTimestamp:       seconds(w.Last),
		Count:               w.Count,
		Type:                eventType,
		ReportingController: e.Component,
		ReportingInstance:   e.Host,
	}
}

// patch returns the merge patch that brings an Event object written before to w.
func (w Written) patch() ([]byte, error) {
	return json.Marshal(map[string]any{
		"count":         w.Count,
		"lastTimestamp": seconds(w.Last),
		"message":       w.Event.Message,
	})
}

// seconds is a time as it comes back from a client: API times have no fractions.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
