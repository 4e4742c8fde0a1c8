package apiserver

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/view"
)

// Local is a client in the server's own process: it satisfies package client's Client with direct calls. Objects
// travel by pointer; what comes out is what the server serves, and is read-only.
type Local struct {
	server *Server
	user   auth.User
	by     string // whom managed fields name; "": the user
}

// Client returns a client that acts as the user. In-process clients are parts of the server: admission and
// validation apply to them, authorization does not.
func (s *Server) Client(user auth.User) *Local { return &Local{server: s, user: user} }

// ManagedBy returns a client whose changes managed fields ascribe to somebody else than the user, such as
// "kube-scheduler".
func (l *Local) ManagedBy(manager string) *Local {
	named := *l
	named.by = manager
	return &named
}

// Snapshot returns the newest state.
func (l *Local) Snapshot() *view.Snapshot { return l.server.cache.snapshot() }

// Since returns the changes after a revision, oldest first, and the snapshot at the last of them. ok is false
// when some of those changes are forgotten.
func (l *Local) Since(after int64) (changes []view.Change, snap *view.Snapshot, ok bool) {
	return l.server.cache.since("", after)
}

// Wait returns nil once there is a change after the revision, or ctx's error.
func (l *Local) Wait(ctx context.Context, after int64) error {
	return l.server.cache.wait(ctx, "", after)
}

// Get returns the newest state of an object.
func (l *Local) Get(ctx context.Context, key view.Key) (kind.Object, error) {
	if err := l.server.catchUp(ctx); err != nil {
		return nil, err
	}
	return l.server.get(key)
}

// Create creates an object.
func (l *Local) Create(ctx context.Context, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error) {
	r, err := l.request(obj, "")
	if err != nil {
		return nil, err
	}
	return l.server.create(ctx, r, private(obj), opts)
}

// Update replaces an object, or its status, or a namespace's finalizers (subresource "finalize"). A
// resourceVersion in obj makes it conditional.
func (l *Local) Update(ctx context.Context, obj kind.Object, subresource string, opts metav1.UpdateOptions) (kind.Object, error) {
	r, err := l.request(obj, subresource)
	if err != nil {
		return nil, err
	}
	return l.server.update(ctx, r, private(obj), opts)
}

// Patch applies a JSON, merge or strategic merge patch to an object or its subresource "status" or "scale".
// The result is the object itself, also for scale.
func (l *Local) Patch(ctx context.Context, key view.Key, pt types.PatchType, data []byte, subresource string, opts metav1.PatchOptions) (kind.Object, error) {
	r, err := l.requestFor(key, subresource)
	if err != nil {
		return nil, err
	}
	return l.server.patch(ctx, r, pt, data, opts)
}

// Delete starts or finishes the deletion of an object. The result is its last state, or its state while it waits
// for its grace period or finalizers.
func (l *Local) Delete(ctx context.Context, key view.Key, opts metav1.DeleteOptions) (kind.Object, error) {
	r, err := l.requestFor(key, "")
	if err != nil {
		return nil, err
	}
	obj, _, err := l.server.delete(ctx, r, opts)
	return obj, err
}

// Bind assigns a pod to a node. A uid that is not empty must be the pod's.
func (l *Local) Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error {
	r, err := l.requestFor(pod, "binding")
	if err != nil {
		return err
	}
	return l.server.bind(ctx, r, binding{uid: uid, node: node})
}

// Evict deletes a pod as far as disruption budgets allow.
func (l *Local) Evict(ctx context.Context, pod view.Key, opts metav1.DeleteOptions) error {
	r, err := l.requestFor(pod, "eviction")
	if err != nil {
		return err
	}
	return l.server.evict(ctx, r, opts)
}

func (l *Local) request(obj kind.Object, subresource string) (request, error) {
	k := l.server.cfg.Kinds.Of(obj)
	if k == nil {
		return request{}, errUnknownType(obj)
	}
	return request{user: l.user, kind: k, key: view.KeyOf(k.ID, obj), subresource: subresource, manager: l.manager(), local: true}, nil
}

func (l *Local) requestFor(key view.Key, subresource string) (request, error) {
	k := l.server.cfg.Kinds.ByID(key.Kind)
	if k == nil {
		return request{}, errUnknownKind(key.Kind)
	}
	return request{user: l.user, kind: k, key: key, subresource: subresource, manager: l.manager(), local: true}, nil
}

// manager returns the name that this client's changes are recorded under when options name none.
func (l *Local) manager() string {
	if l.by != "" {
		return l.by
	}
	return strings.TrimPrefix(l.user.Name, "system:")
}

func private(obj kind.Object) kind.Object { return obj.DeepCopyObject().(kind.Object) }
