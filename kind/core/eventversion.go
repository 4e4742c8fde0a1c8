package core

import (
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// eventVersion is events.k8s.io/v1, the newer form of the same objects (KEP-383): other names for the same fields.
func eventVersion() kind.Version {
	return kind.Version{
		ID: "events.events.k8s.io", GVK: eventsv1.SchemeGroupVersion.WithKind("Event"),
		New:     func() kind.Object { return new(eventsv1.Event) },
		NewList: func() runtime.Object { return new(eventsv1.EventList) },

		Shown:    func(obj kind.Object) kind.Object { return newerEvent(obj.(*corev1.Event)) },
		Stored:   func(obj kind.Object) kind.Object { return olderEvent(obj.(*eventsv1.Event)) },
		Validate: func(obj kind.Object) field.ErrorList { return validateNewerEvent(obj.(*eventsv1.Event)) },
		ValidateUpdate: func(obj, old kind.Object) field.ErrorList {
			return validateNewerEventUpdate(obj.(*corev1.Event), old.(*corev1.Event))
		},
		Field: newerEventField,
	}
}

func newerEvent(e *corev1.Event) *eventsv1.Event {
	out := &eventsv1.Event{
		ObjectMeta:               e.ObjectMeta,
		EventTime:                e.EventTime,
		ReportingController:      e.ReportingController,
		ReportingInstance:        e.ReportingInstance,
		Action:                   e.Action,
		Reason:                   e.Reason,
		Regarding:                e.InvolvedObject,
		Related:                  e.Related,
		Note:                     e.Message,
		Type:                     e.Type,
		DeprecatedSource:         e.Source,
		DeprecatedFirstTimestamp: e.FirstTimestamp,
		DeprecatedLastTimestamp:  e.LastTimestamp,
		DeprecatedCount:          e.Count,
	}
	if s := e.Series; s != nil {
		out.Series = &eventsv1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return out
}

func olderEvent(e *eventsv1.Event) *corev1.Event {
	out := &corev1.Event{
		ObjectMeta:          e.ObjectMeta,
		EventTime:           e.EventTime,
		ReportingController: e.ReportingController,
		ReportingInstance:   e.ReportingInstance,
		Action:              e.Action,
		Reason:              e.Reason,
		InvolvedObject:      e.Regarding,
		Related:             e.Related,
		Message:             e.Note,
		Type:                e.Type,
		Source:              e.DeprecatedSource,
		FirstTimestamp:      e.DeprecatedFirstTimestamp,
		LastTimestamp:       e.DeprecatedLastTimestamp,
		Count:               e.DeprecatedCount,
	}
	if s := e.Series; s != nil {
		out.Series = &corev1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return out
}

// validateNewerEvent holds writers of the newer form to its fields; the paths are those of the older, as upstream's are.
func validateNewerEvent(e *eventsv1.Event) field.ErrorList {
	var errs field.ErrorList
	if e.Name != "" {
		errs = invalids(field.NewPath("metadata", "name"), e.Name, validation.IsDNS1123Subdomain(e.Name))
	}
	if s := e.Series; s != nil {
		errs = append(errs, validateSeries(s.Count, s.LastObservedTime)...)
	}
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	} else {
		errs = append(errs, validateReporter(e.ReportingController, field.NewPath("reportingController"))...)
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), "", "has invalid value: "+e.Type))
	}
	if e.DeprecatedFirstTimestamp != (metav1.Time{}) {
		errs = append(errs, field.Invalid(field.NewPath("firstTimestamp"), "", "needs to be unset"))
	}
	if e.DeprecatedLastTimestamp != (metav1.Time{}) {
		errs = append(errs, field.Invalid(field.NewPath("lastTimestamp"), "", "needs to be unset"))
	}
	if e.DeprecatedCount != 0 {
		errs = append(errs, field.Invalid(field.NewPath("count"), "", "needs to be unset"))
	}
	if e.DeprecatedSource != (corev1.EventSource{}) {
		errs = append(errs, field.Invalid(field.NewPath("source"), "", "needs to be unset"))
	}
	return errs
}

func validateSeries(count int32, last metav1.MicroTime) field.ErrorList {
	var errs field.ErrorList
	if count < 2 {
		errs = append(errs, field.Invalid(field.NewPath("series.count"), "", "should be at least 2"))
	}
	if last.IsZero() {
		errs = append(errs, field.Required(field.NewPath("series.lastObservedTime"), ""))
	}
	return errs
}

// validateNewerEventUpdate lets an event be repeated, and nothing else about it change.
func validateNewerEventUpdate(e, old *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	if s := e.Series; s != nil && !equality.Semantic.DeepEqual(s, old.Series) {
		errs = validateSeries(s.Count, s.LastObservedTime)
	}
	for _, f := range []struct {
		name    string
		is, was any
	}{
		{"involvedObject", e.InvolvedObject, old.InvolvedObject},
		{"reason", e.Reason, old.Reason},
		{"message", e.Message, old.Message},
		{"source", e.Source, old.Source},
		{"firstTimestamp", e.FirstTimestamp, old.FirstTimestamp},
		{"lastTimestamp", e.LastTimestamp, old.LastTimestamp},
		{"count", e.Count, old.Count},
		{"type", e.Type, old.Type},
		{"eventTime", e.EventTime, old.EventTime},
		{"action", e.Action, old.Action},
		{"related", e.Related, old.Related},
		{"reportingController", e.ReportingController, old.ReportingController},
		{"reportingInstance", e.ReportingInstance, old.ReportingInstance},
	} {
		errs = append(errs, apivalidation.ValidateImmutableField(f.is, f.was, field.NewPath(f.name))...)
	}
	return errs
}

func newerEventField(name string) string {
	switch name {
	case "reason", "type", "metadata.name", "metadata.namespace":
		return name
	case "reportingController":
		return "reportingComponent"
	case "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
		"regarding.resourceVersion", "regarding.fieldPath":
		return "involvedObject" + name[len("regarding"):]
	}
	return ""
}
