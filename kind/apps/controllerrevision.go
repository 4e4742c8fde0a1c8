package apps

import (
	"encoding/json"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ControllerRevision returns the kind ControllerRevision: one past state of a workload, never changed.
func ControllerRevision() *kind.Kind {
	return kind.Typed[*appsv1.ControllerRevision]{
		ID: kind.ControllerRevisions, Version: appsv1.SchemeGroupVersion, Name: "ControllerRevision", Singular: "controllerrevision",
		New:     func() *appsv1.ControllerRevision { return new(appsv1.ControllerRevision) },
		NewList: func() runtime.Object { return new(appsv1.ControllerRevisionList) },

		Validate: validateRevision,
		ValidateUpdate: func(r, old *appsv1.ControllerRevision) field.ErrorList {
			return append(validateRevision(r), apivalidation.ValidateImmutableField(r.Data, old.Data, field.NewPath("data"))...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Controller", "string", "Workload whose past state this is."),
			kind.Column("Revision", "string", "Number of the state, rising with time."),
			kind.AgeColumn(),
		},
		Row: func(r *appsv1.ControllerRevision, now time.Time) []any {
			return []any{r.Name, controllerText(r), r.Revision, kind.Age(r, now)}
		},
	}.Kind()
}

func validateRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := apivalidation.ValidateNonnegativeField(r.Revision, field.NewPath("revision"))
	if r.Data.Raw == nil && r.Data.Object == nil {
		return append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	}
	if r.Data.Raw != nil {
		var object map[string]any
		if err := json.Unmarshal(r.Data.Raw, &object); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("data"), "", "error parsing data: "+err.Error()))
		} else if object == nil {
			errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
		}
	}
	return errs
}

// controllerText prints the owner as kubectl names things: "statefulset.apps/web".
func controllerText(r *appsv1.ControllerRevision) string {
	ref := metav1.GetControllerOf(r)
	if ref == nil {
		return "<none>"
	}
	name := strings.ToLower(ref.Kind)
	if group, _, ok := strings.Cut(ref.APIVersion, "/"); ok {
		name += "." + group
	}
	return name + "/" + ref.Name
}
