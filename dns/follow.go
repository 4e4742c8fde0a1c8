package dns

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"sampan/dns/answer"
	"sampan/kind"
	"sampan/view"
)

// follow keeps the index up to date until ctx ends.
func (s *Server) follow(ctx context.Context) error {
	// Revision 0 is a view that has not seen the API server yet.
	if s.cfg.Client.Snapshot().Revision() == 0 {
		if err := s.cfg.Client.Wait(ctx, 0); err != nil {
			return err
		}
	}
	snap := s.cfg.Client.Snapshot()
	s.load(snap)
	for at := snap.Revision(); ; {
		if err := s.cfg.Client.Wait(ctx, at); err != nil {
			return err
		}
		changes, next, ok := s.cfg.Client.Since(at)
		at = next.Revision()
		if !ok {
			s.load(next)
			continue
		}
		s.apply(changes)
	}
}

// load replaces the index by one of the snapshot.
func (s *Server) load(snap *view.Snapshot) {
	index := answer.New(s.cfg.Domain)
	for svc := range view.All[*corev1.Service](snap, kind.Services, "") {
		index.PutService(svc)
	}
	for e := range view.All[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, "") {
		index.PutSlice(e)
	}
	s.mu.Lock()
	s.index = index
	s.mu.Unlock()
}

func (s *Server) apply(changes []view.Change) {
	for _, c := range changes {
		switch c.Key.Kind {
		case kind.Services:
			s.mu.Lock()
			if svc, ok := c.New.(*corev1.Service); ok {
				s.index.PutService(svc)
			} else {
				s.index.RemoveService(c.Key.Namespace, c.Key.Name)
			}
			s.mu.Unlock()
		case kind.EndpointSlices:
			s.mu.Lock()
			// The old one first: its label may name another Service.
			if e, ok := c.Old.(*discoveryv1.EndpointSlice); ok {
				s.index.RemoveSlice(e)
			}
			if e, ok := c.New.(*discoveryv1.EndpointSlice); ok {
				s.index.PutSlice(e)
			}
			s.mu.Unlock()
		}
	}
}
