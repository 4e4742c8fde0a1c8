package discovery

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// EndpointSlice returns the kind EndpointSlice.
func EndpointSlice() *kind.Kind {
	return kind.Typed[*discoveryv1.EndpointSlice]{
		ID: kind.EndpointSlices, Version: discoveryv1.SchemeGroupVersion, Name: "EndpointSlice", Singular: "endpointslice",
		New:     func() *discoveryv1.EndpointSlice { return new(discoveryv1.EndpointSlice) },
		NewList: func() runtime.Object { return new(discoveryv1.EndpointSliceList) },
	}.Kind()
}
