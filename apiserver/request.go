package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// request is what every verb of the core knows of its caller and its target.
type request struct {
	user        auth.User
	kind        *kind.Kind
	version     *kind.Version // in which objects are sent and answered; nil: as they are stored
	key         view.Key      // Name is empty for a collection, and for a creation with generateName
	subresource string
	warn        func(text string)       // takes what the user should know and may ignore; may be nil
	annotate    func(key, value string) // takes what the audit log should hold; may be nil

	manager   string       // the name that changes are recorded under
	local     bool         // sent by a part of this process
	applied   bool         // managed fields are recorded already
	mayCreate func() error // asks whether the user may create what an update or an apply does not find; nil: yes
}

// managedBy returns the request with the manager that its options name, if they do.
func (r request) managedBy(manager string) request {
	if manager != "" {
		r.manager = manager
	}
	return r
}

func (r request) warning(text string) {
	if r.warn != nil {
		r.warn(text)
	}
}

func (r request) annotation(key, value string) {
	if r.annotate != nil {
		r.annotate(key, value)
	}
}

// checkSame refuses a changed object that names another one, or another state of it, than the one that is there.
func checkSame(r request, next, cur kind.Object) error {
	if err := checkNamed(r, next); err != nil {
		return err
	}
	return checkRevision(r, next.GetResourceVersion(), cur)
}

// checkRevision refuses a change that was made from another state than the one that is there. Whether a change may
// leave out what it was made from, or say 0, depends on the kind. What is no revision is the client's fault, though
// upstream answers 500 to it.
func checkRevision(r request, revision string, cur kind.Object) error {
	var made uint64
	if revision != "" {
		var err error
		if made, err = strconv.ParseUint(revision, 10, 64); err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("metadata.resourceVersion: Invalid value: %q: %v", revision, err))
		}
	}
	switch {
	case made == 0 && r.kind.RevisionRequired:
		gr := r.groupResource()
		return apierrors.NewInvalid(schema.GroupKind{Group: gr.Group, Kind: gr.Resource}, r.key.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
	case made != 0 && made != uint64(revisionOf(cur)):
		return r.conflict(errModified)
	}
	return nil
}

// wrongUID is the conflict of a change that is meant for an object with another UID than the one that is there.
func (r request) wrongUID(want, have types.UID) error {
	return r.conflict(fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", want, have))
}

func (r request) notFound() error {
	return apierrors.NewNotFound(r.groupResource(), r.key.Name)
}

// The message of upstream's optimistic lock.
const errModified = "the object has been modified; please apply your changes to the latest version and try again"

func (r request) conflict(message string) error {
	return apierrors.NewConflict(r.groupResource(), r.key.Name, errors.New(message))
}

func errUnknownType(obj kind.Object) error {
	return apierrors.NewBadRequest(fmt.Sprintf("no kind is registered for the type %T", obj))
}

func errUnknownKind(id kind.ID) error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", id.GroupResource(), "", "", 0, true)
}

// commit applies writes as one transaction and publishes them, so that a caller who is answered afterwards finds
// them in every view. A *store.ConflictError comes back as it is, with the cache at least where the conflict
// arose; every other error is ready for the user.
func (s *Server) commit(ctx context.Context, writes ...store.Write) (revision int64, err error) {
	began := time.Now()
	revision, err = s.cfg.Store.Apply(ctx, writes...)
	var conflict *store.ConflictError
	s.metrics.stored(writes, err != nil && !errors.As(err, &conflict), time.Since(began))
	switch {
	case err == nil:
		if err := s.cache.advance(ctx, revision); err != nil {
			return 0, apierrors.NewInternalError(fmt.Errorf("committed at revision %d, but %w", revision, err))
		}
		return revision, nil
	case conflict != nil:
		if err := s.cache.advance(ctx, conflict.Current); err != nil {
			return 0, apierrors.NewInternalError(err)
		}
		return 0, conflict
	case errors.Is(err, store.ErrNoSpace):
		return 0, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status:  metav1.StatusFailure,
			Code:    http.StatusInsufficientStorage,
			Reason:  metav1.StatusReasonInternalError,
			Message: fmt.Sprintf("the write was refused: %v%s", err, s.makeRoom()),
		}}
	case ctx.Err() != nil:
		return 0, apierrors.NewTimeoutError("the request ended while the write was in progress, which may still be carried out", 0)
	default:
		return 0, storeError(fmt.Errorf("write to the store: %w", err))
	}
}

// makeRoom says where to make room for a store that is full. A store in another process says it itself.
func (s *Server) makeRoom() string {
	if s.cfg.SharedStore {
		return ""
	}
	return "; free some space on the server's data directory"
}

// dryRun reports whether nothing shall be written, and refuses what is no dry-run option.
func dryRun(options []string, path string) (bool, error) {
	return len(options) > 0, invalidOptions(path, validation.ValidateDryRun(field.NewPath("dryRun"), options))
}

// invalidOptions returns the error for options of a request, or nil.
func invalidOptions(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: name}, "", errs)
}
