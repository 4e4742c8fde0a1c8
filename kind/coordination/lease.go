package coordination

import (
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// Lease returns the kind Lease.
func Lease() *kind.Kind {
	return kind.Typed[*coordinationv1.Lease]{
		ID: kind.Leases, Version: coordinationv1.SchemeGroupVersion, Name: "Lease", Singular: "lease",
		CreateOnUpdate: true, RevisionRequired: true,
		New:     func() *coordinationv1.Lease { return new(coordinationv1.Lease) },
		NewList: func() runtime.Object { return new(coordinationv1.LeaseList) },

		PrepareCreate: func(l *coordinationv1.Lease) { dropCoordination(&l.Spec, &coordinationv1.LeaseSpec{}) },
		PrepareUpdate: func(l, old *coordinationv1.Lease) { dropCoordination(&l.Spec, &old.Spec) },

		Validate:       validateLease,
		ValidateUpdate: func(l, _ *coordinationv1.Lease) field.ErrorList { return validateLease(l) },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Holder", "string", "Who holds the lease."),
			kind.AgeColumn(),
		},
		Row: func(l *coordinationv1.Lease, now time.Time) []any {
			holder := ""
			if l.Spec.HolderIdentity != nil {
				holder = *l.Spec.HolderIdentity
			}
			return []any{l.Name, holder, kind.Age(l, now)}
		},
	}.Kind()
}

// dropCoordination drops the fields of CoordinatedLeaderElection (KEP-4355), which Kubernetes v1.37 has off by default,
// unless the lease had them.
func dropCoordination(spec, old *coordinationv1.LeaseSpec) {
	if old.Strategy == nil {
		spec.Strategy = nil
	}
	if old.PreferredHolder == nil {
		spec.PreferredHolder = nil
	}
}

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	path, spec := field.NewPath("spec"), &l.Spec
	var errs field.ErrorList
	if d := spec.LeaseDurationSeconds; d != nil && *d <= 0 {
		errs = append(errs, field.Invalid(path.Child("leaseDurationSeconds"), *d, "must be greater than 0"))
	}
	if n := spec.LeaseTransitions; n != nil {
		errs = append(errs, core.NonNegative(path.Child("leaseTransitions"), n)...)
	}
	if spec.Strategy != nil {
		errs = append(errs, validateStrategy(*spec.Strategy, path.Child("strategy", "strategy"))...) // upstream's path
	}
	if spec.PreferredHolder != nil && *spec.PreferredHolder != "" && (spec.Strategy == nil || *spec.Strategy == "") {
		errs = append(errs, field.Forbidden(path.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
	}
	return errs
}

// validateStrategy checks how the next holder is chosen: in Kubernetes' one way, or in one of somebody's own, whose name
// has a domain.
func validateStrategy(s coordinationv1.CoordinatedLeaseStrategy, path *field.Path) field.ErrorList {
	if !strings.Contains(string(s), "/") {
		if s == coordinationv1.OldestEmulationVersion {
			return nil
		}
		return field.ErrorList{field.NotSupported(path, s, []coordinationv1.CoordinatedLeaseStrategy{coordinationv1.OldestEmulationVersion})}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(s)) {
		errs = append(errs, field.Invalid(path, s, msg))
	}
	return errs
}
