package core

import (
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ReplicationController returns the kind ReplicationController, the older form of ReplicaSet.
func ReplicationController() *kind.Kind {
	return GatePods(kind.Typed[*corev1.ReplicationController]{
		ID: kind.ReplicationControllers, Version: corev1.SchemeGroupVersion, Name: "ReplicationController", Singular: "replicationcontroller",
		ShortNames: []string{"rc"}, Categories: []string{"all"},
		New:     func() *corev1.ReplicationController { return new(corev1.ReplicationController) },
		NewList: func() runtime.Object { return new(corev1.ReplicationControllerList) },

		Default:       defaultReplicationController,
		Counted:       func(rc *corev1.ReplicationController) any { return &rc.Spec },
		PrepareCreate: func(rc *corev1.ReplicationController) { rc.Status = corev1.ReplicationControllerStatus{} },
		PrepareUpdate: func(rc, old *corev1.ReplicationController) { rc.Status = *old.Status.DeepCopy() },

		Validate:       validateReplicationController,
		ValidateUpdate: func(rc, _ *corev1.ReplicationController) field.ErrorList { return validateReplicationController(rc) },
		Warnings: func(rc *corev1.ReplicationController) []string {
			return append(HostNameWarnings(rc.Name), templateWarnings(rc)...)
		},
		UpdateWarnings: func(rc, old *corev1.ReplicationController) []string {
			if rc.Generation == old.Generation {
				return nil
			}
			return templateWarnings(rc)
		},

		PrepareStatus:  func(rc, old *corev1.ReplicationController) { rc.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateReplicationControllerStatus,

		Scale: &kind.TypedScale[*corev1.ReplicationController]{
			Get: func(rc *corev1.ReplicationController) (int32, int32, string) {
				return replicasOf(rc), rc.Status.Replicas, labels.Set(rc.Spec.Selector).String()
			},
			Set: func(rc *corev1.ReplicationController, replicas int32) { rc.Spec.Replicas = &replicas },
		},

		OrphanByDefault: true,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Desired", "integer", "Pods wanted."),
			kind.Column("Current", "integer", "Pods that exist."),
			kind.Column("Ready", "integer", "Pods that are ready."),
			kind.AgeColumn(),
			kind.WideColumn("Containers", "string", "Names of the containers in the pod template."),
			kind.WideColumn("Images", "string", "Images of the containers in the pod template."),
			kind.WideColumn("Selector", "string", "Labels that a pod must have to belong to this object."),
		},
		Row: func(rc *corev1.ReplicationController, now time.Time) []any {
			var names, images string
			if rc.Spec.Template != nil {
				names, images = ContainerCells(&rc.Spec.Template.Spec)
			}
			return []any{rc.Name, int64(replicasOf(rc)), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas), kind.Age(rc, now),
				names, images, labels.FormatLabels(rc.Spec.Selector)}
		},
		Fields: func(rc *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		},
	}, field.NewPath("spec", "template", "spec"), func(rc *corev1.ReplicationController) *corev1.PodSpec {
		if rc.Spec.Template == nil {
			return nil
		}
		return &rc.Spec.Template.Spec
	}).Kind()
}

func templateWarnings(rc *corev1.ReplicationController) []string {
	if rc.Spec.Template == nil {
		return nil
	}
	return PodTemplateWarnings(rc.Spec.Template, field.NewPath("spec", "template"))
}

func replicasOf(rc *corev1.ReplicationController) int32 {
	if rc.Spec.Replicas == nil {
		return 0
	}
	return *rc.Spec.Replicas
}

// defaultReplicationController takes the selector and the labels from the template, where they are not written.
func defaultReplicationController(rc *corev1.ReplicationController) {
	if t := rc.Spec.Template; t != nil {
		DefaultPodTemplate(t)
		if len(rc.Spec.Selector) == 0 {
			rc.Spec.Selector = maps.Clone(t.Labels)
		}
		if len(rc.Labels) == 0 {
			rc.Labels = maps.Clone(t.Labels)
		}
	}
	if rc.Spec.Replicas == nil {
		rc.Spec.Replicas = new(int32(1))
	}
}

func validateReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	path, spec := field.NewPath("spec"), &rc.Spec
	errs := NonNegative(path.Child("minReadySeconds"), &spec.MinReadySeconds)
	if len(spec.Selector) == 0 {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	errs = append(errs, NonNegative(path.Child("replicas"), spec.Replicas)...)
	if spec.Template == nil {
		return append(errs, field.Required(path.Child("template"), ""))
	}
	selector := &metav1.LabelSelector{MatchLabels: spec.Selector}
	return append(errs, ValidateSelectedTemplate(spec.Template, selector, "ReplicationController", path.Child("template"))...)
}

func validateReplicationControllerStatus(rc, _ *corev1.ReplicationController) field.ErrorList {
	path, s := field.NewPath("status"), &rc.Status
	var errs field.ErrorList
	for _, c := range []struct {
		name  string
		value int32
	}{{"replicas", s.Replicas}, {"fullyLabeledReplicas", s.FullyLabeledReplicas}, {"readyReplicas", s.ReadyReplicas}, {"availableReplicas", s.AvailableReplicas}} {
		errs = append(errs, apivalidation.ValidateNonnegativeField(int64(c.value), path.Child(c.name))...)
		if c.value > s.Replicas {
			errs = append(errs, field.Invalid(path.Child(c.name), c.value, "cannot be greater than status.replicas"))
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return append(errs, apivalidation.ValidateNonnegativeField(s.ObservedGeneration, path.Child("observedGeneration"))...)
}
