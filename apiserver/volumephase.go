package apiserver

import (
	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
)

// stampPhase gives a volume that enters a phase the time, unless who writes its status gives it. Other objects are
// left alone.
func (s *Server) stampPhase(next, cur kind.Object) {
	v, ok := next.(*corev1.PersistentVolume)
	if !ok {
		return
	}
	is, was := &v.Status, &cur.(*corev1.PersistentVolume).Status
	switch t := is.LastPhaseTransitionTime; {
	case is.Phase == was.Phase && t == nil:
		is.LastPhaseTransitionTime = was.LastPhaseTransitionTime
	case is.Phase != was.Phase && (t == nil || t.Equal(was.LastPhaseTransitionTime)):
		now := apiTime(s.cfg.Now())
		is.LastPhaseTransitionTime = &now
	}
}
