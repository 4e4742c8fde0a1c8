package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// DaemonSet returns the kind DaemonSet.
func DaemonSet() *kind.Kind {
	return core.GatePods(kind.Typed[*appsv1.DaemonSet]{
		ID: kind.DaemonSets, Version: appsv1.SchemeGroupVersion, Name: "DaemonSet", Singular: "daemonset",
		ShortNames: []string{"ds"}, Categories: []string{"all"},
		New:     func() *appsv1.DaemonSet { return new(appsv1.DaemonSet) },
		NewList: func() runtime.Object { return new(appsv1.DaemonSetList) },

		Default: defaultDaemonSet,
		Counted: func(d *appsv1.DaemonSet) any { return &d.Spec },
		PrepareCreate: func(d *appsv1.DaemonSet) {
			d.Status = appsv1.DaemonSetStatus{}
			setTemplateGeneration(d, max(1, templateGeneration(d)))
		},
		PrepareUpdate: func(d, old *appsv1.DaemonSet) {
			d.Status = *old.Status.DeepCopy()
			// The template has a generation of its own, which clients of the older API versions look at.
			n := templateGeneration(old)
			if !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
				n++
			}
			setTemplateGeneration(d, n)
		},

		Validate: func(d *appsv1.DaemonSet) field.ErrorList {
			return validateDaemonSetSpec(&d.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: func(d, old *appsv1.DaemonSet) field.ErrorList {
			path := field.NewPath("spec")
			return append(validateDaemonSetSpec(&d.Spec, path),
				apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, path.Child("selector"))...)
		},
		Warnings: func(d *appsv1.DaemonSet) []string { return templateWarnings(&d.Spec.Template) },
		UpdateWarnings: func(d, old *appsv1.DaemonSet) []string {
			return updateWarnings(templateGeneration(d), templateGeneration(old), &d.Spec.Template)
		},

		PrepareStatus: func(d, old *appsv1.DaemonSet) {
			d.Spec = *old.Spec.DeepCopy()
			setTemplateGeneration(d, templateGeneration(old))
		},
		ValidateStatus: validateDaemonSetStatus,

		Columns: daemonSetColumns(),
		Row:     daemonSetRow,
	}, field.NewPath("spec", "template", "spec"), func(d *appsv1.DaemonSet) *corev1.PodSpec { return &d.Spec.Template.Spec }).Kind()
}

func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	metav1.SetMetaDataAnnotation(&d.ObjectMeta, appsv1.DeprecatedTemplateGeneration, strconv.FormatInt(n, 10))
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	spec := &d.Spec
	core.DefaultPodTemplate(&spec.Template)
	if spec.UpdateStrategy.Type == "" {
		spec.UpdateStrategy.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if spec.UpdateStrategy.RollingUpdate == nil {
			spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		r := spec.UpdateStrategy.RollingUpdate
		if r.MaxUnavailable == nil {
			r.MaxUnavailable = new(intstr.FromInt32(1))
		}
		if r.MaxSurge == nil {
			r.MaxSurge = new(intstr.FromInt32(0))
		}
	}
	if spec.RevisionHistoryLimit == nil {
		spec.RevisionHistoryLimit = new(int32(10))
	}
}

func validateDaemonSetSpec(spec *appsv1.DaemonSetSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Selector != nil { // none selects nothing, and so not the template
		errs = validateSelector(spec.Selector, "daemonset", path.Child("selector"))
	}
	errs = append(errs, core.ValidateSelectedTemplate(&spec.Template, spec.Selector, "DaemonSet", path.Child("template"))...)
	errs = append(errs, core.NonNegative(path.Child("minReadySeconds"), &spec.MinReadySeconds)...)
	errs = append(errs, validateDaemonSetStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	return append(errs, core.NonNegative(path.Child("revisionHistoryLimit"), spec.RevisionHistoryLimit)...)
}

func validateDaemonSetStrategy(s *appsv1.DaemonSetUpdateStrategy, path *field.Path) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(rolling, "")}
		}
	default:
		return field.ErrorList{field.NotSupported(path, s,
			[]appsv1.DaemonSetUpdateStrategyType{appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType})}
	}
	unavailable, surge := *s.RollingUpdate.MaxUnavailable, *s.RollingUpdate.MaxSurge
	errs := core.PositiveIntOrPercent(rolling.Child("maxUnavailable"), unavailable)
	errs = append(errs, atMostAll(rolling.Child("maxUnavailable"), unavailable)...)
	errs = append(errs, core.PositiveIntOrPercent(rolling.Child("maxSurge"), surge)...)
	errs = append(errs, atMostAll(rolling.Child("maxSurge"), surge)...)
	switch {
	case !isZero(unavailable) && !isZero(surge):
		errs = append(errs, field.Invalid(rolling.Child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"))
	case isZero(unavailable) && isZero(surge):
		errs = append(errs, field.Required(rolling.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	var errs field.ErrorList
	for _, c := range []count{
		{"currentNumberScheduled", s.CurrentNumberScheduled}, {"numberMisscheduled", s.NumberMisscheduled},
		{"desiredNumberScheduled", s.DesiredNumberScheduled}, {"numberReady", s.NumberReady},
		{"updatedNumberScheduled", s.UpdatedNumberScheduled}, {"numberAvailable", s.NumberAvailable}, {"numberUnavailable", s.NumberUnavailable},
	} {
		errs = append(errs, core.NonNegative(path.Child(c.name), &c.value)...)
	}
	errs = append(errs, core.NonNegative(path.Child("observedGeneration"), &s.ObservedGeneration)...)
	errs = append(errs, core.NonNegative(path.Child("collisionCount"), s.CollisionCount)...)
	return append(errs, neverDecremented(path.Child("collisionCount"), s.CollisionCount, old.Status.CollisionCount)...)
}

func daemonSetColumns() []metav1.TableColumnDefinition {
	return append(workloadColumns(
		kind.Column("Desired", "integer", "Nodes that should run the pod."),
		kind.Column("Current", "integer", "Nodes that should run the pod and have one."),
		kind.Column("Ready", "integer", "Nodes that should run the pod and have a ready one."),
		kind.Column("Up-to-date", "integer", "Nodes that have a pod made from the current template."),
		kind.Column("Available", "integer", "Nodes whose pod has been ready for at least minReadySeconds."),
		kind.Column("Node Selector", "string", "Labels of the nodes that should run the pod."),
	), selectorColumn())
}

func daemonSetRow(d *appsv1.DaemonSet, now time.Time) []any {
	names, images := core.ContainerCells(&d.Spec.Template.Spec)
	s := &d.Status
	return []any{
		d.Name,
		int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady), int64(s.UpdatedNumberScheduled), int64(s.NumberAvailable),
		labels.FormatLabels(d.Spec.Template.Spec.NodeSelector), kind.Age(d, now),
		names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}
