package etcd_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"sampan/store"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
	"sampan/store/storetest"
)

var names atomic.Int64

// open returns a store with a name of its own.
func open(t testing.TB, server *etcdtest.Server, change func(*etcd.Options)) *etcd.Store {
	t.Helper()
	opts := etcd.Options{
		Endpoints: []string{server.Endpoint}, Name: fmt.Sprintf("t%d", names.Add(1)), History: -1,
	}
	if change != nil {
		change(&opts)
	}
	s, err := etcd.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	server := etcdtest.Start(t, "http")
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, server, nil) })
}

// With room for one event in memory, the others are read from etcd.
func TestStoreReadingEventsFromEtcd(t *testing.T) {
	server := etcdtest.Start(t, "http")
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, server, func(o *etcd.Options) { o.RecentEvents = 1 })
	})
}
