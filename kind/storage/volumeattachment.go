package storage

import (
	"math"
	"time"
	"unicode/utf8"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

const (
	maxAttachMetadata = 256 * 1024
	maxVolumeError    = 1024
)

// VolumeAttachment returns the kind VolumeAttachment.
func VolumeAttachment() *kind.Kind {
	return kind.Typed[*storagev1.VolumeAttachment]{
		ID: kind.VolumeAttachments, Version: storagev1.SchemeGroupVersion, Name: "VolumeAttachment", Singular: "volumeattachment",
		Cluster: true, RevisionRequired: true,
		New:           func() *storagev1.VolumeAttachment { return new(storagev1.VolumeAttachment) },
		NewList:       func() runtime.Object { return new(storagev1.VolumeAttachmentList) },
		ReturnDeleted: true,

		PrepareCreate: func(a *storagev1.VolumeAttachment) { a.Status = storagev1.VolumeAttachmentStatus{} },
		PrepareUpdate: func(a, old *storagev1.VolumeAttachment) { a.Status = *old.Status.DeepCopy() },

		Validate: validateAttachment,
		ValidateUpdate: func(a, old *storagev1.VolumeAttachment) field.ErrorList {
			return append(validateAttachment(a), kind.Immutable(field.NewPath("spec"), a.Spec, old.Spec)...)
		},

		// Whoever says how far it is says nothing else, not even in the metadata.
		PrepareStatus: func(a, old *storagev1.VolumeAttachment) {
			a.Spec = *old.Spec.DeepCopy()
			metav1.ResetObjectMetaForStatus(&a.ObjectMeta, old.ObjectMeta.DeepCopy())
		},
		ValidateStatus: validateAttachmentStatus,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			{Name: "Attacher", Type: "string", Format: "name", Description: "Driver that attaches the volume."},
			kind.Column("PV", "string", "Volume that is attached."),
			kind.Column("Node", "string", "Node that it is attached to."),
			kind.Column("Attached", "boolean", "Whether it is."),
			kind.AgeColumn(),
		},
		Row: func(a *storagev1.VolumeAttachment, now time.Time) []any {
			volume := ""
			if a.Spec.Source.PersistentVolumeName != nil {
				volume = *a.Spec.Source.PersistentVolumeName
			}
			return []any{a.Name, a.Spec.Attacher, volume, a.Spec.NodeName, a.Status.Attached, kind.Age(a, now)}
		},
	}.Kind()
}

func validateAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateAttacher(a.Spec.Attacher, path.Child("attacher"))
	source, name := path.Child("source"), a.Spec.Source.PersistentVolumeName
	switch inline := a.Spec.Source.InlineVolumeSpec; {
	case name == nil && inline == nil:
		errs = append(errs, field.Required(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case name != nil && inline != nil:
		errs = append(errs, field.Forbidden(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case name != nil && *name == "":
		errs = append(errs, field.Required(source.Child("persistentVolumeName"), "must specify non empty persistentVolumeName"))
	}
	if inline := a.Spec.Source.InlineVolumeSpec; inline != nil && name == nil {
		errs = append(errs, core.ValidateInlineVolumeSpec(inline, source.Child("inlineVolumeSpec"))...)
	}
	if name != nil {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*name, false) {
			errs = append(errs, field.Invalid(source.Child("persistentVolumeName"), *name, msg))
		}
	}
	for _, msg := range apivalidation.NameIsDNSSubdomain(a.Spec.NodeName, false) {
		errs = append(errs, field.Invalid(path.Child("nodeName"), a.Spec.NodeName, msg))
	}
	return errs
}

// validateAttacher checks the name of a driver as [core.ValidateDriverName] does, but in the words of upstream's declarative
// validation, which has taken over this field.
func validateAttacher(name string, path *field.Path) field.ErrorList {
	const longest = 63
	if name == "" {
		return core.ValidateDriverName(name, path)
	}
	var errs field.ErrorList
	if utf8.RuneCountInString(name) > longest {
		errs = append(errs, field.TooLongCharacters(path, name, longest))
	}
	for _, msg := range content.IsDNS1123SubdomainCaseless(name) {
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
}

func validateAttachmentStatus(a, _ *storagev1.VolumeAttachment) field.ErrorList {
	path, s := field.NewPath("status"), &a.Status
	var errs field.ErrorList
	size := 0
	for key, value := range s.AttachmentMetadata {
		size += len(key) + len(value)
	}
	if size > maxAttachMetadata {
		errs = append(errs, field.TooLong(path.Child("attachmentMetadata"), "", maxAttachMetadata))
	}
	for _, f := range []struct {
		name string
		err  *storagev1.VolumeError
	}{{"attachError", s.AttachError}, {"detachError", s.DetachError}} {
		if f.err == nil {
			continue
		}
		if len(f.err.Message) > maxVolumeError {
			errs = append(errs, field.TooLong(path.Child(f.name, "message"), "", maxAttachMetadata)) // as upstream counts
		}
		if code := f.err.ErrorCode; code != nil && *code < 0 {
			errs = append(errs, field.Invalid(path.Child(f.name, "errorCode"), *code, validation.InclusiveRangeError(0, math.MaxInt32)))
		}
	}
	return errs
}
