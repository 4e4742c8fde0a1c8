package apiserver

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/kind"
	"sampan/view"
)

// get returns an object as it is published.
func (s *Server) get(key view.Key) (kind.Object, error) {
	obj := s.cache.snapshot().Get(key)
	if obj == nil {
		return nil, apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	return obj, nil
}
