package feed

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"sampan/dns/wire"
	"sampan/kind"
	"sampan/view"
)

// wholeState appends the frames of everything in a snapshot, to be followed by Commit.
func wholeState(b []byte, snap *view.Snapshot) []byte {
	b = wire.AppendFrame(b, wire.Begin, nil)
	for svc := range view.All[*corev1.Service](snap, kind.Services, "") {
		b = wire.AppendService(b, serviceOf(svc))
	}
	for e := range view.All[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, "") {
		b = wire.AppendSlice(b, sliceOf(e))
	}
	return b
}

// appendChanges appends the frames of changes, nothing if they do not matter for names.
func appendChanges(b []byte, changes []view.Change) []byte {
	for _, c := range changes {
		switch c.Key.Kind {
		case kind.Services:
			if svc, ok := c.New.(*corev1.Service); ok {
				b = wire.AppendService(b, serviceOf(svc))
			} else {
				b = wire.AppendKey(b, wire.RemoveService, c.Key.Namespace, c.Key.Name)
			}
		case kind.EndpointSlices:
			if e, ok := c.New.(*discoveryv1.EndpointSlice); ok {
				b = wire.AppendSlice(b, sliceOf(e))
			} else {
				b = wire.AppendKey(b, wire.RemoveSlice, c.Key.Namespace, c.Key.Name)
			}
		}
	}
	return b
}
