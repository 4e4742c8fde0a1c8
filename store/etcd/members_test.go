package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
)

// scribe writes one key after the other, and knows what was acknowledged.
type scribe struct {
	store  *etcd.Store
	name   string
	acked  map[string]int64
	unsure map[string]bool
	told   chan struct{} // gets one for each acknowledged write, if somebody waits
}

func (w *scribe) write(ctx context.Context, t *testing.T) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("/%s/%d", w.name, i)
		revision, err := w.store.Apply(t.Context(), store.Write{Key: key, Value: []byte(key)})
		switch {
		case err == nil:
			w.acked[key] = revision
			select {
			case w.told <- struct{}{}:
			case <-ctx.Done():
			default:
			}
		case errors.Is(err, store.ErrUnavailable):
			w.unsure[key] = true
		default:
			t.Errorf("%s: %v", key, err)
			return
		}
	}
}

// leads returns the index of the member that leads.
func leads(t *testing.T, members []*etcdtest.Server) int {
	t.Helper()
	for t.Context().Err() == nil {
		for i, m := range members {
			client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.Endpoint}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			status, err := client.Status(ctx, m.Endpoint)
			cancel()
			client.Close()
			if err == nil && status.Leader == status.Header.MemberId {
				return i
			}
		}
	}
	t.Fatal("no member leads")
	return 0
}

// TestMembersMayDieUnderLoad kills members of an etcd of three while two stores write: whatever is acknowledged stays,
// and both see it once and in one order. A further address, at which nobody is, does not matter.
func TestMembersMayDieUnderLoad(t *testing.T) {
	members := etcdtest.StartCluster(t, 3, "--heartbeat-interval=20", "--election-timeout=200")
	opts := etcd.Options{Name: "a", History: -1, Endpoints: []string{netip.AddrPortFrom(etcdtest.Host(), 1).String()}}
	for _, m := range members {
		opts.Endpoints = append(opts.Endpoints, m.Endpoint)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	var scribes []*scribe
	for i := range 2 {
		s, err := etcd.Open(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := &scribe{store: s, name: fmt.Sprint("w", i), acked: map[string]int64{}, unsure: map[string]bool{}, told: make(chan struct{})}
		scribes = append(scribes, w)
	}
	base := max(scribes[0].store.Revision(), scribes[1].store.Revision())
	for _, w := range scribes {
		writing.Go(func() { w.write(ctx, t) })
	}
	goesOn := func() {
		t.Helper()
		for _, w := range scribes {
			for range 20 {
				select {
				case <-w.told:
				case <-time.After(time.Minute):
					t.Fatalf("%s: no write is acknowledged any more", w.name)
				}
			}
		}
	}
	goesOn()
	for _, behind := range []int{0, 1} { // the leader, another one
		dies := (leads(t, members) + behind) % len(members)
		members[dies].Kill()
		goesOn()
		members[dies].Run(t)
		goesOn()
	}
	last := leads(t, members)
	for _, behind := range []int{1, 2} {
		members[(last+behind)%len(members)].Kill()
	}
	// The one that is left refuses what it cannot do, and says why.
	if _, err := scribes[0].store.Apply(t.Context(), store.Write{Key: "/alone", Value: []byte("1")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("one of three: %v", err)
	}
	for _, behind := range []int{1, 2} {
		members[(last+behind)%len(members)].Run(t)
	}
	goesOn()
	stop()
	writing.Wait()

	newest := int64(0)
	for _, w := range scribes {
		if err := w.store.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		newest = max(newest, w.store.Revision())
	}
	var first []store.Event
	for i, w := range scribes {
		events := read(t, w.store, base, newest)
		if i == 0 {
			first = events
		} else if len(events) != len(first) {
			t.Fatalf("%d events at one, %d at the other", len(first), len(events))
		}
		at := map[string]int64{}
		for n, e := range events {
			if e.Key != first[n].Key || e.Revision != first[n].Revision || n > 0 && e.Revision <= events[n-1].Revision {
				t.Fatalf("event %d: %s at %d, at the other %s at %d", n, e.Key, e.Revision, first[n].Key, first[n].Revision)
			}
			at[e.Key] = e.Revision
		}
		for _, of := range scribes {
			for key, revision := range of.acked {
				if at[key] != revision {
					t.Errorf("%s was acknowledged at %d, and is at %d", key, revision, at[key])
				}
				delete(at, key)
			}
			for key := range of.unsure {
				delete(at, key)
			}
		}
		if delete(at, "/alone"); len(at) > 0 {
			t.Errorf("nobody has written %v", at)
		}
	}
	t.Logf("%d events, %d and %d writes of unknown outcome", len(first), len(scribes[0].unsure), len(scribes[1].unsure))
}

// A member that hangs keeps its connections, so that calls fall to it; what is newest is then asked of another one.
func TestNewestIsLearntWhileAMemberHangs(t *testing.T) {
	members := etcdtest.StartCluster(t, 3)
	opts := etcd.Options{Name: "a"}
	for _, m := range members {
		opts.Endpoints = append(opts.Endpoints, m.Endpoint)
	}
	s, err := etcd.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 10 { // until all members are connected to
		put(t, s, fmt.Sprintf("/%d", i), "1", 0)
	}
	members[(leads(t, members)+1)%len(members)].Hang(t)
	for range 2 * len(members) {
		if err := s.CatchUp(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
