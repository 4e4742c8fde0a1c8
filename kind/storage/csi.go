package storage

import (
	"fmt"
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

const (
	maxDriverName       = 63
	maxNodeID           = 192
	minTokenSeconds     = 600
	maxTokenSeconds     = 1 << 32
	minAllocatablePause = 10
)

// CSIDriver returns the kind CSIDriver.
func CSIDriver() *kind.Kind {
	return kind.Typed[*storagev1.CSIDriver]{
		ID: kind.CSIDrivers, Version: storagev1.SchemeGroupVersion, Name: "CSIDriver", Singular: "csidriver",
		Cluster: true,
		New:     func() *storagev1.CSIDriver { return new(storagev1.CSIDriver) },
		NewList: func() runtime.Object { return new(storagev1.CSIDriverList) },

		Default:        defaultDriver,
		Counted:        func(d *storagev1.CSIDriver) any { return &d.Spec },
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
	errs := driverName(d.Name, field.NewPath("name"))
	for _, f := range []struct {
		name  string
		value *bool
	}{{"attachRequired", spec.AttachRequired}, {"podInfoOnMount", spec.PodInfoOnMount}, {"storageCapacity", spec.StorageCapacity}, {"seLinuxMount", spec.SELinuxMount}} {
		if f.value == nil {
			errs = append(errs, field.Required(path.Child(f.name), ""))
		}
	}
	if p := spec.FSGroupPolicy; p != nil {
		switch *p {
		case storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy:
		default:
			errs = append(errs, field.NotSupported(path.Child("fsGroupPolicy"), *p,
				[]storagev1.FSGroupPolicy{storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy}))
		}
	}
	for _, m := range spec.VolumeLifecycleModes {
		if m != storagev1.VolumeLifecyclePersistent && m != storagev1.VolumeLifecycleEphemeral {
			errs = append(errs, field.NotSupported(path.Child("volumeLifecycleModes"), m,
				[]storagev1.VolumeLifecycleMode{storagev1.VolumeLifecycleEphemeral, storagev1.VolumeLifecyclePersistent}))
		}
	}
	if n := spec.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < minAllocatablePause {
		errs = append(errs, field.Invalid(path.Child("nodeAllocatableUpdatePeriodSeconds"), *n, fmt.Sprintf("must be greater than or equal to %d seconds", minAllocatablePause)))
	}
	return append(errs, validateTokenRequests(spec.TokenRequests, path.Child("tokenRequests"))...)
}

func driverName(name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path, ""))
	}
	if len(name) > maxDriverName {
		errs = append(errs, field.TooLong(path, "", maxDriverName))
	}
	for _, msg := range validation.IsDNS1123Subdomain(strings.ToLower(name)) {
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
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

// CSINode returns the kind CSINode.
func CSINode() *kind.Kind {
	return kind.Typed[*storagev1.CSINode]{
		ID: kind.CSINodes, Version: storagev1.SchemeGroupVersion, Name: "CSINode", Singular: "csinode",
		Cluster: true,
		New:     func() *storagev1.CSINode { return new(storagev1.CSINode) },
		NewList: func() runtime.Object { return new(storagev1.CSINodeList) },

		// The status is behind a feature gate that is off, and is dropped as there.
		PrepareCreate:  func(n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} },
		PrepareUpdate:  func(n, old *storagev1.CSINode) { n.Status = *old.Status.DeepCopy() },
		Validate:       validateCSINode,
		ValidateUpdate: validateCSINodeUpdate,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Drivers", "integer", "Drivers on the node."),
			kind.AgeColumn(),
		},
		Row: func(n *storagev1.CSINode, now time.Time) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), kind.Age(n, now)}
		},
	}.Kind()
}

func validateCSINode(n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, d := range n.Spec.Drivers {
		path := field.NewPath("spec", "drivers").Index(i)
		errs = append(errs, driverName(d.Name, path.Child("name"))...)
		switch {
		case d.NodeID == "":
			errs = append(errs, field.Required(path.Child("nodeID"), ""))
		case len(d.NodeID) > maxNodeID:
			errs = append(errs, field.Invalid(path.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", maxNodeID)))
		}
		if a := d.Allocatable; a != nil && a.Count != nil {
			errs = append(errs, apivalidation.ValidateNonnegativeField(int64(*a.Count), path.Child("allocatable", "count"))...)
		}
		if names.Has(d.Name) {
			errs = append(errs, field.Duplicate(path.Child("name"), d.Name))
		}
		names.Insert(d.Name)
		keys := sets.New[string]()
		for _, key := range d.TopologyKeys {
			if key == "" {
				errs = append(errs, field.Required(path, ""))
			}
			if keys.Has(key) {
				errs = append(errs, field.Duplicate(path, key))
			}
			keys.Insert(key)
			for _, msg := range validation.IsQualifiedName(key) {
				errs = append(errs, field.Invalid(path, d.TopologyKeys, msg))
			}
		}
	}
	return errs
}

// validateCSINodeUpdate lets drivers come and go, but not change: their volumes were made for what they said.
func validateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	errs := validateCSINode(n)
	for _, was := range old.Spec.Drivers {
		for i, is := range n.Spec.Drivers {
			if is.Name != was.Name {
				continue
			}
			was.Allocatable, is.Allocatable = nil, nil // the driver counts again when it starts
			if !equality.Semantic.DeepEqual(is, was) {
				errs = append(errs, field.Invalid(field.NewPath("CSINodeDriver"), n.Spec.Drivers[i], "field is immutable"))
			}
		}
	}
	return errs
}

// CSIStorageCapacity returns the kind CSIStorageCapacity.
func CSIStorageCapacity() *kind.Kind {
	return kind.Typed[*storagev1.CSIStorageCapacity]{
		ID: kind.CSIStorageCapacities, Version: storagev1.SchemeGroupVersion, Name: "CSIStorageCapacity", Singular: "csistoragecapacity",
		New:     func() *storagev1.CSIStorageCapacity { return new(storagev1.CSIStorageCapacity) },
		NewList: func() runtime.Object { return new(storagev1.CSIStorageCapacityList) },

		Validate: validateCapacity,
		ValidateUpdate: func(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
			errs := validateCapacity(c)
			if !equality.Semantic.DeepEqual(c.NodeTopology, old.NodeTopology) {
				errs = append(errs, field.Invalid(field.NewPath("nodeTopology"), c.NodeTopology, "field is immutable"))
			}
			return append(errs, apivalidation.ValidateImmutableField(c.StorageClassName, old.StorageClassName, field.NewPath("storageClassName"))...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("StorageClassName", "string", "Class of the volumes that there is room for."),
			kind.Column("Capacity", "string", "How much room there is."),
		},
		Row: func(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
			room := "<unset>"
			if c.Capacity != nil {
				amount := *c.Capacity // a Quantity keeps its printed form, and the object is shared
				room = amount.String()
			}
			return []any{c.Name, c.StorageClassName, room}
		},
	}.Kind()
}

func validateCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range apivalidation.NameIsDNSSubdomain(c.StorageClassName, false) {
		errs = append(errs, field.Invalid(field.NewPath("storageClassName"), c.StorageClassName, msg))
	}
	if c.NodeTopology != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(c.NodeTopology, metavalidation.LabelSelectorValidationOptions{}, field.NewPath("nodeTopology"))...)
	}
	for _, f := range []struct {
		name   string
		amount *resource.Quantity
	}{{"capacity", c.Capacity}, {"maximumVolumeSize", c.MaximumVolumeSize}} {
		if f.amount != nil && f.amount.Sign() < 0 {
			amount := *f.amount
			errs = append(errs, field.Invalid(field.NewPath(f.name), amount.String(), apivalidation.IsNegativeErrorMsg))
		}
	}
	return errs
}
