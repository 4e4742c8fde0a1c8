package apiserver_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/apiserver"
	"sampan/kind"
	"sampan/store"
	"sampan/store/memory"
	"sampan/view"
)

func service(name string, change ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}},
	}
	for _, c := range change {
		c(svc)
	}
	return svc
}

func ofType(typ corev1.ServiceType) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.Type = typ }
}

func serviceKey(name string) view.Key {
	return view.Key{Kind: kind.Services, Namespace: "default", Name: name}
}

func TestServiceGetsAnAddressThatIsItsOwn(t *testing.T) {
	services := netip.MustParsePrefix("10.96.0.0/27")
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.ServiceCIDR = services })
	c := s.Client(masters())
	seen := map[string]bool{apiserver.DNSAddress(services).String(): true, apiserver.APIAddress(services).String(): true}
	var last *corev1.Service
	for i := range 28 { // 32 without network, broadcast, API and DNS
		svc := must(t, c, service(fmt.Sprint("s", i)))
		if ip := svc.Spec.ClusterIP; seen[ip] || svc.Spec.ClusterIPs[0] != ip || !netip.MustParsePrefix("10.96.0.0/27").Contains(netip.MustParseAddr(ip)) {
			t.Fatalf("service %d got %s, %v", i, ip, svc.Spec.ClusterIPs)
		}
		seen[svc.Spec.ClusterIP] = true
		last = svc
	}
	if _, err := c.Create(t.Context(), service("full"), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "range is full") {
		t.Errorf("create in a full range: %v", err)
	}
	if _, err := c.Delete(t.Context(), serviceKey(last.Name), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := must(t, c, service("again")); again.Spec.ClusterIP != last.Spec.ClusterIP {
		t.Errorf("the only free address is %s, got %s", last.Spec.ClusterIP, again.Spec.ClusterIP)
	}
	dns := must(t, c, service("dns", func(svc *corev1.Service) { svc.Spec.ClusterIP = apiserver.DNSAddress(services).String() }))
	if dns.Spec.ClusterIP != "10.96.0.10" {
		t.Errorf("the DNS address is for those who ask for it: %s", dns.Spec.ClusterIP)
	}
}

func withHealthPort(svc *corev1.Service) {
	svc.Spec.Type, svc.Spec.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
}

func TestServiceGetsFamiliesAndAHealthPort(t *testing.T) {
	c := newMemory(t).Client(masters())
	svc := must(t, c, service("a", withHealthPort))
	if p := svc.Spec.HealthCheckNodePort; p < 30000 || p > 32767 || p == svc.Spec.Ports[0].NodePort {
		t.Errorf("health port %d beside node port %d", p, svc.Spec.Ports[0].NodePort)
	}
	if p := svc.Spec.IPFamilyPolicy; p == nil || *p != corev1.IPFamilyPolicySingleStack || len(svc.Spec.IPFamilies) != 1 || svc.Spec.IPFamilies[0] != corev1.IPv4Protocol {
		t.Errorf("families %v, policy %v", svc.Spec.IPFamilies, p)
	}
}

func TestRequestedAddressesAreHonouredOrRefused(t *testing.T) {
	c := newMemory(t).Client(masters())
	must(t, c, service("a", func(svc *corev1.Service) { svc.Spec.ClusterIP = "10.96.7.7" }))
	must(t, c, service("n", ofType(corev1.ServiceTypeNodePort), func(svc *corev1.Service) { svc.Spec.Ports[0].NodePort = 30080 }))
	for name, test := range map[string]struct {
		svc  *corev1.Service
		want string
	}{
		"taken address": {service("b", func(svc *corev1.Service) { svc.Spec.ClusterIP = "10.96.7.7" }),
			"failed to allocate IP 10.96.7.7: provided IP is already allocated"},
		"foreign address": {service("b", func(svc *corev1.Service) { svc.Spec.ClusterIP = "192.168.1.1" }),
			"the provided IP (192.168.1.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16"},
		"network address": {service("b", func(svc *corev1.Service) { svc.Spec.ClusterIP = "10.96.0.0" }),
			"the provided IP (10.96.0.0) is not in the valid range"},
		"broadcast address": {service("b", func(svc *corev1.Service) { svc.Spec.ClusterIP = "10.96.255.255" }),
			"the provided IP (10.96.255.255) is not in the valid range"},
		"taken port": {service("b", ofType(corev1.ServiceTypeNodePort), func(svc *corev1.Service) { svc.Spec.Ports[0].NodePort = 30080 }),
			"spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"},
		"foreign port": {service("b", ofType(corev1.ServiceTypeNodePort), func(svc *corev1.Service) { svc.Spec.Ports[0].NodePort = 80 }),
			"provided port is not in the valid range. The range of valid ports is 30000-32767"},
		"foreign health port": {service("b", withHealthPort, func(svc *corev1.Service) { svc.Spec.HealthCheckNodePort = 80 }),
			"spec.healthCheckNodePort: Invalid value: 80: provided port is not in the valid range"},
		"two families": {service("b", func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack) }),
			`spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`},
		"foreign family": {service("b", func(svc *corev1.Service) { svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }),
			`spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`},
	} {
		_, err := c.Create(t.Context(), test.svc, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChangingAServicesTypeClaimsAndReleases(t *testing.T) {
	st := memory.New()
	s := newServer(t, st)
	c := s.Client(masters())
	claims := func() (n int) {
		list, err := st.List(t.Context(), "/alloc/", store.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Records)
	}
	base := claims()
	svc := must(t, c, service("web"))
	if n := claims() - base; n != 1 {
		t.Errorf("ClusterIP holds %d claims", n)
	}
	to := func(change func(*corev1.Service)) *corev1.Service {
		t.Helper()
		next := svc.DeepCopy()
		change(next)
		obj, err := c.Update(t.Context(), next, "", metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		svc = obj.(*corev1.Service)
		return svc
	}
	ip := svc.Spec.ClusterIP
	if to(ofType(corev1.ServiceTypeNodePort)); svc.Spec.Ports[0].NodePort == 0 || claims()-base != 2 || svc.Spec.ClusterIP != ip {
		t.Errorf("NodePort: port %d, %d claims", svc.Spec.Ports[0].NodePort, claims()-base)
	}
	port := svc.Spec.Ports[0].NodePort
	// A manifest that does not name what was allocated keeps it.
	if to(func(svc *corev1.Service) {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs, svc.Spec.Ports[0].NodePort = "", nil, 0
		svc.ResourceVersion = ""
		svc.Labels = map[string]string{"a": "b"}
	}); svc.Spec.ClusterIP != ip || svc.Spec.Ports[0].NodePort != port {
		t.Errorf("update without addresses: %s %d, want %s %d", svc.Spec.ClusterIP, svc.Spec.Ports[0].NodePort, ip, port)
	}
	if to(ofType(corev1.ServiceTypeClusterIP)); svc.Spec.Ports[0].NodePort != 0 || claims()-base != 1 {
		t.Errorf("back to ClusterIP: port %d, %d claims", svc.Spec.Ports[0].NodePort, claims()-base)
	}
	if to(func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	}); svc.Spec.ClusterIP != "" || claims() != base {
		t.Errorf("ExternalName: address %q, %d claims", svc.Spec.ClusterIP, claims()-base)
	}
	if _, err := c.Delete(t.Context(), serviceKey("web"), metav1.DeleteOptions{}); err != nil || claims() != base {
		t.Errorf("delete: %v, %d claims left", err, claims()-base)
	}
}

func TestTwoServersNeverGiveOneAddressTwice(t *testing.T) {
	st := memory.New()
	narrow := func(cfg *apiserver.Config) { cfg.ServiceCIDR = netip.MustParsePrefix("10.96.0.0/26") }
	servers := []*apiserver.Server{newServer(t, st, narrow), newServer(t, st, narrow)}
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			c := s.Client(masters())
			for j := range 25 {
				if _, err := c.Create(t.Context(), service(fmt.Sprintf("s%d-%d", i, j)), metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, servers[0].Client(masters()), service("last")) // brings the first server's view up to date
	seen := map[string]string{}
	for svc := range view.All[*corev1.Service](servers[0].Client(masters()).Snapshot(), kind.Services, "") {
		if other := seen[svc.Spec.ClusterIP]; other != "" {
			t.Errorf("%s and %s both have %s", other, svc.Name, svc.Spec.ClusterIP)
		}
		seen[svc.Spec.ClusterIP] = svc.Name
	}
	if len(seen) != 52 {
		t.Errorf("%d services, want 52", len(seen))
	}
}
