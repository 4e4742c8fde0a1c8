package apiserver

import (
	"hash/fnv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// charge returns the writes that charge the resource quotas of a namespace with an object that is about to be written
// in the place of cur (nil on creation), or says what quota forbids it. They belong into the transaction of the
// object: if another writer used the quota meanwhile, the whole of it is a conflict, and the caller tries again. So
// a quota is never exceeded, however many write at once.
func (s *Server) charge(r request, verb string, obj, cur kind.Object) ([]store.Write, error) {
	quotas := s.cfg.Kinds.ByID(kind.ResourceQuotas)
	if quotas == nil || r.kind.ID == kind.ResourceQuotas && verb == admit.Update {
		return nil, nil
	}
	began := time.Now()
	charged, err := admit.ChargeQuotas(r.admitted(verb, obj, cur), s.cache.snapshot(), s.cfg.Now())
	s.metrics.ruled(admittedBy{"ResourceQuota", admit.Validating, verb, err != nil}, time.Since(began))
	if err != nil {
		return nil, err
	}
	var writes []store.Write
	for _, q := range charged {
		revision := revisionOf(q)
		value, err := encodeStored(quotas, q)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		writes = append(writes, store.Write{
			Key: storeKey(view.KeyOf(kind.ResourceQuotas, q)), Value: value, Expect: revision, Hint: published{owner: s.cache, obj: q},
		})
	}
	return writes, nil
}

// quotaTurn waits until no other request of this server is charging the quotas of the namespace; the result ends the
// turn. Without it, of many requests at once all but one would find the quota changed when they come to commit, and
// begin again. Requests that charge nothing do not wait.
func (s *Server) quotaTurn(r request, verb string) (end func()) {
	if !admit.Chargeable(verb, r.kind.ID, r.subresource) || r.key.Namespace == "" {
		return func() {}
	}
	snap := s.cache.snapshot()
	if snap.Len(kind.ResourceQuotas) == 0 {
		return func() {}
	}
	for range snap.All(kind.ResourceQuotas, r.key.Namespace) {
		h := fnv.New32a()
		h.Write([]byte(r.key.Namespace))
		turn := &s.quotaTurns[h.Sum32()%uint32(len(s.quotaTurns))]
		turn.Lock()
		return turn.Unlock
	}
	return func() {}
}

// isQuotaKey reports whether a key of the store is a resource quota's.
func isQuotaKey(key string) bool { return strings.HasPrefix(key, storePrefix(kind.ResourceQuotas)) }
