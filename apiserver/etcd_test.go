package apiserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver"
	"sampan/client"
	"sampan/kind"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
	"sampan/view"
)

// onEtcd returns clients of API servers that share an etcd.
func onEtcd(t *testing.T, server *etcdtest.Server, n int) []client.Client {
	t.Helper()
	clients := make([]client.Client, n)
	for i, s := range sharing(t, server, n) {
		clients[i] = s.Client(masters())
	}
	return clients
}

// sharing returns API servers that share an etcd, each as one process of its own would have it.
func sharing(t *testing.T, server *etcdtest.Server, n int, change ...func(*apiserver.Config)) []*apiserver.Server {
	t.Helper()
	servers := make([]*apiserver.Server, n)
	for i := range servers {
		st, err := etcd.Open(t.Context(), etcd.Options{Endpoints: []string{server.Endpoint}})
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, st, append(change, func(c *apiserver.Config) {
			c.SharedStore = true
			c.Random = rand.NewPCG(uint64(i), 1)
			made := c.NewUID
			c.NewUID = func() types.UID { return types.UID(fmt.Sprintf("server-%d-%s", i, made())) }
		})...)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := errors.Join(<-done, st.Close()); err != nil {
				t.Error(err)
			}
		})
		servers[i] = s
	}
	return servers
}

// until waits until a client's view satisfies a condition.
func until(t *testing.T, c client.Client, what string, holds func(*view.Snapshot) bool) {
	t.Helper()
	for {
		snap := c.Snapshot()
		if holds(snap) {
			return
		}
		if err := c.Wait(t.Context(), snap.Revision()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func configMapNamed(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func TestServersOnOneEtcdSeeEachOther(t *testing.T) {
	c := onEtcd(t, etcdtest.Start(t, "http"), 2)
	for i := range 20 {
		writer, reader, name := c[i%2], c[1-i%2], fmt.Sprintf("cm-%d", i)
		made, err := writer.Create(t.Context(), configMapNamed(name), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := view.Get[*corev1.ConfigMap](writer.Snapshot(), kind.ConfigMaps, "default", name); !ok {
			t.Fatalf("%s: the writer does not see its own write", name)
		}
		until(t, reader, name, func(s *view.Snapshot) bool {
			seen, ok := view.Get[*corev1.ConfigMap](s, kind.ConfigMaps, "default", name)
			return ok && seen.ResourceVersion == made.GetResourceVersion() && seen.UID == made.GetUID()
		})
		// The reader changes it, and the writer's copy is then stale.
		changed := configMapNamed(name)
		changed.ResourceVersion, changed.Data = made.GetResourceVersion(), map[string]string{"by": "reader"}
		if _, err := reader.Update(t.Context(), changed, "", metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		stale := configMapNamed(name)
		stale.ResourceVersion, stale.Data = made.GetResourceVersion(), map[string]string{"by": "writer"}
		if _, err := writer.Update(t.Context(), stale, "", metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("%s: an update of a stale version: %v", name, err)
		}
		if seen, _ := view.Get[*corev1.ConfigMap](writer.Snapshot(), kind.ConfigMaps, "default", name); seen.Data["by"] != "reader" {
			t.Errorf("%s: after the conflict the writer sees %v", name, seen.Data)
		}
	}
}

func TestServersOnOneEtcdNeverGiveAwayTheSameTwice(t *testing.T) {
	const servers, each = 3, 25
	c := onEtcd(t, etcdtest.Start(t, "http"), servers)
	var mu sync.Mutex // guards below
	made := map[string]int{}
	addresses := map[string]string{}
	var all sync.WaitGroup
	for n := range servers {
		all.Go(func() {
			for i := range each {
				// Everybody wants this name.
				name := fmt.Sprintf("cm-%d", i)
				_, err := c[n].Create(t.Context(), configMapNamed(name), metav1.CreateOptions{})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					t.Error(err)
				}
				// Everybody wants a free address.
				svc := &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("svc-%d-%d", n, i)},
					Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
				}
				got, serviceErr := c[n].Create(t.Context(), svc, metav1.CreateOptions{})
				if serviceErr != nil {
					t.Error(serviceErr)
					return
				}
				mu.Lock()
				if err == nil {
					made[name]++
				}
				spec := got.(*corev1.Service).Spec
				for _, unique := range []string{spec.ClusterIP, fmt.Sprint("port ", spec.Ports[0].NodePort)} {
					if other := addresses[unique]; other != "" {
						t.Errorf("%s is held by %s and %s", unique, other, got.GetName())
					}
					addresses[unique] = got.GetName()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(made) != each || len(addresses) != 2*servers*each {
		t.Errorf("%d names and %d addresses and ports", len(made), len(addresses))
	}
	for name, n := range made {
		if n != 1 {
			t.Errorf("%s was created %d times", name, n)
		}
	}
	// And one address that everybody asks for by name.
	won := 0
	for n := range servers {
		svc := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("fixed-%d", n)},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.77", Ports: []corev1.ServicePort{{Port: 80}}},
		}
		if _, err := c[n].Create(t.Context(), svc, metav1.CreateOptions{}); err == nil {
			won++
		} else if !apierrors.IsInvalid(err) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d Services hold one address", won)
	}
}

func TestEveryIncrementCountsOnTwoServers(t *testing.T) {
	c := onEtcd(t, etcdtest.Start(t, "http"), 2)
	if _, err := c[0].Create(t.Context(), configMapNamed("n"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, c[1], "n", func(s *view.Snapshot) bool {
		_, ok := view.Get[*corev1.ConfigMap](s, kind.ConfigMaps, "default", "n")
		return ok
	})
	const each = 30
	var all sync.WaitGroup
	for _, client := range c {
		all.Go(func() {
			for done := 0; done < each; {
				seen, _ := view.Get[*corev1.ConfigMap](client.Snapshot(), kind.ConfigMaps, "default", "n")
				next := seen.DeepCopy()
				var n int
				fmt.Sscan(seen.Data["n"], &n)
				next.Data = map[string]string{"n": fmt.Sprint(n + 1)}
				_, err := client.Update(t.Context(), next, "", metav1.UpdateOptions{})
				switch {
				case err == nil:
					done++
				case !apierrors.IsConflict(err):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for i, client := range c {
		until(t, client, fmt.Sprintf("server %d", i), func(s *view.Snapshot) bool {
			seen, _ := view.Get[*corev1.ConfigMap](s, kind.ConfigMaps, "default", "n")
			return seen.Data["n"] == fmt.Sprint(2*each)
		})
	}
}

func TestReadsGoOnWhileEtcdIsDown(t *testing.T) {
	server := etcdtest.Start(t, "http")
	c := onEtcd(t, server, 1)[0]
	if _, err := c.Create(t.Context(), configMapNamed("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := c.Create(t.Context(), configMapNamed("b"), metav1.CreateOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a write: %v", err)
	}
	if _, ok := view.Get[*corev1.ConfigMap](c.Snapshot(), kind.ConfigMaps, "default", "a"); !ok {
		t.Error("what was there is not seen")
	}
	server.Run(t)
	for {
		_, err := c.Create(t.Context(), configMapNamed("b"), metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) { // by a try whose outcome was unknown
			return
		}
		if !apierrors.IsServiceUnavailable(err) {
			t.Fatal(err)
		}
	}
}
