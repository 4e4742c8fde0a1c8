package core

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Event returns the kind Event.
func Event() *kind.Kind {
	return kind.Typed[*corev1.Event]{
		ID: kind.Events, Version: corev1.SchemeGroupVersion, Name: "Event", Singular: "event",
		ShortNames:     []string{"ev"},
		CreateOnUpdate: true,
		New:            func() *corev1.Event { return new(corev1.Event) },
		NewList:        func() runtime.Object { return new(corev1.EventList) },

		NoDependents: true,

		// Names follow those of objects, some of which are no domain names.
		ValidateName:   pathSegment,
		Validate:       validateEvent,
		ValidateUpdate: func(e, _ *corev1.Event) field.ErrorList { return validateEvent(e) },

		Columns: []metav1.TableColumnDefinition{
			kind.Column("Last Seen", "string", "Time since it last happened."),
			kind.Column("Type", "string", "Normal or Warning."),
			kind.Column("Reason", "string", "What happened, in one word."),
			kind.Column("Object", "string", "Object that it happened to."),
			kind.WideColumn("Subobject", "string", "Part of that object, such as a container."),
			kind.WideColumn("Source", "string", "Who says so."),
			kind.Column("Message", "string", "What happened, for people."),
			kind.WideColumn("First Seen", "string", "Time since it first happened."),
			kind.WideColumn("Count", "string", "How often it happened."),
			func() metav1.TableColumnDefinition { c := kind.NameColumn(); c.Priority = 1; return c }(),
		},
		Row:      eventRow,
		Fields:   eventFields,
		Versions: []kind.Version{eventVersion()},
	}.Kind()
}

func pathSegment(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}

// validateEvent holds events of the older form to the namespace of their object, and those of the newer
// (eventTime set, KEP-383) to its required fields too.
func validateEvent(e *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	ns, path := e.InvolvedObject.Namespace, field.NewPath("involvedObject", "namespace")
	const mismatch = "does not match event.namespace"
	if e.EventTime.IsZero() {
		if ns != e.Namespace && !(ns == "" && e.Namespace == metav1.NamespaceDefault) {
			errs = append(errs, field.Invalid(path, ns, mismatch))
		}
		return errs
	}
	if ns == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		errs = append(errs, field.Invalid(path, ns, mismatch))
	}
	errs = append(errs, validateReporter(e.ReportingController, field.NewPath("reportingComponent"))...)
	for _, f := range []struct {
		name, value string
		max         int
		required    bool
	}{
		{"reportingInstance", e.ReportingInstance, 128, true},
		{"action", e.Action, 128, true},
		{"reason", e.Reason, 128, true},
		{"message", e.Message, 1024, false},
	} {
		switch {
		case f.required && f.value == "":
			errs = append(errs, field.Required(field.NewPath(f.name), ""))
		case len(f.value) > f.max:
			errs = append(errs, field.Invalid(field.NewPath(f.name), "", fmt.Sprintf("can have at most %d characters", f.max)))
		}
	}
	return errs
}

// validateReporter checks the name of the controller that reports an event. Its field is called otherwise in each version.
func validateReporter(name string, path *field.Path) field.ErrorList {
	return append(required(path, name), qualifiedName(path, name)...)
}

func eventRow(e *corev1.Event, now time.Time) []any {
	first := e.FirstTimestamp
	if first.IsZero() {
		first = metav1.Time(e.EventTime)
	}
	last := e.LastTimestamp
	if last.IsZero() {
		last = first
	}
	count := e.Count
	switch {
	case e.Series != nil:
		last, count = metav1.Time(e.Series.LastObservedTime), e.Series.Count
	case count == 0:
		count = 1 // events of the newer form count only when they repeat
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{kind.Since(last, now), e.Type, e.Reason, object, e.InvolvedObject.FieldPath, eventSource(e),
		strings.TrimSpace(e.Message), kind.Since(first, now), int64(count), e.Name}
}

func eventSource(e *corev1.Event) string {
	component, host := e.Source.Component, e.Source.Host
	if component == "" {
		component = e.ReportingController
	}
	if host == "" {
		host = e.ReportingInstance
	}
	if host != "" {
		return component + ", " + host
	}
	return component
}

func eventFields(e *corev1.Event) fields.Set {
	source := e.Source.Component
	if source == "" {
		source = e.ReportingController
	}
	o := e.InvolvedObject
	return fields.Set{
		"involvedObject.kind":            o.Kind,
		"involvedObject.namespace":       o.Namespace,
		"involvedObject.name":            o.Name,
		"involvedObject.uid":             string(o.UID),
		"involvedObject.apiVersion":      o.APIVersion,
		"involvedObject.resourceVersion": o.ResourceVersion,
		"involvedObject.fieldPath":       o.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         source,
		"type":                           e.Type,
	}
}
