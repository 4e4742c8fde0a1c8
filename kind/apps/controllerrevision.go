package apps

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ControllerRevision returns the kind ControllerRevision: one past state of a workload, never changed.
func ControllerRevision() *kind.Kind {
	return kind.Typed[*appsv1.ControllerRevision]{
		ID: kind.ControllerRevisions, Version: appsv1.SchemeGroupVersion, Name: "ControllerRevision", Singular: "controllerrevision",
		New:     func() *appsv1.ControllerRevision { return new(appsv1.ControllerRevision) },
		NewList: func() runtime.Object { return new(appsv1.ControllerRevisionList) },

		Validate: func(r *appsv1.ControllerRevision) field.ErrorList {
			return append(validateRevision(r), validateData(r)...)
		},
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
	return apivalidation.ValidateNonnegativeField(r.Revision, field.NewPath("revision"))
}

// validateData checks that a new revision holds a JSON object.
func validateData(r *appsv1.ControllerRevision) field.ErrorList {
	path := field.NewPath("data")
	if r.Data.Raw == nil {
		if r.Data.Object != nil { // made in this process
			return nil
		}
		return field.ErrorList{field.Required(path, "data is mandatory")}
	}
	var value any
	if err := json.Unmarshal(r.Data.Raw, &value); err != nil {
		return field.ErrorList{field.Invalid(path, "<value omitted>", fmt.Sprintf("error parsing data: %v", err))}
	}
	switch value.(type) {
	case nil:
		return field.ErrorList{field.Required(path, "data is mandatory")}
	case map[string]any:
		return nil
	}
	return field.ErrorList{field.Required(path, "data must be a valid JSON object")}
}

// controllerText prints the owner as kubectl names things: "statefulset.apps/web".
func controllerText(r *appsv1.ControllerRevision) string {
	ref := metav1.GetControllerOf(r)
	if ref == nil {
		return "<none>"
	}
	of := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	return strings.ToLower(of.String()) + "/" + ref.Name
}
