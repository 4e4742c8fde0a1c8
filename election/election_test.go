package election_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/apiserver/apiservertest"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/election"
	"sampan/kind"
	"sampan/view"
)

// link is a way to the API that a test can cut: writes fail then.
type link struct {
	client.Client
	cut atomic.Bool
}

func (l *link) Create(ctx context.Context, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error) {
	if l.cut.Load() {
		return nil, apierrors.NewServiceUnavailable("cut")
	}
	return l.Client.Create(ctx, obj, opts)
}

func (l *link) Update(ctx context.Context, obj kind.Object, subresource string, opts metav1.UpdateOptions) (kind.Object, error) {
	if l.cut.Load() {
		return nil, apierrors.NewServiceUnavailable("cut")
	}
	return l.Client.Update(ctx, obj, subresource, opts)
}

// candidate is one process.
type candidate struct {
	link
	name  string
	stop  context.CancelFunc
	left  chan error
	leads atomic.Bool
	// at its duty it holds this client; it ends when its context ends, or with what fail brings.
	hand atomic.Pointer[client.Client]
	fail chan error
}

type town struct {
	t      *testing.T
	began  time.Time
	server *apiserver.Server
	all    []*candidate
}

// elect runs a story of candidates in virtual time.
func elect(t *testing.T, n int, story func(w *town)) {
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, began: time.Now(), server: apiservertest.NewMemory(t)}
		for i := range n {
			w.join(fmt.Sprintf("c%d", i))
		}
		story(w)
		for _, c := range w.all {
			c.cut.Store(false)
			c.leave(t)
		}
	})
}

// join starts a candidate and waits until it does nothing.
func (w *town) join(name string) *candidate {
	c := &candidate{name: name, left: make(chan error, 1), fail: make(chan error, 1)}
	c.Client = w.server.Client(auth.User{Name: name, Groups: []string{auth.GroupMasters}})
	var ctx context.Context
	ctx, c.stop = context.WithCancel(w.t.Context())
	e := election.New(election.Config{
		Client: &c.link, Namespace: "kube-system", Name: "boat", Identity: name, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	go func() {
		c.left <- e.Run(ctx, func(ctx context.Context, hand client.Client) error {
			c.leads.Store(true)
			c.hand.Store(&hand)
			defer c.leads.Store(false)
			select {
			case <-ctx.Done():
				return nil
			case err := <-c.fail:
				return err
			}
		})
	}()
	w.all = append(w.all, c)
	synctest.Wait()
	return c
}

func (c *candidate) leave(t *testing.T) {
	if c.stop == nil {
		return
	}
	c.stop()
	c.stop = nil
	if err := <-c.left; err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
}

// leaders returns who leads.
func (w *town) leaders() string {
	synctest.Wait()
	text := ""
	for _, c := range w.all {
		if c.leads.Load() {
			text += c.name
		}
	}
	return text
}

func (w *town) expect(when, want string) {
	w.t.Helper()
	if got := w.leaders(); got != want {
		w.t.Errorf("%s, after %v, %q leads, want %q", when, time.Since(w.began), got, want)
	}
}

func (w *town) lease() *coordinationv1.Lease {
	w.t.Helper()
	l, ok := view.Get[*coordinationv1.Lease](w.all[0].Snapshot(), kind.Leases, "kube-system", "boat")
	if !ok {
		w.t.Fatal("there is no lease")
	}
	return l
}

func TestOneLeadsAndIsFollowedAtOnceWhenItLeaves(t *testing.T) {
	elect(t, 3, func(w *town) {
		w.expect("at first", "c0")
		time.Sleep(time.Hour)
		w.expect("later", "c0")
		w.all[0].leave(w.t)
		time.Sleep(3 * time.Second)
		got := w.leaders()
		if got != "c1" && got != "c2" {
			w.t.Fatalf("%q leads", got)
		}
		if l := w.lease(); *l.Spec.HolderIdentity != got || *l.Spec.LeaseDurationSeconds != 15 || *l.Spec.LeaseTransitions != 1 {
			w.t.Errorf("the lease is %+v", l.Spec)
		}
	})
}

// The one that was cut off has stopped before another one begins; when it is back, it stands by.
func TestLeaderThatIsCutOffStopsBeforeItIsFollowed(t *testing.T) {
	elect(t, 2, func(w *town) {
		w.all[0].cut.Store(true)
		cut := time.Now()
		lost, followed := time.Duration(0), time.Duration(0)
		for followed == 0 && time.Since(cut) < time.Minute {
			switch got := w.leaders(); {
			case got == "c0c1":
				w.t.Fatal("both lead")
			case got == "" && lost == 0:
				lost = time.Since(cut)
			case got == "c1":
				followed = time.Since(cut)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if lost == 0 || followed <= lost || followed > 17*time.Second {
			w.t.Errorf("it stopped after %v and was followed after %v", lost, followed)
		}
		if _, err := (*w.all[0].hand.Load()).Create(w.t.Context(), configMap("late"), metav1.CreateOptions{}); !apierrors.IsServiceUnavailable(err) {
			w.t.Errorf("it can still write: %v", err)
		}
		w.all[0].cut.Store(false)
		time.Sleep(time.Minute)
		w.expect("after the cut", "c1")
		w.all[1].leave(w.t)
		time.Sleep(3 * time.Second)
		w.expect("when it is alone", "c0")
		if _, err := (*w.all[0].hand.Load()).Create(w.t.Context(), configMap("new"), metav1.CreateOptions{}); err != nil {
			w.t.Errorf("the leader cannot write: %v", err)
		}
	})
}

func TestStoreThatIsAwayForAWhile(t *testing.T) {
	elect(t, 2, func(w *town) {
		for _, c := range w.all {
			c.cut.Store(true)
		}
		time.Sleep(5 * time.Second)
		w.expect("in a short break", "c0")
		time.Sleep(time.Minute)
		w.expect("in a long break", "")
		for _, c := range w.all {
			c.cut.Store(false)
		}
		time.Sleep(4 * time.Second)
		if got := w.leaders(); len(got) != 2 {
			w.t.Errorf("%q leads after the break", got)
		}
	})
}

// Somebody takes the lease by hand: its holder stops at once.
func TestLeaseInOtherHandsEndsTheDutyAtOnce(t *testing.T) {
	elect(t, 1, func(w *town) {
		w.expect("at first", "c0")
		l := w.lease().DeepCopy()
		l.Spec.HolderIdentity = new("somebody")
		if _, err := w.all[0].Client.Update(w.t.Context(), l, "", metav1.UpdateOptions{}); err != nil {
			w.t.Fatal(err)
		}
		w.expect("when another one holds the lease", "")
		if _, err := (*w.all[0].hand.Load()).Create(w.t.Context(), configMap("late"), metav1.CreateOptions{}); !apierrors.IsServiceUnavailable(err) {
			w.t.Errorf("it can still write: %v", err)
		}
		time.Sleep(16 * time.Second)
		w.expect("when that one is silent", "c0")
	})
}

func TestDutyThatFailsEndsTheCandidateAndFreesTheLease(t *testing.T) {
	elect(t, 2, func(w *town) {
		broken := errors.New("broken")
		w.all[0].fail <- broken
		if err := <-w.all[0].left; !errors.Is(err, broken) {
			w.t.Errorf("it ended with %v", err)
		}
		w.all[0].stop()
		w.all[0].stop = nil
		time.Sleep(3 * time.Second)
		w.expect("after that", "c1")
	})
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}
