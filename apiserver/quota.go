package apiserver

import (
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
	charged, err := admit.ChargeQuotas(&admit.Request{
		User: r.user.Name, Groups: r.user.Groups, Kind: r.kind, Verb: verb, Namespace: r.key.Namespace, Name: r.key.Name,
		Subresource: r.subresource, Object: obj, Old: cur,
	}, s.cache.snapshot(), s.cfg.Now())
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

// isQuotaKey reports whether a key of the store is a resource quota's.
func isQuotaKey(key string) bool {
	prefix := storeKey(view.Key{Kind: kind.ResourceQuotas, Namespace: "x", Name: "x"})
	prefix = prefix[:len(prefix)-len("x/x")]
	return len(key) > len(prefix) && key[:len(prefix)] == prefix
}
