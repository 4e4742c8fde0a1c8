package storage

import (
	"fmt"
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

const (
	minTokenSeconds     = 600
	maxTokenSeconds     = 1 << 32
	minAllocatablePause = 10 // seconds
)

// CSIDriver returns the kind CSIDriver.
func CSIDriver() *kind.Kind {
	return kind.Typed[*storagev1.CSIDriver]{
		ID: kind.CSIDrivers, Version: storagev1.SchemeGroupVersion, Name: "CSIDriver", Singular: "csidriver",
		Cluster: true, RevisionRequired: true,
		New:           func() *storagev1.CSIDriver { return new(storagev1.CSIDriver) },
		NewList:       func() runtime.Object { return new(storagev1.CSIDriverList) },
		ReturnDeleted: true,

		Default: defaultDriver,
		Counted: func(d *storagev1.CSIDriver) any { return &d.Spec },
		// Upstream counts the changes only.
		PrepareCreate:  func(d *storagev1.CSIDriver) { d.Generation = 0 },
		Validate:       validateDriver,
		ValidateUpdate: validateDriverUpdate,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("AttachRequired", "boolean", "Whether volumes are attached to a node before they are mounted."),
			kind.Column("PodInfoOnMount", "boolean", "Whether the driver is told which pod a volume is for."),
			kind.Column("StorageCapacity", "boolean", "Whether the driver says how much room there is."),
			kind.Column("TokenRequests", "string", "Audiences of the tokens that the driver gets."),
			kind.Column("RequiresRepublish", "boolean", "Whether volumes are mounted again from time to time."),
			kind.Column("Modes", "string", "Whether volumes are kept, or made for one pod."),
			kind.AgeColumn(),
		},
		Row: driverRow,
	}.Kind()
}

func defaultDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	if s.AttachRequired == nil {
		s.AttachRequired = new(true)
	}
	for _, b := range []**bool{&s.PodInfoOnMount, &s.StorageCapacity, &s.RequiresRepublish, &s.SELinuxMount} {
		if *b == nil {
			*b = new(false)
		}
	}
	if s.FSGroupPolicy == nil {
		s.FSGroupPolicy = new(storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	}
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func validateDriver(d *storagev1.CSIDriver) field.ErrorList {
	path, spec := field.NewPath("spec"), &d.Spec
	var errs field.ErrorList
	for _, f := range []struct {
		name  string
		value *bool
	}{{"attachedRequired", spec.AttachRequired}, {"podInfoOnMount", spec.PodInfoOnMount}, {"storageCapacity", spec.StorageCapacity}, {"seLinuxMount", spec.SELinuxMount}} {
		if f.value == nil {
			errs = append(errs, field.Required(path.Child(f.name), ""))
		}
	}
	if p := spec.FSGroupPolicy; p != nil {
		errs = append(errs, core.Supported(path.Child("fsGroupPolicy"), *p, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)...)
	}
	for _, m := range spec.VolumeLifecycleModes {
		errs = append(errs, core.Supported(path.Child("volumeLifecycleModes"), m, storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral)...)
	}
	if n := spec.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < minAllocatablePause {
		errs = append(errs, field.Invalid(path.Child("nodeAllocatableUpdatePeriodSeconds"), *n, fmt.Sprintf("must be greater than or equal to %d seconds", minAllocatablePause)))
	}
	if in := spec.ServiceAccountTokenInSecrets; in != nil && len(spec.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(path.Child("serviceAccountTokenInSecrets"), *in, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	return append(errs, validateTokenRequests(spec.TokenRequests, path.Child("tokenRequests"))...)
}

func validateTokenRequests(list []storagev1.TokenRequest, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, r := range list {
		at := path.Index(i)
		if seen.Has(r.Audience) {
			errs = append(errs, field.Duplicate(at.Child("audience"), r.Audience))
			continue
		}
		seen.Insert(r.Audience)
		if s := r.ExpirationSeconds; s != nil && *s < minTokenSeconds {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
		} else if s != nil && *s > maxTokenSeconds {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return errs
}

func validateDriverUpdate(d, old *storagev1.CSIDriver) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateDriver(d)
	errs = append(errs, apivalidation.ValidateImmutableField(d.Spec.AttachRequired, old.Spec.AttachRequired, path.Child("attachedRequired"))...)
	return append(errs, apivalidation.ValidateImmutableField(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes, path.Child("volumeLifecycleModes"))...)
}

func driverRow(d *storagev1.CSIDriver, now time.Time) []any {
	is := func(b *bool) bool { return b != nil && *b }
	attach := d.Spec.AttachRequired == nil || *d.Spec.AttachRequired
	var audiences, modes []string
	for _, r := range d.Spec.TokenRequests {
		audiences = append(audiences, r.Audience)
	}
	for _, m := range d.Spec.VolumeLifecycleModes {
		modes = append(modes, string(m))
	}
	tokens, mode := "<unset>", "<none>"
	if d.Spec.TokenRequests != nil {
		tokens = strings.Join(audiences, ",")
	}
	if len(modes) > 0 {
		mode = strings.Join(modes, ",")
	}
	return []any{d.Name, attach, is(d.Spec.PodInfoOnMount), is(d.Spec.StorageCapacity), tokens, is(d.Spec.RequiresRepublish), mode, kind.Age(d, now)}
}
