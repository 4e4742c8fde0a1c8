package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/client"
	"sampan/kind"
	"sampan/network/link"
	"sampan/network/ruleset"
	"sampan/view"
)

// recorder is a table that notes what is asked of it, and fails as told.
type recorder struct {
	exists bool

	mu    sync.Mutex // guards the fields below
	fail  []error    // answers to come, nil for success
	calls []string
}

func (r *recorder) called() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *recorder) next(call string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
	if len(r.fail) == 0 {
		return nil
	}
	err := r.fail[0]
	r.fail = r.fail[1:]
	return err
}

func (r *recorder) Exists() (bool, error)       { return r.exists, nil }
func (r *recorder) Sync(ruleset.Changes) error  { return r.next("sync") }
func (r *recorder) Apply(ruleset.Changes) error { return r.next("apply") }
func (r *recorder) Forget([]link.Flow) error    { return nil }

// still is a source with one snapshot and no changes.
type still struct {
	client.Client
	snap *view.Snapshot
}

func (s still) Snapshot() *view.Snapshot { return s.snap }
func (s still) Wait(ctx context.Context, after int64) error {
	if s.snap.Revision() > after {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func newTestProxy(r *recorder) *proxy {
	var w view.World
	w.Put(kind.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.20", Ports: []corev1.ServicePort{{Port: 80, Protocol: "TCP"}}}}, 7)
	return newProxy(Config{Client: still{snap: w.Snapshot()}, NodeName: "n1", ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), DNSAddress: netip.MustParseAddr("10.96.0.10"),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, r, r)
}

func run(t *testing.T, p *proxy) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestTableOfTheProcessBeforeStaysUntilServicesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{exists: true}
		p := newTestProxy(r)
		if err := p.start(nil); err != nil || len(r.calls) != 0 {
			t.Fatal(r.calls, err)
		}
		attached := make(chan error, 1)
		go func() { attached <- p.set(t.Context(), "hostport/x", ruleset.Part{}) }()
		synctest.Wait()
		select {
		case <-attached:
			t.Fatal("host ports were reported before the kernel had them")
		default:
		}
		stop := run(t, p)
		if err := <-attached; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		if !slices.Equal(r.called(), []string{"sync"}) {
			t.Fatal(r.called())
		}
	})
}

func TestFailedChangeIsWrittenAnewUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := &recorder{}
		p := newTestProxy(r)
		if err := p.start(nil); err != nil {
			t.Fatal(err)
		}
		r.fail = []error{broken, broken, broken, nil}
		stop := run(t, p)
		synctest.Wait()
		if !slices.Equal(r.called(), []string{"sync", "apply", "sync"}) {
			t.Fatal(r.called())
		}
		timeout, cancel := context.WithTimeout(t.Context(), retryMax)
		defer cancel()
		<-timeout.Done()
		synctest.Wait()
		stop()
		if !slices.Equal(r.called(), []string{"sync", "apply", "sync", "sync", "sync"}) {
			t.Fatal(r.called())
		}
	})
}
