package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// PodTemplate returns the kind PodTemplate.
func PodTemplate() *kind.Kind {
	return GatePods(kind.Typed[*corev1.PodTemplate]{
		ID: kind.PodTemplates, Version: corev1.SchemeGroupVersion, Name: "PodTemplate", Singular: "podtemplate",
		New:           func() *corev1.PodTemplate { return new(corev1.PodTemplate) },
		NewList:       func() runtime.Object { return new(corev1.PodTemplateList) },
		ReturnDeleted: true,

		Default: func(t *corev1.PodTemplate) { DefaultPodTemplate(&t.Template) },
		Counted: func(t *corev1.PodTemplate) any { return &t.Template },

		Validate: func(t *corev1.PodTemplate) field.ErrorList {
			return ValidatePodTemplate(&t.Template, field.NewPath("template"))
		},
		ValidateUpdate: func(t, _ *corev1.PodTemplate) field.ErrorList {
			return ValidatePodTemplate(&t.Template, field.NewPath("template"))
		},
		Warnings: func(t *corev1.PodTemplate) []string {
			return PodTemplateWarnings(&t.Template, field.NewPath("template"))
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Containers", "string", "Names of the containers in the template."),
			kind.Column("Images", "string", "Images of the containers in the template."),
			kind.Column("Pod Labels", "string", "Labels of the pods that are made from the template."),
		},
		Row: func(t *corev1.PodTemplate, _ time.Time) []any {
			names, images := ContainerCells(&t.Template.Spec)
			return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
		},
	}, field.NewPath("template", "spec"), func(t *corev1.PodTemplate) *corev1.PodSpec { return &t.Template.Spec }).Kind()
}
