package apps

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// Deployment returns the kind Deployment.
func Deployment() *kind.Kind {
	return core.GatePods(kind.Typed[*appsv1.Deployment]{
		ID: kind.Deployments, Version: appsv1.SchemeGroupVersion, Name: "Deployment", Singular: "deployment",
		ShortNames: []string{"deploy"}, Categories: []string{"all"},
		New:     func() *appsv1.Deployment { return new(appsv1.Deployment) },
		NewList: func() runtime.Object { return new(appsv1.DeploymentList) },

		Default: defaultDeployment,
		Counted: func(d *appsv1.Deployment) any {
			// Annotations count too: kubectl and the controller keep the rollout's state there.
			return struct {
				Spec        *appsv1.DeploymentSpec
				Annotations map[string]string
			}{&d.Spec, d.Annotations}
		},
		PrepareCreate: func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{} },
		PrepareUpdate: func(d, old *appsv1.Deployment) { d.Status = *old.Status.DeepCopy() },

		Validate: func(d *appsv1.Deployment) field.ErrorList {
			return validateDeploymentSpec(&d.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: func(d, old *appsv1.Deployment) field.ErrorList {
			path := field.NewPath("spec")
			return append(validateDeploymentSpec(&d.Spec, path),
				apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, path.Child("selector"))...)
		},

		Warnings: func(d *appsv1.Deployment) []string {
			return append(core.HostNameWarnings(d.Name), templateWarnings(&d.Spec.Template)...)
		},
		UpdateWarnings: func(d, old *appsv1.Deployment) []string {
			return updateWarnings(d.Generation, old.Generation, &d.Spec.Template)
		},

		PrepareStatus: func(d, old *appsv1.Deployment) {
			d.Spec = *old.Spec.DeepCopy()
			d.Labels = old.DeepCopy().Labels
		},
		ValidateStatus: validateDeploymentStatus,

		Scale: &kind.TypedScale[*appsv1.Deployment]{
			Get: func(d *appsv1.Deployment) (int32, int32, string) {
				return number(d.Spec.Replicas), d.Status.Replicas, selectorText(d.Spec.Selector)
			},
			Set: func(d *appsv1.Deployment, replicas int32) { d.Spec.Replicas = &replicas },
		},

		Columns: append(workloadColumns(
			kind.Column("Ready", "string", "Pods that are ready, of those wanted."),
			kind.Column("Up-to-date", "string", "Pods made from the current template."),
			kind.Column("Available", "string", "Pods that have been ready for at least minReadySeconds."),
		), selectorColumn()),
		Row: deploymentRow,
	}, field.NewPath("spec", "template", "spec"), func(d *appsv1.Deployment) *corev1.PodSpec { return &d.Spec.Template.Spec }).Kind()
}

func defaultDeployment(d *appsv1.Deployment) {
	spec := &d.Spec
	core.DefaultPodTemplate(&spec.Template)
	if spec.Replicas == nil {
		spec.Replicas = new(int32(1))
	}
	if spec.Strategy.Type == "" {
		spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if spec.Strategy.RollingUpdate == nil {
			spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		r := spec.Strategy.RollingUpdate
		if r.MaxUnavailable == nil {
			r.MaxUnavailable = new(intstr.FromString("25%"))
		}
		if r.MaxSurge == nil {
			r.MaxSurge = new(intstr.FromString("25%"))
		}
	}
	if spec.RevisionHistoryLimit == nil {
		spec.RevisionHistoryLimit = new(int32(10))
	}
	if spec.ProgressDeadlineSeconds == nil {
		spec.ProgressDeadlineSeconds = new(int32(600))
	}
}

func validateDeploymentSpec(spec *appsv1.DeploymentSpec, path *field.Path) field.ErrorList {
	errs := core.NonNegative(path.Child("replicas"), spec.Replicas)
	errs = append(errs, validateSelected(spec.Selector, &spec.Template, path)...)
	errs = append(errs, validateStrategy(&spec.Strategy, path.Child("strategy"))...)
	errs = append(errs, core.NonNegative(path.Child("minReadySeconds"), &spec.MinReadySeconds)...)
	errs = append(errs, core.NonNegative(path.Child("revisionHistoryLimit"), spec.RevisionHistoryLimit)...)
	if deadline := spec.ProgressDeadlineSeconds; deadline != nil {
		errs = append(errs, core.NonNegative(path.Child("progressDeadlineSeconds"), deadline)...)
		if *deadline <= spec.MinReadySeconds {
			errs = append(errs, field.Invalid(path.Child("progressDeadlineSeconds"), *deadline, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateStrategy(s *appsv1.DeploymentStrategy, path *field.Path) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be specified when strategy `type` is '"+string(s.Type)+"'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(rolling, "this should be defaulted and never be nil")}
		}
	default:
		return field.ErrorList{field.NotSupported(path, s,
			[]appsv1.DeploymentStrategyType{appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
	}
	unavailable, surge := *s.RollingUpdate.MaxUnavailable, *s.RollingUpdate.MaxSurge
	errs := core.PositiveIntOrPercent(rolling.Child("maxUnavailable"), unavailable)
	errs = append(errs, core.PositiveIntOrPercent(rolling.Child("maxSurge"), surge)...)
	if isZero(unavailable) && isZero(surge) {
		errs = append(errs, field.Invalid(rolling.Child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, atMostAll(rolling.Child("maxUnavailable"), unavailable)...)
}

// isZero says whether a number of pods is none. What is no number is none, too, and refused elsewhere.
func isZero(v intstr.IntOrString) bool {
	if v.Type == intstr.String && len(validation.IsValidPercent(v.StrVal)) == 0 {
		return strings.Trim(v.StrVal, "0") == "%"
	}
	return v.IntValue() == 0
}

func atMostAll(path *field.Path, v intstr.IntOrString) field.ErrorList {
	if percent, ok := strings.CutSuffix(v.StrVal, "%"); ok && v.Type == intstr.String {
		if n, err := strconv.Atoi(percent); err == nil && n > 100 {
			return field.ErrorList{field.Invalid(path, v, "must not be greater than 100%")}
		}
	}
	return nil
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	errs := validateCounts(path, count{"replicas", s.Replicas},
		count{"updatedReplicas", s.UpdatedReplicas}, count{"readyReplicas", s.ReadyReplicas}, count{"availableReplicas", s.AvailableReplicas})
	errs = append(errs, apivalidation.ValidateNonnegativeField(s.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, core.NonNegative(path.Child("unavailableReplicas"), &s.UnavailableReplicas)...)
	errs = append(errs, core.NonNegative(path.Child("terminatingReplicas"), s.TerminatingReplicas)...)
	errs = append(errs, core.NonNegative(path.Child("collisionCount"), s.CollisionCount)...)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return append(errs, neverDecremented(path.Child("collisionCount"), s.CollisionCount, old.Status.CollisionCount)...)
}

func deploymentRow(d *appsv1.Deployment, now time.Time) []any {
	names, images := core.ContainerCells(&d.Spec.Template.Spec)
	selector := "<invalid>"
	if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil {
		selector = s.String()
	}
	return []any{
		d.Name,
		fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, number(d.Spec.Replicas)),
		int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas),
		kind.Age(d, now),
		names, images, selector,
	}
}
