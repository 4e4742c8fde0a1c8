// Package client is how everything but the API server itself talks to the API server.
//
// In one process a [Client] is a direct call (the API server's Local): objects travel by pointer, and the
// view is the API server's own cache. Elsewhere it is HTTPS with a cache of its own. Both have the same
// admission, validation and errors.
//
// Errors are *errors.StatusError of k8s.io/apimachinery; callers branch on the apierrors.IsX functions only.
package client

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/view"
)

// Source is a view that follows the API server. It is pulled: a reader keeps the revision of what it has
// seen, asks Since for what follows, and Waits when there is nothing.
type Source interface {
	// Snapshot returns the newest view.
	Snapshot() *view.Snapshot
	// Since returns the changes after a revision, oldest first, and the snapshot at the last of them.
	// ok is false when the history since then is gone: take everything from the snapshot, then.
	Since(after int64) (changes []view.Change, snap *view.Snapshot, ok bool)
	// Wait returns nil once the view is past the revision, or ctx's error.
	Wait(ctx context.Context, after int64) error
}

// Client sends requests as one user. Objects that go in are not written to by the callee and may be kept;
// objects that come out are read-only. A returned object's resourceVersion is the revision of the write.
type Client interface {
	Source

	// Get reads the newest state (never an older one than any write acknowledged before the call).
	Get(ctx context.Context, key view.Key) (kind.Object, error)
	Create(ctx context.Context, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error)
	// Update replaces an object. subresource is "" or "status". A resourceVersion in obj makes it conditional.
	Update(ctx context.Context, obj kind.Object, subresource string, opts metav1.UpdateOptions) (kind.Object, error)
	// Patch applies a JSON, merge or strategic merge patch. subresource is "", "status" or "scale".
	Patch(ctx context.Context, key view.Key, pt types.PatchType, data []byte, subresource string, opts metav1.PatchOptions) (kind.Object, error)
	// Delete starts or finishes the deletion of an object. The result is its last state, or its state while
	// it waits for its grace period or finalizers.
	Delete(ctx context.Context, key view.Key, opts metav1.DeleteOptions) (kind.Object, error)
	// Bind assigns a pod to a node.
	Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error
	// Evict deletes a pod as far as disruption budgets allow.
	Evict(ctx context.Context, pod view.Key, opts metav1.DeleteOptions) error
}

// TokenIssuer is a client that can ask for tokens of service accounts (serviceaccounts/token). The node agent
// needs one for the token volumes of its pods.
type TokenIssuer interface {
	// Token returns the request with its status: the token and when it expires.
	Token(ctx context.Context, serviceAccount view.Key, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)
}
