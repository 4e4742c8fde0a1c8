package apps

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// validateSelector checks the selector of a workload. An empty one would select every pod of the namespace.
func validateSelector(selector *metav1.LabelSelector, workload string, path *field.Path) field.ErrorList {
	if selector == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path)
	if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(path, selector, "empty selector is invalid for "+workload))
	}
	return errs
}

// validateSelected checks the selector of a Deployment or ReplicaSet and the template that it must select. The words
// are the same for both kinds, as upstream's are.
func validateSelected(selector *metav1.LabelSelector, template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := validateSelector(selector, "deployment", path.Child("selector"))
	if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
		return append(errs, field.Invalid(path.Child("selector"), selector, "invalid label selector"))
	}
	return append(errs, core.ValidateSelectedTemplate(template, selector, "ReplicaSet", path.Child("template"))...)
}

// templateWarnings are those of a workload's pod template.
func templateWarnings(template *corev1.PodTemplateSpec) []string {
	return core.PodTemplateWarnings(template, field.NewPath("spec", "template"))
}

// updateWarnings are templateWarnings, unless the generation has stayed: who leaves a template alone has been warned.
func updateWarnings(generation, old int64, template *corev1.PodTemplateSpec) []string {
	if generation == old {
		return nil
	}
	return templateWarnings(template)
}

// neverDecremented checks the number of times that a controller met a foreign object under a name of its choice.
func neverDecremented(path *field.Path, count, old *int32) field.ErrorList {
	if old == nil || count != nil && *count >= *old {
		return nil
	}
	return field.ErrorList{field.Invalid(path, number(count), "cannot be decremented")}
}

// count is a number in a status, with its field's name.
type count struct {
	name  string
	value int32
}

// validateCounts checks that counts are not negative, and that the first is the greatest.
func validateCounts(path *field.Path, total count, parts ...count) field.ErrorList {
	errs := apivalidation.ValidateNonnegativeField(int64(total.value), path.Child(total.name))
	for _, c := range parts {
		errs = append(errs, apivalidation.ValidateNonnegativeField(int64(c.value), path.Child(c.name))...)
		if c.value > total.value {
			errs = append(errs, field.Invalid(path.Child(c.name), c.value, "cannot be greater than status."+total.name))
		}
	}
	return errs
}

// selectorText prints a selector as the scale subresource and tables show it.
func selectorText(selector *metav1.LabelSelector) string {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return "<error>"
	}
	return s.String()
}

func workloadColumns(middle ...metav1.TableColumnDefinition) []metav1.TableColumnDefinition {
	columns := append([]metav1.TableColumnDefinition{kind.NameColumn()}, middle...)
	return append(columns, kind.AgeColumn(),
		kind.WideColumn("Containers", "string", "Names of the containers in the pod template."),
		kind.WideColumn("Images", "string", "Images of the containers in the pod template."))
}

func selectorColumn() metav1.TableColumnDefinition {
	return kind.WideColumn("Selector", "string", "Labels that a pod must have to belong to this object.")
}

func number(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
