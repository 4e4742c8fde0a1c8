package election

import (
	"context"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

// guard is a client that writes up to a time only. The context of a duty ends when the election comes to see that it is
// lost; a process that stood still for a while may have a write in hand before that.
type guard struct {
	client.Client
	now func() time.Time
	end atomic.Pointer[time.Time]
}

func newGuard(c client.Client, now func() time.Time, end time.Time) *guard {
	g := &guard{Client: c, now: now}
	g.until(end)
	return g
}

// until moves the time.
func (g *guard) until(end time.Time) { g.end.Store(&end) }

func (g *guard) check() error {
	if g.now().Before(*g.end.Load()) {
		return nil
	}
	return apierrors.NewServiceUnavailable("nothing was written: another process may be leading now")
}

// Create implements client.Client.
func (g *guard) Create(ctx context.Context, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return g.Client.Create(ctx, obj, opts)
}

// Update implements client.Client.
func (g *guard) Update(ctx context.Context, obj kind.Object, subresource string, opts metav1.UpdateOptions) (kind.Object, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return g.Client.Update(ctx, obj, subresource, opts)
}

// Patch implements client.Client.
func (g *guard) Patch(ctx context.Context, key view.Key, pt types.PatchType, data []byte, subresource string, opts metav1.PatchOptions) (kind.Object, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return g.Client.Patch(ctx, key, pt, data, subresource, opts)
}

// Delete implements client.Client.
func (g *guard) Delete(ctx context.Context, key view.Key, opts metav1.DeleteOptions) (kind.Object, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return g.Client.Delete(ctx, key, opts)
}

// Bind implements client.Client.
func (g *guard) Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Client.Bind(ctx, pod, uid, node)
}

// Evict implements client.Client.
func (g *guard) Evict(ctx context.Context, pod view.Key, opts metav1.DeleteOptions) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Client.Evict(ctx, pod, opts)
}
