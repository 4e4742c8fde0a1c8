package scheduling

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// The priorities above HighestUserDefined, and the classes whose names begin with SystemPrefix, are the system's.
const (
	HighestUserDefined int32 = 1_000_000_000
	SystemCritical     int32 = 2 * HighestUserDefined
	SystemPrefix             = "system-"

	ClusterCritical = SystemPrefix + "cluster-critical"
	NodeCritical    = SystemPrefix + "node-critical"
)

// PriorityClass returns the kind PriorityClass.
func PriorityClass() *kind.Kind {
	return kind.Typed[*schedulingv1.PriorityClass]{
		ID: kind.PriorityClasses, Version: schedulingv1.SchemeGroupVersion, Name: "PriorityClass", Singular: "priorityclass",
		ShortNames: []string{"pc"}, Cluster: true,
		New:     func() *schedulingv1.PriorityClass { return new(schedulingv1.PriorityClass) },
		NewList: func() runtime.Object { return new(schedulingv1.PriorityClassList) },

		Default: func(c *schedulingv1.PriorityClass) {
			if c.PreemptionPolicy == nil {
				c.PreemptionPolicy = new(corev1.PreemptLowerPriority)
			}
		},
		Counted:  func(c *schedulingv1.PriorityClass) any { return c.Value }, // upstream starts at generation 1, too
		Validate: validatePriorityClass,
		ValidateUpdate: func(c, old *schedulingv1.PriorityClass) field.ErrorList {
			var errs field.ErrorList
			// Pods keep the priority that they were created with, so it must not depend on when that was.
			if c.Value != old.Value {
				errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
			}
			return append(errs, apivalidation.ValidateImmutableField(c.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Value", "integer", "Priority of the pods of this class."),
			kind.Column("Global-Default", "boolean", "Whether pods that name no class get this one."),
			kind.AgeColumn(),
			kind.Column("PreemptionPolicy", "string", "Whether pods of this class push others aside."),
		},
		Row: func(c *schedulingv1.PriorityClass, now time.Time) []any {
			policy := corev1.PreemptLowerPriority
			if c.PreemptionPolicy != nil {
				policy = *c.PreemptionPolicy
			}
			return []any{c.Name, int64(c.Value), c.GlobalDefault, kind.Age(c, now), string(policy)}
		},
	}.Kind()
}

// System returns the classes that every cluster has.
func System() []*schedulingv1.PriorityClass {
	class := func(name string, value int32, description string) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{
			ObjectMeta:  metav1.ObjectMeta{Name: name},
			Value:       value,
			Description: description,
		}
	}
	return []*schedulingv1.PriorityClass{
		class(NodeCritical, SystemCritical+1000, "For pods that their node cannot do without."),
		class(ClusterCritical, SystemCritical, "For pods that the cluster cannot do without, on whichever node they run."),
	}
}

func validatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(c.Name, SystemPrefix) {
		if err := knownSystemClass(c); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), fmt.Sprintf(
				"priority class names with '%s' prefix are reserved for system use only. error: %v", SystemPrefix, err)))
		}
	} else if c.Value > HighestUserDefined {
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %d", HighestUserDefined)))
	}
	if p := c.PreemptionPolicy; p != nil {
		errs = append(errs, core.OneOf(field.NewPath("preemptionPolicy"), *p, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	return errs
}

func knownSystemClass(c *schedulingv1.PriorityClass) error {
	for _, known := range System() {
		if known.Name != c.Name {
			continue
		}
		switch {
		case known.Value != c.Value:
			return fmt.Errorf("value of %v PriorityClass must be %v", known.Name, known.Value)
		case known.GlobalDefault != c.GlobalDefault:
			return fmt.Errorf("globalDefault of %v PriorityClass must be %v", known.Name, known.GlobalDefault)
		}
		return nil
	}
	return fmt.Errorf("%v is not a known system priority class", c.Name)
}
