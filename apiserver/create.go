package apiserver

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// generateAttempts is how many generated names are tried before the creation fails.
const generateAttempts = 8

// create creates an object. obj is the caller's no more.
func (s *Server) create(ctx context.Context, r request, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error) {
	if err := invalidOptions("CreateOptions", validation.ValidateCreateOptions(&opts)); err != nil {
		return nil, err
	}
	dry := len(opts.DryRun) > 0
	r = r.managedBy(opts.FieldManager)
	if err := checkNames(r, obj); err != nil {
		return nil, err
	}
	if rv := obj.GetResourceVersion(); rv != "" && rv != "0" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	obj.SetResourceVersion("")
	snap := s.cache.snapshot()
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	tokenStamped, err := s.legaliseNew(r, obj, generated, snap)
	if err != nil {
		return nil, err
	}
	defer s.quotaTurn(r, admit.Create)()
	for attempt := 1; ; attempt++ {
		r.key.Name = obj.GetName()
		claims, release, err := s.allocate(r, obj, nil)
		if err != nil {
			return nil, err
		}
		charges, err := s.charge(r, admit.Create, obj, nil)
		if err != nil {
			return nil, err
		}
		if dry {
			if s.cache.snapshot().Get(r.key) != nil {
				return nil, s.alreadyExists(r, obj)
			}
			return obj, nil
		}
		created, err := s.commitNew(ctx, r, obj, append(claims, charges...))
		var conflict *store.ConflictError
		switch {
		case err == nil:
			return created, nil
		case !errors.As(err, &conflict):
			return nil, err
		case ctx.Err() != nil:
			return nil, apierrors.NewTimeoutError("the request ended while other writers kept using the same quota", 0)
		case isQuotaKey(conflict.Key):
			release() // another writer used the quota; what is left of it is looked at on the next round
		case strings.HasPrefix(conflict.Key, claimPrefix):
			release() // another Service was faster; what was asked for by the user is refused on the next round
		case generated && attempt < generateAttempts:
			release()
			obj.SetName(s.generateName(obj.GetGenerateName()))
			r.kind.PrepareCreate(obj)
			if tokenStamped {
				if err := s.stampTokenAgain(obj, snap); err != nil {
					return nil, err
				}
			}
		default:
			return nil, s.alreadyExists(r, obj)
		}
	}
}

// alreadyExists is the answer to the creation of an object whose name is taken.
func (s *Server) alreadyExists(r request, obj kind.Object) error {
	err := apierrors.NewAlreadyExists(r.groupResource(), r.key.Name)
	if obj.GetGenerateName() != "" {
		err = apierrors.NewGenerateNameConflict(r.groupResource(), r.key.Name, 1)
	}
	if cur := s.cache.snapshot().Get(r.key); cur != nil && cur.GetDeletionTimestamp() != nil {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

// legaliseNew makes obj, whose name is generated or its creator's, fit to be stored: defaults, admission, what the kind
// sets, metadata, validation. It says whether the object is a Secret that got a token.
func (s *Server) legaliseNew(r request, obj kind.Object, generated bool, snap *view.Snapshot) (tokenStamped bool, err error) {
	k := r.kind
	k.Default(obj)
	dropTwinOwners(r, obj)
	s.track(r, obj, nil)
	if err := s.admission(r, admit.Create, obj, nil, snap); err != nil {
		return false, err
	}
	s.stampNew(r, obj)
	stampRequester(r, obj)
	k.PrepareCreate(obj) // some kinds put the name and the UID into labels
	if generated {
		k.Default(obj) // some defaults are made from the name
	}
	if tokenStamped, err = s.stampToken(obj, nil, snap); err != nil {
		return false, err
	}
	errs := s.serviceFamilies(obj, nil)
	if errs = append(append(errs, kind.ValidateMeta(k, obj)...), k.Validate(obj)...); len(errs) > 0 {
		return false, invalid(k.GVK.GroupKind(), obj.GetName(), errs)
	}
	if k.Warnings != nil {
		for _, w := range k.Warnings(obj) {
			r.warning(w)
		}
	}
	return tokenStamped, nil
}

// commitNew stores the object with what it claims, if nobody has either yet.
func (s *Server) commitNew(ctx context.Context, r request, obj kind.Object, claims []store.Write) (kind.Object, error) {
	value, err := encodeStored(r.kind, obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := checkSize(r.kind, value, obj, nil); err != nil {
		return nil, err
	}
	key := view.KeyOf(r.kind.ID, obj)
	writes := append(claims, store.Write{Key: storeKey(key), Value: value, Hint: published{owner: s.cache, obj: obj}})
	revision, err := s.commit(ctx, writes...)
	if err != nil {
		return nil, err
	}
	return s.publishedObject(obj, revision), nil
}

// publishedObject returns a committed object with its revision. The cache has set it, unless it had to start
// anew from the store in between; then nobody else holds this copy.
func (s *Server) publishedObject(obj kind.Object, revision int64) kind.Object {
	if obj.GetResourceVersion() == "" {
		return withRevision(obj, revision)
	}
	return obj
}
