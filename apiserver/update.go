package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// update replaces an object or its subresource. obj is the caller's no more.
func (s *Server) update(ctx context.Context, r request, obj kind.Object, opts metav1.UpdateOptions) (kind.Object, error) {
	result, _, err := s.put(ctx, r, obj, opts)
	return result, err
}

// put is update, and says whether the object was created by it.
func (s *Server) put(ctx context.Context, r request, obj kind.Object, opts metav1.UpdateOptions) (result kind.Object, created bool, err error) {
	if err := invalidOptions("UpdateOptions", validation.ValidateUpdateOptions(&opts)); err != nil {
		return nil, false, err
	}
	dry := len(opts.DryRun) > 0
	r = r.managedBy(opts.FieldManager)
	if err := checkNamed(r, obj); err != nil {
		return nil, false, err
	}
	if r.kind.CreateOnUpdate && r.subresource == "" && s.cache.snapshot().Get(r.key) == nil {
		if uid := obj.GetUID(); uid != "" {
			return nil, false, r.wrongUID(uid, "")
		}
		if r.mayCreate != nil {
			if err := r.mayCreate(); err != nil {
				return nil, false, err
			}
		}
		result, err := s.create(ctx, r, withoutRevision(obj), metav1.CreateOptions{DryRun: opts.DryRun})
		if !apierrors.IsAlreadyExists(err) {
			return result, true, err
		}
	}
	revision, uid := obj.GetResourceVersion(), obj.GetUID()
	result, err = s.modify(ctx, r, dry, func(cur kind.Object) (kind.Object, error) {
		if uid != "" && uid != cur.GetUID() {
			return nil, r.wrongUID(uid, cur.GetUID())
		}
		return private(obj), checkRevision(r, revision, cur)
	})
	return result, false, err
}

// modify is every write to an existing object. change gets the published object and returns a private successor;
// it is called again when another writer was faster, and refuses then if its caller had asked for a revision.
func (s *Server) modify(ctx context.Context, r request, dry bool, change func(cur kind.Object) (kind.Object, error)) (kind.Object, error) {
	for {
		snap := s.cache.snapshot()
		cur := snap.Get(r.key)
		if cur == nil {
			return nil, r.notFound()
		}
		next, err := change(cur)
		if err != nil {
			return nil, err
		}
		if err := s.legalise(r, next, cur, snap); err != nil {
			return nil, err
		}
		if !dry { // a certificate that nobody keeps would be good all the same
			if err := s.stampCertificate(r, next); err != nil {
				return nil, err
			}
		}
		result, err := s.replace(ctx, r, next, cur, dry)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return result, err
		}
		if ctx.Err() != nil {
			return nil, apierrors.NewTimeoutError("the request ended while other writers kept changing the object", 0)
		}
	}
}

// legalise makes next a valid successor of cur: defaults, admission, what the kind keeps, metadata, validation.
func (s *Server) legalise(r request, next, cur kind.Object, snap *view.Snapshot) error {
	k := r.kind
	k.Default(next)
	dropTwinOwners(r, next)
	s.track(r, next, cur)
	if err := s.admission(r, admit.Update, next, cur, snap); err != nil {
		return err
	}
	if err := s.confirmSigner(r, next, cur); err != nil {
		return err
	}
	stampUpdate(r, next, cur)
	var errs field.ErrorList
	var warnings func(obj, old kind.Object) []string
	switch r.subresource {
	case "", "scale":
		k.PrepareUpdate(next, cur)
		if _, err := s.stampToken(next, cur, snap); err != nil {
			return err
		}
		errs = append(s.serviceFamilies(next, cur), k.ValidateUpdate(next, cur)...)
		if r.version != nil && r.version.ValidateUpdate != nil {
			errs = append(errs, r.version.ValidateUpdate(next, cur)...)
		}
		warnings = k.WarningsForUpdate
	case "finalize":
		var err error
		if errs, err = prepareFinalize(r, next, cur); err != nil {
			return err
		}
	case "binding": // the change was made from cur by this package
	default:
		part := k.Part(r.subresource)
		if part == nil {
			return errNoSubresource(r)
		}
		part.PrepareUpdate(next, cur)
		s.stampConditions(r, next, cur)
		s.stampPhase(next, cur)
		if part.Validate != nil {
			errs = part.Validate(next, cur)
		}
		warnings = part.Warnings
	}
	if errs := append(kind.ValidateMetaUpdate(k, next, cur), errs...); len(errs) > 0 {
		return invalid(k.GVK.GroupKind(), r.key.Name, errs)
	}
	if warnings != nil {
		for _, w := range warnings(next, cur) {
			r.warning(w)
		}
	}
	return nil
}

// replace commits next in the place of cur. It removes the object instead if it only waited for this change to
// go away, and writes nothing if nothing changes.
func (s *Server) replace(ctx context.Context, r request, next, cur kind.Object, dry bool) (kind.Object, error) {
	if deletable(next) {
		if dry {
			return next, nil
		}
		return s.remove(ctx, r, next, cur)
	}
	defer s.quotaTurn(r, admit.Update)()
	claims, _, err := s.allocate(r, next, cur)
	if err != nil {
		return nil, err
	}
	charges, err := s.charge(r, admit.Update, next, cur)
	if err != nil {
		return nil, err
	}
	claims = append(claims, charges...)
	value, same, err := encodeNext(r.kind, next, cur)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := checkSize(r.kind, value, next, cur); err != nil {
		return nil, err
	}
	if same && len(claims) == 0 {
		return cur, nil
	}
	if dry {
		next.SetResourceVersion(cur.GetResourceVersion())
		return next, nil
	}
	revision, err := s.commit(ctx, append(claims, store.Write{
		Key: storeKey(r.key), Value: value, Expect: revisionOf(cur), Hint: published{owner: s.cache, obj: next},
	})...)
	if err != nil {
		return nil, err
	}
	return s.publishedObject(next, revision), nil
}

// encodeNext returns the bytes that the store will keep for cur's successor, and whether it has them for cur already.
// The time at which somebody set the same once more is no change.
func encodeNext(k *kind.Kind, next, cur kind.Object) (value []byte, same bool, err error) {
	have := shallowCopy(cur)
	if sameRecords(next.GetManagedFields(), cur.GetManagedFields()) {
		have.SetManagedFields(next.GetManagedFields())
	}
	if value, err = encodeStored(k, next); err != nil {
		return nil, false, err
	}
	old, err := encodeStored(k, have)
	return value, bytes.Equal(value, old), err
}

// objectMax is how large an object may be in the store, in bytes. etcd takes requests of 1.5 MiB, which is upstream's bound;
// what is left of that is for the key and what else is in the transaction. Without a bound many patches would make an
// object of any size, and a cluster could not be moved to etcd.
const objectMax = 1536<<10 - 4<<10

// checkSize refuses an object that is too large, given as it would be stored. One that is there already may become smaller,
// and may be deleted. cur is nil for a new one.
func checkSize(k *kind.Kind, value []byte, next, cur kind.Object) error {
	if len(value) <= objectMax {
		return nil
	}
	if cur != nil {
		if next.GetDeletionTimestamp() != nil && cur.GetDeletionTimestamp() == nil {
			return nil
		}
		if old, err := encodeStored(k, shallowCopy(cur)); err == nil && len(value) <= len(old) {
			return nil
		}
	}
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the object would take %d bytes in the store, at most %d are allowed", len(value), objectMax))
}

func errNoSubresource(r request) error {
	return apierrors.NewNotFound(r.groupResource(), r.key.Name+"/"+r.subresource)
}
