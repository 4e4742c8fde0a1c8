package endpointslice_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"sampan/controller/endpointslice"
	"sampan/kind"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func webKey() view.Key { return view.Key{Kind: kind.Services, Namespace: "default", Name: "web"} }

func service(options ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web-uid", Labels: map[string]string{"team": "shop"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, ClusterIP: "10.96.0.5", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("web")}},
		},
	}
	for _, o := range options {
		o(s)
	}
	return s
}

func headless(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }

func pod(n int, options ...func(*corev1.Pod)) *corev1.Pod {
	name := fmt.Sprintf("web-%03d", n)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{
			Name: "main", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIPs:     []corev1.PodIP{{IP: fmt.Sprintf("10.0.%d.%d", n/200, n%200+1)}, {IP: fmt.Sprintf("fd00::%x", n+1)}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	p.Status.PodIP = p.Status.PodIPs[0].IP
	for _, o := range options {
		o(p)
	}
	return p
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func failed(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }

func terminating(p *corev1.Pod) {
	at := metav1.NewTime(now())
	p.DeletionTimestamp, p.Finalizers = &at, []string{"example.com/held"}
}

func port(number int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = number }
}

func hostname(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = name, "web" }
}

// show prints the slices of a cluster: type, ports, and each endpoint's address with the conditions that hold.
func show(snap *view.Snapshot) []string {
	var out []string
	for s := range view.All[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, "") {
		var b strings.Builder
		b.WriteString(string(s.AddressType))
		for _, p := range s.Ports {
			fmt.Fprintf(&b, " %s=%d", *p.Name, *p.Port)
		}
		b.WriteString(":")
		for _, e := range s.Endpoints {
			fmt.Fprintf(&b, " %s", e.Addresses[0])
			if *e.Conditions.Ready {
				b.WriteString("/R")
			}
			if *e.Conditions.Serving {
				b.WriteString("/S")
			}
			if *e.Conditions.Terminating {
				b.WriteString("/T")
			}
			if e.Hostname != nil {
				b.WriteString("/" + *e.Hostname)
			}
		}
		out = append(out, b.String())
	}
	slices.Sort(out)
	return out
}

func TestSlicesShowThePodsOfAService(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    []string
	}{
		{"nothing selected", []kind.Object{service()}, []string{"IPv4:"}},
		{"ready and not", []kind.Object{service(), pod(0), pod(1, unready)}, []string{"IPv4 http=8080: 10.0.0.1/R/S 10.0.0.2"}},
		{"terminating still serves", []kind.Object{service(), pod(0, terminating)}, []string{"IPv4 http=8080: 10.0.0.1/S/T"}},
		{"not ready is published", []kind.Object{service(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }), pod(0, unready)},
			[]string{"IPv4 http=8080: 10.0.0.1/R"}},
		{"finished pods are out", []kind.Object{service(), pod(0, failed)}, []string{"IPv4:"}},
		{"named port differs", []kind.Object{service(), pod(0), pod(1, port(9090)), pod(2)},
			[]string{"IPv4 http=8080: 10.0.0.1/R/S 10.0.0.3/R/S", "IPv4 http=9090: 10.0.0.2/R/S"}},
		{"two families", []kind.Object{service(func(s *corev1.Service) {
			s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
		}), pod(0)}, []string{"IPv4 http=8080: 10.0.0.1/R/S", "IPv6 http=8080: fd00::1/R/S"}},
		{"headless without ports", []kind.Object{service(headless, func(s *corev1.Service) { s.Spec.Ports = nil }), pod(0, hostname("db-0"))},
			[]string{"IPv4: 10.0.0.1/R/S/db-0"}},
		{"no selector", []kind.Object{service(func(s *corev1.Service) { s.Spec.Selector = nil }), pod(0)}, nil},
		{"pods of others", []kind.Object{service(), pod(0, func(p *corev1.Pod) { p.Labels["app"] = "db" })}, []string{"IPv4:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			plantest.Check(t, endpointslice.New(), webKey(), now(), c.objects...)
			cluster := plantest.New(now(), c.objects...)
			plantest.Fixpoint(t, endpointslice.New(), webKey(), cluster, func(*plantest.Cluster) bool { return false })
			if got := show(cluster.Snapshot()); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func settle(t *testing.T, c *plantest.Cluster) {
	t.Helper()
	plantest.Fixpoint(t, endpointslice.New(), webKey(), c, func(*plantest.Cluster) bool { return false })
}

func TestSliceCarriesTheServicesLabelsAndOwner(t *testing.T) {
	cluster := plantest.New(now(), service(headless), pod(0))
	settle(t, cluster)
	for s := range view.All[*discoveryv1.EndpointSlice](cluster.Snapshot(), kind.EndpointSlices, "") {
		want := map[string]string{"team": "shop", discoveryv1.LabelServiceName: "web",
			discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io", corev1.IsHeadlessService: ""}
		if fmt.Sprint(s.Labels) != fmt.Sprint(want) || !metav1.IsControlledBy(s, service()) || !strings.HasPrefix(s.Name, "web-") {
			t.Errorf("slice %s: labels %v, owners %v", s.Name, s.Labels, s.OwnerReferences)
		}
		if e := s.Endpoints[0]; *e.NodeName != "n1" || e.TargetRef.Name != "web-000" || e.TargetRef.Kind != "Pod" {
			t.Errorf("endpoint %+v", e)
		}
	}
}

func TestSlicesHoldAtMostAHundred(t *testing.T) {
	cluster := plantest.New(now(), service())
	for n := range 250 {
		cluster.Put(pod(n))
	}
	settle(t, cluster)
	var sizes []int
	for s := range view.All[*discoveryv1.EndpointSlice](cluster.Snapshot(), kind.EndpointSlices, "") {
		sizes = append(sizes, len(s.Endpoints))
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{50, 100, 100}) {
		t.Errorf("sizes %v", sizes)
	}
}

func TestOneChangedPodIsOneWrite(t *testing.T) {
	cluster := plantest.New(now(), service())
	for n := range 250 {
		cluster.Put(pod(n))
	}
	settle(t, cluster)
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"becomes unready", func() { cluster.Put(pod(7, unready)) }},
		{"is new", func() { cluster.Put(pod(300)) }},
		{"is gone", func() { cluster.Remove(view.Key{Kind: kind.Pods, Namespace: "default", Name: "web-120"}) }},
		{"is replaced", func() {
			cluster.Remove(view.Key{Kind: kind.Pods, Namespace: "default", Name: "web-121"})
			cluster.Put(pod(301))
		}},
	} {
		c.change()
		p, _ := endpointslice.New().Decide(cluster.Snapshot(), webKey(), now(), nil)
		if len(p.Actions) != 1 {
			t.Errorf("a pod that %s makes this plan:\n%s", c.name, plantest.Text(p, now()))
		}
		settle(t, cluster)
	}
}

func TestPodChangeThatEndpointsDoNotShowWakesNobody(t *testing.T) {
	cluster := plantest.New(now(), service(), pod(0))
	keys := func(old, new *corev1.Pod) (n int) {
		for _, w := range endpointslice.New().Watches {
			if w.Kind == kind.Pods {
				n += len(w.Keys(cluster.Snapshot(), view.Change{Key: view.KeyOf(kind.Pods, new), Old: old, New: new}))
			}
		}
		return n
	}
	if n := keys(pod(0), pod(0, func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} })); n != 0 {
		t.Errorf("an annotation woke %d keys", n)
	}
	if n := keys(pod(0), pod(0, unready)); n != 1 {
		t.Errorf("readiness woke %d keys", n)
	}
	if n := keys(pod(0), pod(0, func(p *corev1.Pod) { p.Labels["app"] = "db" })); n != 1 {
		t.Errorf("a label that the selector names woke %d keys", n)
	}
}

func TestEndpointsForOldClients(t *testing.T) {
	c := endpointslice.NewEndpoints()
	objects := []kind.Object{service(), pod(0), pod(1, unready), pod(2, terminating), pod(3, port(9090))}
	plantest.Check(t, c, webKey(), now(), objects...)
	cluster := plantest.New(now(), objects...)
	plantest.Fixpoint(t, c, webKey(), cluster, func(*plantest.Cluster) bool { return false })
	e, ok := view.Get[*corev1.Endpoints](cluster.Snapshot(), kind.Endpoints, "default", "web")
	if !ok || len(e.Subsets) != 2 {
		t.Fatalf("endpoints %+v", e)
	}
	first := e.Subsets[0]
	if len(first.Addresses) != 1 || first.Addresses[0].IP != "10.0.0.1" || len(first.NotReadyAddresses) != 1 ||
		first.NotReadyAddresses[0].IP != "10.0.0.2" || first.Ports[0].Port != 8080 {
		t.Errorf("first subset %+v", first)
	}
	cluster.Remove(webKey())
	plantest.Fixpoint(t, c, webKey(), cluster, func(*plantest.Cluster) bool { return false })
	if _, ok := view.Get[*corev1.Endpoints](cluster.Snapshot(), kind.Endpoints, "default", "web"); ok {
		t.Error("the Endpoints outlive their Service")
	}
}

func TestEndpointsOfUsersStay(t *testing.T) {
	own := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	plantest.Check(t, endpointslice.NewEndpoints(), webKey(), now(), own)
	p, _ := endpointslice.NewEndpoints().Decide(plantest.New(now(), own).Snapshot(), webKey(), now(), nil)
	if len(p.Actions) != 0 {
		t.Errorf("plan:\n%s", plantest.Text(p, now()))
	}
}

// TestEveryPodIsInExactlyOneSlice takes pods through any history, and after each step some slices may have been lost or
// emptied by others.
func TestEveryPodIsInExactlyOneSlice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cluster := plantest.New(now(), service())
		want := map[string]int32{} // port by pod address
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			for range rapid.IntRange(1, 60).Draw(rt, "changes") {
				n := rapid.IntRange(0, 260).Draw(rt, "pod")
				p := pod(n, port(rapid.SampledFrom([]int32{8080, 8080, 8080, 9090}).Draw(rt, "port")))
				if rapid.IntRange(0, 3).Draw(rt, "gone") == 0 {
					cluster.Remove(view.KeyOf(kind.Pods, p))
					delete(want, p.Status.PodIP)
				} else {
					cluster.Put(p)
					want[p.Status.PodIP] = p.Spec.Containers[0].Ports[0].ContainerPort
				}
			}
			for s := range view.All[*discoveryv1.EndpointSlice](cluster.Snapshot(), kind.EndpointSlices, "") {
				switch rapid.IntRange(0, 8).Draw(rt, "fault") {
				case 0:
					cluster.Remove(view.KeyOf(kind.EndpointSlices, s))
				case 1:
					s = s.DeepCopy()
					s.Endpoints = nil
					cluster.Put(s)
				}
			}
			settle(t, cluster)
			got := map[string]int32{}
			for s := range view.All[*discoveryv1.EndpointSlice](cluster.Snapshot(), kind.EndpointSlices, "") {
				if len(s.Endpoints) > 100 {
					rt.Fatalf("%d endpoints in one slice", len(s.Endpoints))
				}
				for _, e := range s.Endpoints {
					if _, twice := got[e.Addresses[0]]; twice {
						rt.Fatalf("%s is in two slices", e.Addresses[0])
					}
					got[e.Addresses[0]] = *s.Ports[0].Port
				}
			}
			if !maps.Equal(got, want) {
				rt.Fatalf("got %d endpoints, want %d", len(got), len(want))
			}
		}
	})
}
