package controller

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/client"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
	"sampan/view/viewtest"
)

// unneeded panics: it is what a client does beside what the test needs.
type unneeded struct{ client.Client }

// server is a client over a world of ConfigMaps and nothing else.
type server struct {
	unneeded
	*viewtest.Source

	mu     sync.Mutex // held while writing; guards following
	refuse error      // of creations
}

func newServer() *server { return &server{Source: viewtest.NewSource()} }

func (s *server) Create(_ context.Context, obj kind.Object, _ metav1.CreateOptions) (kind.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := view.KeyOf(kind.ConfigMaps, obj)
	switch {
	case s.refuse != nil:
		return nil, s.refuse
	case s.Snapshot().Get(key) != nil:
		return nil, apierrors.NewAlreadyExists(kind.ConfigMaps.GroupResource(), key.Name)
	}
	obj = obj.DeepCopyObject().(kind.Object)
	obj.SetResourceVersion(strconv.FormatInt(s.Snapshot().Revision()+1, 10))
	s.Put(kind.ConfigMaps, obj)
	return obj, nil
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

// copier makes "<name>-copy" for each ConfigMap, a while after it saw it.
func copier(delay time.Duration) plan.Controller {
	type mem struct{ due time.Time }
	return plan.Define("copier", []plan.Watch{{Kind: kind.ConfigMaps, Keys: plan.Self}},
		func(snap *view.Snapshot, key view.Key, now time.Time) view.Key { return key },
		func(key view.Key, m mem) (p plan.Plan, _ mem) {
			if len(key.Name) > 1 {
				return p, m
			}
			if m.due.IsZero() && delay > 0 {
				m.due = time.Now().Add(delay) // the test's own clock, under synctest
				p.Wake(m.due)
				return p, m
			}
			p.Do(plan.Create{Object: configMap(key.Name + "-copy")})
			return p, m
		})
}

func run(t *testing.T, s *server, c plan.Controller, change ...func(*Config)) *Runner {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := Config{Client: s, Controllers: []plan.Controller{c}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	r := New(cfg)
	stopped := make(chan error)
	go func() { stopped <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (s *server) has(name string) bool {
	return s.Snapshot().Get(view.Key{Kind: kind.ConfigMaps, Namespace: "ns", Name: name}) != nil
}

func TestRunnerDecidesAboutWhatIsThereAndWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		_, _ = s.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
		run(t, s, copier(0))
		synctest.Wait()
		if !s.has("a-copy") {
			t.Error("what was there before the start is not decided about")
		}
		_, _ = s.Create(t.Context(), configMap("b"), metav1.CreateOptions{})
		synctest.Wait()
		if !s.has("b-copy") {
			t.Error("what came is not decided about")
		}
	})
}

func TestRunnerWakesAtTheTimeOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		run(t, s, copier(time.Hour))
		_, _ = s.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if s.has("a-copy") {
			t.Error("too early")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !s.has("a-copy") {
			t.Error("not woken")
		}
	})
}

func TestRunnerTriesAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		_, _ = s.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
		s.refuse = errors.New("disk full")
		r := run(t, s, copier(0))
		synctest.Wait()
		reports := r.Explain(view.Key{Kind: kind.ConfigMaps, Namespace: "ns", Name: "a"})
		if len(reports) != 1 || reports[0].Err == nil {
			t.Errorf("reports are %+v", reports)
		}
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !s.has("a-copy") {
			t.Error("not tried again")
		}
	})
}

func TestPanicOfADecisionIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		tries := 0
		c := copier(0)
		decide := c.Decide
		c.Decide = func(snap *view.Snapshot, key view.Key, now time.Time, mem any) (plan.Plan, any) {
			if tries++; tries < 3 { // one key, so one at a time
				panic("a mistake")
			}
			return decide(snap, key, now, mem)
		}
		_, _ = s.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
		run(t, s, c)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !s.has("a-copy") {
			t.Error("not tried again")
		}
	})
}

func TestRepeatedCreationIsDone(t *testing.T) {
	s := newServer()
	p := plan.Plan{Actions: []plan.Action{
		plan.Create{Object: configMap("a")}, plan.Create{Object: configMap("a")}, plan.Create{Object: configMap("b")},
	}}
	if o := Carry(t.Context(), s, p, nil); o.Err != nil || o.Carried != 3 || o.Revision != 2 {
		t.Errorf("outcome is %+v", o)
	}
}

func TestFirstFailureEndsThePlan(t *testing.T) {
	s := newServer()
	s.refuse = errors.New("no")
	first := plan.Create{Object: configMap("a")}
	o := Carry(t.Context(), s, plan.Plan{Actions: []plan.Action{first, plan.Bind{}}}, nil)
	if o.Err == nil || o.Carried != 0 || o.Failed != plan.Action(first) {
		t.Errorf("outcome is %+v", o)
	}
}
