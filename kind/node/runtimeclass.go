package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// RuntimeClass returns the kind RuntimeClass.
func RuntimeClass() *kind.Kind {
	return kind.Typed[*nodev1.RuntimeClass]{
		ID: kind.RuntimeClasses, Version: nodev1.SchemeGroupVersion, Name: "RuntimeClass", Singular: "runtimeclass",
		Cluster: true, CreateOnUpdate: true, RevisionRequired: true,
		New:     func() *nodev1.RuntimeClass { return new(nodev1.RuntimeClass) },
		NewList: func() runtime.Object { return new(nodev1.RuntimeClassList) },

		Validate: validateRuntimeClass,
		ValidateUpdate: func(c, old *nodev1.RuntimeClass) field.ErrorList {
			return append(validateRuntimeClass(c), kind.Immutable(field.NewPath("handler"), c.Handler, old.Handler)...)
		},
		Warnings: func(c *nodev1.RuntimeClass) []string {
			if c.Scheduling == nil {
				return nil
			}
			return core.NodeSelectorWarnings(c.Scheduling.NodeSelector, func(string) *field.Path { return field.NewPath("scheduling", "nodeSelector") })
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Handler", "string", "What the node's runtime calls it."),
			kind.AgeColumn(),
		},
		Row: func(c *nodev1.RuntimeClass, now time.Time) []any { return []any{c.Name, c.Handler, kind.Age(c, now)} },
	}.Kind()
}

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	var errs field.ErrorList
	if c.Handler == "" {
		errs = append(errs, field.Required(field.NewPath("handler"), ""))
	} else {
		for _, msg := range apivalidation.NameIsDNSLabel(c.Handler, false) {
			errs = append(errs, field.Invalid(field.NewPath("handler"), c.Handler, msg))
		}
	}
	if c.Overhead != nil {
		errs = append(errs, core.ValidateResources(&corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		path := field.NewPath("scheduling")
		errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, path.Child("nodeSelector"))...)
		errs = append(errs, core.ValidateTolerations(s.Tolerations, path.Child("tolerations"))...)
		seen := make(map[corev1.Toleration]bool, len(s.Tolerations))
		for i, t := range s.Tolerations {
			key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
			if seen[key] {
				errs = append(errs, field.Duplicate(path.Child("tolerations").Index(i), t))
			}
			seen[key] = true
		}
	}
	return errs
}
