package apiserver_test

import (
	"context"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/store/memory"
	"sampan/view"
)

func TestRestartedServerShowsWhatWasThere(t *testing.T) {
	st := memory.New()
	first := newServer(t, st)
	c := first.Client(masters())
	made := must(t, c, service("web"))
	second := newServer(t, st) // with its own Bootstrap
	if a, b := c.Snapshot().Revision(), second.Client(masters()).Snapshot().Revision(); a != b {
		t.Errorf("a second Bootstrap wrote something: revision %d, then %d", a, b)
	}
	got, err := second.Client(masters()).Get(t.Context(), serviceKey("web"))
	if err != nil {
		t.Fatal(err)
	}
	if svc := got.(*corev1.Service); svc.ResourceVersion != made.ResourceVersion || svc.UID != made.UID || svc.Kind != "Service" || svc.Spec.ClusterIP != made.Spec.ClusterIP {
		t.Errorf("after the restart: %+v, before: %+v", svc, made)
	}
}

func TestServersThatStartTogetherMakeTheAPIServiceOnce(t *testing.T) {
	st := memory.New()
	first := newServer(t, st)
	if _, err := first.Client(masters()).Delete(t.Context(), serviceKey("kubernetes"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	newServer(t, st) // makes it; the first server does not follow, so it does not know yet
	if err := first.Bootstrap(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestABindingOfEveryClusterToAnotherRoleIsReplaced(t *testing.T) {
	s := newMemory(t)
	c, key := s.Client(masters()), view.Key{Kind: kind.ClusterRoleBindings, Name: "system:discovery"}
	if _, err := c.Delete(t.Context(), key, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	must(t, c, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: key.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"}}})
	if err := s.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, ok := view.Get[*rbacv1.ClusterRoleBinding](c.Snapshot(), key.Kind, "", key.Name); !ok || b.RoleRef.Name != "system:discovery" {
		t.Errorf("the binding is to %+v", b)
	}
}

func TestEveryClusterHasItsNamespacesAndTheAPIService(t *testing.T) {
	s := newMemory(t)
	snap := s.Client(masters()).Snapshot()
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		if _, ok := view.Get[*corev1.Namespace](snap, kind.Namespaces, "", name); !ok {
			t.Errorf("no namespace %s", name)
		}
	}
	svc, _ := view.Get[*corev1.Service](snap, kind.Services, "default", "kubernetes")
	if svc == nil || svc.Spec.ClusterIP != "10.96.0.1" || svc.Spec.Ports[0].Port != 443 {
		t.Errorf("Service kubernetes: %+v", svc)
	}
}

func TestDeletedAPIServiceIsMadeAnew(t *testing.T) {
	s := newMemory(t)
	if err := s.Advertise(t.Context(), netip.MustParseAddrPort("10.0.0.2:6443")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx) }()
	c := s.Client(masters())
	for _, key := range []view.Key{
		{Kind: kind.Services, Namespace: "default", Name: "kubernetes"},
		{Kind: kind.EndpointSlices, Namespace: "default", Name: "kubernetes"},
	} {
		old := c.Snapshot().Get(key)
		if _, err := c.Delete(t.Context(), key, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for {
			snap := c.Snapshot()
			if now := snap.Get(key); now != nil && now.GetUID() != old.GetUID() {
				break
			}
			if err := c.Wait(t.Context(), snap.Revision()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestAdvertisedAddressesAreTheServicesEndpoints(t *testing.T) {
	s := newMemory(t)
	addrs := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:6443"), netip.MustParseAddrPort("10.0.0.1:6443")}
	if err := s.Advertise(t.Context(), addrs...); err != nil {
		t.Fatal(err)
	}
	snap := s.Client(masters()).Snapshot()
	slice, _ := view.Get[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, "default", "kubernetes")
	if slice == nil || len(slice.Endpoints) != 2 || slice.Endpoints[0].Addresses[0] != "10.0.0.1" || *slice.Ports[0].Port != 6443 {
		t.Fatalf("slice: %+v", slice)
	}
	if err := s.Advertise(t.Context(), addrs[1], addrs[0]); err != nil {
		t.Fatal(err)
	}
	if now := s.Client(masters()).Snapshot(); now.Revision() != snap.Revision() {
		t.Errorf("the same addresses were written again")
	}
	if err := s.Advertise(t.Context(), addrs[0]); err != nil {
		t.Fatal(err)
	}
	slice, _ = view.Get[*discoveryv1.EndpointSlice](s.Client(masters()).Snapshot(), kind.EndpointSlices, "default", "kubernetes")
	if len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != "10.0.0.2" {
		t.Errorf("slice: %+v", slice)
	}
}
