package network_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"sampan/podruntime"
)

func TestManyPodsAtOnceGetDifferentAddresses(t *testing.T) {
	m := newMachine(t)
	const n = 40
	spaces := make([]*space, n)
	for i := range spaces {
		spaces[i] = newSpace(t)
	}
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	var wg sync.WaitGroup
	for i := range n {
		// Two calls for each sandbox, which must agree.
		for range 2 {
			wg.Go(func() {
				addrs, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: fmt.Sprint("s", i), NetNS: spaces[i].path(),
					HostPorts: []podruntime.HostPort{{HostPort: uint16(9000 + i), ContainerPort: 80, Protocol: "TCP"}}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[addrs[0]] = true
				mu.Unlock()
			})
		}
	}
	wg.Wait()
	if len(seen) != n {
		t.Fatalf("%d sandboxes have %d addresses", n, len(seen))
	}
	spaces[7].serve(":80", "seven")
	m.outside.wantAnswer(nodeAddress+":9007", "seven", "")
	for i := range n {
		wg.Go(func() {
			if err := m.net.Detach(context.Background(), fmt.Sprint("s", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.stop()
	if err := m.net.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.wantClean()
}

func BenchmarkAttach(b *testing.B) {
	m := newMachine(b)
	s := newSpace(b)
	for b.Loop() {
		if _, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: "s", NetNS: s.path()}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := m.net.Detach(context.Background(), "s"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
