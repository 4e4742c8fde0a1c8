package etcd_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/internal/pki"
	"sampan/store"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
)

func put(t testing.TB, s store.Store, key, value string, expect int64) int64 {
	t.Helper()
	revision, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte(value), Expect: expect, Hint: value})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// pair returns two stores on the same name.
func pair(t testing.TB, server *etcdtest.Server, change func(*etcd.Options)) (a, b *etcd.Store) {
	name := fmt.Sprintf("t%d", names.Add(1))
	named := func(o *etcd.Options) {
		o.Name = name
		if change != nil {
			change(o)
		}
	}
	return open(t, server, named), open(t, server, named)
}

// read returns events up to a revision that is known to come.
func read(t testing.TB, s store.Store, after, upTo int64) []store.Event {
	t.Helper()
	var all []store.Event
	for after < upTo {
		if err := s.Wait(t.Context(), after); err != nil {
			t.Fatal(err)
		}
		events, err := s.Events(t.Context(), after, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
		after = all[len(all)-1].Revision
	}
	return all
}

func TestServersSeeEachOthersWritesInOneOrder(t *testing.T) {
	a, b := pair(t, etcdtest.Start(t, "http"), nil)
	base := a.Revision()
	var writers sync.WaitGroup
	var mu sync.Mutex
	last := int64(0)
	for w, s := range []*etcd.Store{a, b, a, b} {
		writers.Go(func() {
			for i := range 50 {
				revision, err := s.Apply(t.Context(), store.Write{Key: fmt.Sprintf("/%d/%d", w, i), Value: []byte{1}, Hint: s})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				last = max(last, revision)
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	fromA, fromB := read(t, a, base, last), read(t, b, base, last)
	if len(fromA) != 200 || len(fromB) != 200 {
		t.Fatalf("%d and %d events", len(fromA), len(fromB))
	}
	for i := range fromA {
		if fromA[i].Key != fromB[i].Key || fromA[i].Revision != fromB[i].Revision {
			t.Fatalf("event %d: %v at one, %v at the other", i, fromA[i], fromB[i])
		}
		// Hints are for the process that wrote.
		byA := fromA[i].Key[1] == '0' || fromA[i].Key[1] == '2'
		if (fromA[i].Hint == any(a)) != byA || (fromB[i].Hint == any(b)) == byA {
			t.Fatalf("event %d, %s: hints %v and %v", i, fromA[i].Key, fromA[i].Hint != nil, fromB[i].Hint != nil)
		}
	}
}

func TestCatchUpShowsWhatOthersWereTold(t *testing.T) {
	server := etcdtest.Start(t, "http")
	a, b := pair(t, server, nil)
	foreign := raw(t, server)
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("/%d/%d", reader, i)
				made := put(t, a, key, "1", 0)
				if err := b.CatchUp(t.Context()); err != nil || b.Revision() < made {
					t.Errorf("%s: at %d after the write at %d: %v", key, b.Revision(), made, err)
				}
				gone, err := a.Apply(t.Context(), store.Write{Key: key, Expect: made})
				if err != nil {
					t.Error(err)
				}
				// What another program writes to the same etcd is nothing to wait for.
				if _, err := foreign.Put(t.Context(), "/other/"+key, ""); err != nil {
					t.Error(err)
				}
				if err := b.CatchUp(t.Context()); err != nil || b.Revision() < gone {
					t.Errorf("%s: at %d after the deletion at %d: %v", key, b.Revision(), gone, err)
				}
			}
		})
	}
	readers.Wait()
}

// A server whose watch is behind learns from a conflict what was in its way, also if that is a deletion.
func TestConflictOfAnotherServerIsSeen(t *testing.T) {
	a, b := pair(t, etcdtest.Start(t, "http"), nil)
	for i := range 50 {
		key := fmt.Sprintf("/%d", i)
		made := put(t, a, key, "1", 0)
		gone, err := a.Apply(t.Context(), store.Write{Key: key, Expect: made})
		if err != nil {
			t.Fatal(err)
		}
		var conflict *store.ConflictError
		if _, err := b.Apply(t.Context(), store.Write{Key: key, Value: []byte("2"), Expect: made}); !errors.As(err, &conflict) || conflict.Current != 0 {
			t.Fatalf("%s: %v", key, err)
		}
		if b.Revision() < gone {
			t.Errorf("%s: the loser is at %d, the deletion at %d", key, b.Revision(), gone)
		}
	}
}

// Two servers that write the same bytes to a key: the one that was late gets no hint for the other's event.
func TestHintIsOnlyForTheOwnWrite(t *testing.T) {
	a, b := pair(t, etcdtest.Start(t, "http"), nil)
	for i := range 30 {
		key := fmt.Sprintf("/%d", i)
		var writers sync.WaitGroup
		won := make([]bool, 2)
		for n, s := range []*etcd.Store{a, b} {
			writers.Go(func() {
				_, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte("same"), Hint: n})
				var conflict *store.ConflictError
				if won[n] = err == nil; !won[n] && !errors.As(err, &conflict) {
					t.Error(err)
				}
				// The winner's event can be read by the loser too.
				events, err := s.Events(t.Context(), s.Revision()-1, 0)
				if err != nil || len(events) != 1 || events[0].Key != key || (events[0].Hint == any(n)) != won[n] {
					t.Errorf("%v wins %v: %+v, %v", n, won[n], events, err)
				}
			})
		}
		writers.Wait()
		if won[0] == won[1] {
			t.Fatalf("%s: both writers won: %v", key, won[0])
		}
	}
}

func TestEtcdThatIsDownFailsFastAndIsFollowedAgain(t *testing.T) {
	server := etcdtest.Start(t, "http")
	a, b := pair(t, server, nil)
	base := a.Revision()
	first := put(t, a, "/a", "1", 0)
	server.Kill()
	if _, err := a.Apply(t.Context(), store.Write{Key: "/a", Value: []byte("2"), Expect: first}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), server.Endpoint) {
		t.Errorf("write: %v", err)
	}
	if _, err := a.Get(t.Context(), "/a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := a.List(t.Context(), "/", store.ListOptions{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	if err := a.CatchUp(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("catch up: %v", err)
	}
	if events, err := a.Events(t.Context(), base, 0); err != nil || len(events) != 1 {
		t.Errorf("events in memory: %v, %v", events, err)
	}
	if _, err := etcd.Open(t.Context(), etcd.Options{Endpoints: []string{server.Endpoint}}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), server.Endpoint) {
		t.Errorf("open: %v", err)
	}
	server.Run(t)
	var second int64
	for { // until the connection is there again
		var err error
		if second, err = a.Apply(t.Context(), store.Write{Key: "/a", Value: []byte("2"), Expect: first}); err == nil {
			break
		}
		var conflict *store.ConflictError
		if errors.As(err, &conflict) && conflict.Current > first { // a try whose outcome was unknown
			second = conflict.Current
			break
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]store.Store{"writer": a, "other": b} {
		if events := read(t, s, base, second); len(events) != 2 || string(events[1].Value) != "2" {
			t.Errorf("%s: %+v", name, events)
		}
	}
}

// raw returns a client of etcd itself: another program.
func raw(t testing.TB, server *etcdtest.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCompactionByAnotherProgramEndsHistory(t *testing.T) {
	server := etcdtest.Start(t, "http")
	s := open(t, server, nil)
	first := put(t, s, "/a", "1", 0)
	second := put(t, s, "/a", "2", first)
	if _, err := raw(t, server).Compact(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context(), "/", store.ListOptions{At: first}); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("list: %v", err)
	}
	if err := s.Compact(t.Context(), first); err != nil {
		t.Errorf("compact to less: %v", err)
	}
	if list, err := s.List(t.Context(), "/", store.ListOptions{}); err != nil || len(list.Records) != 1 {
		t.Errorf("newest list: %+v, %v", list, err)
	}
	put(t, s, "/a", "3", second)
}

// What happens while a server is cut off, and is compacted before it is back, shows as ErrCompacted and a newer list.
func TestHistoryLostWhileCutOffSendsReadersToAList(t *testing.T) {
	server := etcdtest.Start(t, "http")
	proxy := newProxy(t, server.Endpoint)
	name := fmt.Sprintf("t%d", names.Add(1))
	cutOff := open(t, server, func(o *etcd.Options) { o.Name, o.Endpoints = name, []string{proxy.address()} })
	there := open(t, server, func(o *etcd.Options) { o.Name = name })
	first := put(t, cutOff, "/a", "1", 0)
	proxy.cut()
	second := put(t, there, "/a", "2", first)
	third := put(t, there, "/a", "3", second)
	if err := there.Compact(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	proxy.mend()
	if err := cutOff.Wait(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := cutOff.Events(t.Context(), first, 0); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("events: %v", err)
	}
	list, err := cutOff.List(t.Context(), "/", store.ListOptions{})
	if err != nil || list.Revision < third || string(list.Records[0].Value) != "3" {
		t.Errorf("list: %+v, %v", list, err)
	}
	fourth := put(t, there, "/a", "4", third)
	if events := read(t, cutOff, list.Revision, fourth); len(events) != 1 || string(events[0].Value) != "4" {
		t.Errorf("events after the list: %+v", events)
	}
}

func TestOldHistoryGoesAwayByItself(t *testing.T) {
	server := etcdtest.Start(t, "http")
	s := open(t, server, func(o *etcd.Options) { o.History, o.RecentEvents = 50, 10 })
	first := put(t, s, "/a", "0", 0)
	revision := first
	for i := range 500 {
		revision = put(t, s, "/a", fmt.Sprint(i), revision)
	}
	for { // by a goroutine, behind the writes
		_, err := s.List(t.Context(), "/", store.ListOptions{At: revision - 100})
		if errors.Is(err, store.ErrCompacted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		revision = put(t, s, "/a", "more", revision)
	}
	if events := read(t, s, revision-40, revision); len(events) != 40 {
		t.Errorf("%d events of the newest 40", len(events))
	}
}

func TestLongListIsReadInPagesOfOneRevision(t *testing.T) {
	s := open(t, etcdtest.Start(t, "http"), nil)
	const keys = 12_000
	for i := 0; i < keys; i += 100 {
		var writes []store.Write
		for j := range 100 {
			writes = append(writes, store.Write{Key: fmt.Sprintf("/k/%05d", i+j), Value: []byte{1}})
		}
		if _, err := s.Apply(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int]int{0: keys, 7000: 7000, keys: keys, 5000: 5000} {
		list, err := s.List(t.Context(), "/k/", store.ListOptions{Limit: limit})
		if err != nil || len(list.Records) != want || list.More != (want < keys) || list.Revision != s.Revision() {
			t.Errorf("limit %d: %d records, more %v, at %d, %v", limit, len(list.Records), list.More, list.Revision, err)
		}
	}
}

func TestTooLargeWriteIsSaidToBe(t *testing.T) {
	s := open(t, etcdtest.Start(t, "http"), nil)
	for _, size := range []int{1600 << 10, 3 << 20} { // refused by etcd, and by its client
		if _, err := s.Apply(t.Context(), store.Write{Key: "/a", Value: make([]byte, size)}); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	put(t, s, "/a", "1", 0)
}

// An etcd that is full refuses what takes more room, and what makes room is seen by all servers.
func TestFullEtcdTakesDeletionsAndRecovers(t *testing.T) {
	// etcd knows its size from the last commit of its back end: here that is the last write.
	server := etcdtest.Start(t, "http", "--quota-backend-bytes=4000000", "--backend-batch-limit=1")
	a, b := pair(t, server, nil)
	last := make([]int64, 0, 200)
	for err := error(nil); err == nil; {
		var revision int64
		revision, err = a.Apply(t.Context(), store.Write{Key: fmt.Sprintf("/%d", len(last)), Value: make([]byte, 100<<10)})
		if err == nil {
			last = append(last, revision)
		} else if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "defragment") {
			t.Fatal(err)
		}
		if len(last) == cap(last) {
			t.Fatal("it is never full")
		}
	}
	for i, revision := range last {
		gone, err := a.Apply(t.Context(), store.Write{Key: fmt.Sprintf("/%d", i), Expect: revision})
		if err != nil {
			t.Fatalf("deletion: %v", err)
		}
		if err := b.CatchUp(t.Context()); err != nil || b.Revision() < gone {
			t.Fatalf("the other server is at %d after a deletion at %d: %v", b.Revision(), gone, err)
		}
	}
	// What the message says is to be done.
	client := raw(t, server)
	if err := a.Compact(t.Context(), a.Revision()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first one may come before the compaction has freed all
		if _, err := client.Defragment(t.Context(), server.Endpoint); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	put(t, b, "/0", "1", 0)
}

func TestWriteOfTooManyKeysIsSaidToBe(t *testing.T) {
	s := open(t, etcdtest.Start(t, "http"), nil)
	writes := make([]store.Write, 150)
	for i := range writes {
		writes[i] = store.Write{Key: fmt.Sprintf("/a/%d", i), Value: []byte("1")}
	}
	if _, err := s.Apply(t.Context(), writes...); !errors.Is(err, store.ErrTooLarge) || !strings.Contains(err.Error(), "--max-txn-ops") {
		t.Errorf("%d keys: %v", len(writes), err)
	}
	if _, err := s.Apply(t.Context(), writes[:120]...); err != nil {
		t.Errorf("120 keys: %v", err)
	}
}

func TestStoresOfDifferentNamesAreApart(t *testing.T) {
	server := etcdtest.Start(t, "http")
	open1 := func(name string) *etcd.Store {
		return open(t, server, func(o *etcd.Options) { o.Name = name })
	}
	a, ab := open1("a"), open1("ab")
	put(t, a, "/k", "1", 0)
	put(t, ab, "/k", "2", 0)
	for s, want := range map[store.Store]string{a: "1", ab: "2"} {
		list, err := s.List(t.Context(), "", store.ListOptions{})
		if err != nil || len(list.Records) != 1 || string(list.Records[0].Value) != want {
			t.Errorf("%s: %+v, %v", want, list, err)
		}
	}
}

// A server that was running while its store was restored under it must not write what it knows from before.
func TestServerThatMissedARestoreCannotWrite(t *testing.T) {
	server := etcdtest.Start(t, "http")
	opts := etcd.Options{Endpoints: []string{server.Endpoint}, Name: "a"}
	s := open(t, server, func(o *etcd.Options) { o.Name = "a" })
	r, err := etcd.Restore(t.Context(), opts, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := s.Apply(t.Context(), store.Write{Key: "/a", Value: []byte("1")}); err == nil || !strings.Contains(err.Error(), "restart the server") {
		t.Errorf("write: %v", err)
	}
	if revision := put(t, r, "/a", "1", 0); revision <= 1000 {
		t.Errorf("revision %d", revision)
	}
}

func TestTLSWithClientCertificates(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	ca, err := pki.NewCA("test-ca", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "test-ca.crt"), ca.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Ensure(dir, "etcd", pki.Request{
		CommonName: "etcd", IPs: []netip.Addr{etcdtest.Host()}, Server: true, Client: true,
	}, now); err != nil {
		t.Fatal(err)
	}
	client, err := ca.Ensure(dir, "client", pki.Request{CommonName: "sampan", Client: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := client.TLS()
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string {
		found, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", name, found, err)
		}
		return found[0]
	}
	server := etcdtest.Start(t, "https", "--client-cert-auth",
		"--cert-file="+file("etcd.crt"), "--key-file="+file("etcd.key"), "--trusted-ca-file="+file("test-ca.crt"))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM)
	s := open(t, server, func(o *etcd.Options) {
		o.TLS = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
	})
	put(t, s, "/a", "1", 0)
	for name, cfg := range map[string]*tls.Config{
		"without a certificate": {RootCAs: pool},
		"with another CA":       {RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{cert}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := etcd.Open(ctx, etcd.Options{Endpoints: []string{server.Endpoint}, TLS: cfg}); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
		cancel()
	}
}
