package coordination

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Lease returns the kind Lease.
func Lease() *kind.Kind {
	return kind.Typed[*coordinationv1.Lease]{
		ID: kind.Leases, Version: coordinationv1.SchemeGroupVersion, Name: "Lease", Singular: "lease",
		New:     func() *coordinationv1.Lease { return new(coordinationv1.Lease) },
		NewList: func() runtime.Object { return new(coordinationv1.LeaseList) },
	}.Kind()
}
