package podconfig_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/kind"
	"sampan/node/podconfig"
	"sampan/view"
)

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "1", "B": "$(A)"}
	lookup := func(n string) (string, bool) { v, ok := env[n]; return v, ok }
	for in, want := range map[string]string{
		"": "", "x": "x", "$(A)": "1", "$$(A)": "$(A)", "$$$(A)": "$1", "$(NO)": "$(NO)", "$(A": "$(A", "$": "$",
		"a$b": "a$b", "$(A)$(A)": "11", "$(B)": "$(A)", "$()": "$()", "$$$$": "$$", "x$(A)y": "x1y",
	} {
		if got := podconfig.Expand(in, lookup); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$(A)", "$$(A", "$($(A))", "$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := podconfig.Expand(s, func(string) (string, bool) { return "", false })
		if !strings.Contains(s, "$") && out != s {
			t.Errorf("%q became %q", s, out)
		}
	})
}

func testPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", UID: "u", Labels: map[string]string{"app": "x"}},
		Spec: corev1.PodSpec{
			NodeName: "n1", DNSPolicy: corev1.DNSClusterFirst,
			Containers: []corev1.Container{{Name: "c", Image: "img"}},
		},
	}
}

func testFacts() podconfig.Facts {
	var w view.World
	w.Put(kind.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns"}, Data: map[string]string{"k": "v", "K2": "v2"}}, 1)
	w.Put(kind.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}, Data: map[string][]byte{"pw": []byte("x")}}, 2)
	w.Put(kind.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}}}}, 3)
	w.Put(kind.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "my-db", Namespace: "ns"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Port: 3306, Protocol: corev1.ProtocolTCP}}}}, 4)
	w.Put(kind.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "headless", Namespace: "ns"}, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 1}}}}, 5)
	return podconfig.Facts{
		Snapshot: w.Snapshot(), PodIPs: []string{"10.1.0.2"}, HostIPs: []string{"192.0.2.1"},
		Allocatable: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
}

func TestEnvFromAllSources(t *testing.T) {
	yes := true
	pod := testPod()
	c := &pod.Spec.Containers[0]
	c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}
	c.EnvFrom = []corev1.EnvFromSource{
		{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "no"}, Optional: &yes}},
	}
	field := func(p string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: p}}
	}
	c.Env = []corev1.EnvVar{
		{Name: "IP", ValueFrom: field("status.podIP")}, {Name: "APP", ValueFrom: field("metadata.labels['app']")},
		{Name: "PW", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "pw"}}},
		{Name: "OPT", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "no", Optional: &yes}}},
		{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "requests.cpu", Divisor: resource.MustParse("1m")}}},
		{Name: "MEM", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
		{Name: "DSN", Value: "mysql://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)/$(PW)$(LATER)"}, {Name: "LATER", Value: "x"},
		{Name: "P_k", Value: "overridden"},
	}
	env, err := podconfig.Env(pod, c, testFacts())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, kv := range env {
		if _, twice := got[kv.Key]; twice {
			t.Errorf("%s is set twice", kv.Key)
		}
		got[kv.Key] = string(kv.Value)
	}
	for k, want := range map[string]string{
		"IP": "10.1.0.2", "APP": "x", "PW": "x", "CPU": "250", "MEM": "1073741824", "P_k": "overridden", "P_K2": "v2",
		"DSN": "mysql://10.96.0.7:3306/x$(LATER)", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443",
		"KUBERNETES_SERVICE_PORT_HTTPS": "443", "MY_DB_PORT": "tcp://10.96.0.7:3306", "MY_DB_PORT_3306_TCP_ADDR": "10.96.0.7",
	} {
		if got[k] != want {
			t.Errorf("%s=%q, want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"OPT", "HEADLESS_SERVICE_HOST"} {
		if v, ok := got[k]; ok {
			t.Errorf("%s=%q is set", k, v)
		}
	}
	no := false
	pod.Spec.EnableServiceLinks = &no
	c.Env = c.Env[:1]
	env, _ = podconfig.Env(pod, c, testFacts())
	for _, kv := range env {
		if strings.HasPrefix(kv.Key, "MY_DB") {
			t.Errorf("%s is set without service links", kv.Key)
		}
	}
}

func TestEnvNamesWhatIsMissing(t *testing.T) {
	ref := corev1.LocalObjectReference{Name: "no"}
	for want, change := range map[string]func(*corev1.Container){
		`configmap "no" not found`: func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}}
		},
		`secret "no" not found`: func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: "k"}}}}
		},
		`couldn't find key no in ConfigMap ns/cm`: func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "no"}}}}
		},
	} {
		pod := testPod()
		change(&pod.Spec.Containers[0])
		if _, err := podconfig.Env(pod, &pod.Spec.Containers[0], testFacts()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestDNSByPolicy(t *testing.T) {
	host := podconfig.ParseResolvConf("# a comment\nsearch old.test\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch corp.test .\noptions timeout:1\n")
	two := "2"
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		want   *runtimeapi.DNSConfig
	}{
		"cluster first": {func(*corev1.PodSpec) {}, &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"},
			Searches: []string{"ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.test"}, Options: []string{"ndots:5"}}},
		"default": {func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSDefault }, &runtimeapi.DNSConfig{
			Servers: []string{"192.0.2.53", "192.0.2.54"}, Searches: []string{"corp.test"}, Options: []string{"timeout:1"}}},
		"host network": {func(s *corev1.PodSpec) { s.HostNetwork = true }, &runtimeapi.DNSConfig{
			Servers: []string{"192.0.2.53", "192.0.2.54"}, Searches: []string{"corp.test"}, Options: []string{"timeout:1"}}},
		"none with config": {func(s *corev1.PodSpec) {
			s.DNSPolicy = corev1.DNSNone
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}, Searches: []string{"a.test"}}
		}, &runtimeapi.DNSConfig{Servers: []string{"192.0.2.1"}, Searches: []string{"a.test"}}},
		"merged": {func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10", "192.0.2.1"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "edns0"}}}
		}, &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10", "192.0.2.1"},
			Searches: []string{"ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.test"}, Options: []string{"ndots:2", "edns0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := testPod()
			c.change(&pod.Spec)
			got := podconfig.DNS(pod, host, []string{"10.96.0.10"}, "cluster.local")
			if !slices.Equal(got.Servers, c.want.Servers) || !slices.Equal(got.Searches, c.want.Searches) || !slices.Equal(got.Options, c.want.Options) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestHostnameAndHostsFile(t *testing.T) {
	pod := testPod()
	pod.Spec.Hostname, pod.Spec.Subdomain = "web-0", "db"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.9", Hostnames: []string{"a", "b"}}}
	name, domain := podconfig.Hostname(pod, "cluster.local")
	text := podconfig.HostsFile(pod, "", name, domain, []string{"10.1.0.2"})
	want := "10.1.0.2\tweb-0.db.ns.svc.cluster.local\tweb-0\n\n# Entries added by HostAliases.\n192.0.2.9\ta\tb\n"
	if !strings.HasSuffix(text, want) || !strings.Contains(text, "127.0.0.1\tlocalhost\n") {
		t.Errorf("hosts:\n%s", text)
	}
	pod.Spec.Hostname, pod.Name = "", strings.Repeat("a", 62)+"-.b"
	if name, _ := podconfig.Hostname(pod, "cluster.local"); name != strings.Repeat("a", 62) {
		t.Errorf("long name became %q", name)
	}
}

func container(t *testing.T, change func(*corev1.Pod), in podconfig.ContainerInput) (*runtimeapi.ContainerConfig, error) {
	t.Helper()
	pod := testPod()
	change(pod)
	before := pod.DeepCopy()
	cfg, err := podconfig.Container(pod, &pod.Spec.Containers[0], in)
	if d := cmp.Diff(before, pod); d != "" {
		t.Errorf("the pod was written to: %s", d)
	}
	return cfg, err
}

func TestResourcesBecomeSharesQuotaAndScore(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	for name, c := range map[string]struct {
		requests, limits              corev1.ResourceList
		shares, quota, memory, oomAdj int64
	}{
		"best effort": {nil, nil, 2, 0, 0, 1000},
		"guaranteed":  {list("500m", "64Mi"), list("500m", "64Mi"), 512, 50000, 64 << 20, -997},
		"burstable":   {list("100m", "256Mi"), nil, 102, 0, 0, 750},
		"tiny":        {list("1m", "1Mi"), list("2m", "1Gi"), 2, 1000, 1 << 30, 999},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := container(t, func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: c.requests, Limits: c.limits}
			}, podconfig.ContainerInput{MemoryCapacity: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			r := cfg.Linux.Resources
			if r.CpuShares != c.shares || r.CpuQuota != c.quota || r.MemoryLimitInBytes != c.memory || r.OomScoreAdj != c.oomAdj {
				t.Errorf("%v", r)
			}
		})
	}
}

func TestSecurityContext(t *testing.T) {
	zero, user, group, yes, no := int64(0), int64(1000), int64(3000), true, false
	root, app := podconfig.ImageUser{}, podconfig.ImageUser{Name: "app"}
	sc := func(f func(*corev1.SecurityContext)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			s := &corev1.SecurityContext{}
			f(s)
			p.Spec.Containers[0].SecurityContext = s
		}
	}
	cfg, err := container(t, func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &zero, FSGroup: &group, SupplementalGroups: []int64{5}}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: &user, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}, Drop: []corev1.Capability{"ALL"}}}
	}, podconfig.ContainerInput{})
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Linux.SecurityContext
	if got.RunAsUser.Value != 1000 || !got.NoNewPrivs || !got.ReadonlyRootfs || !slices.Equal(got.SupplementalGroups, []int64{5, 3000}) ||
		got.Seccomp.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault || got.Capabilities.AddCapabilities[0] != "NET_ADMIN" || len(got.MaskedPaths) == 0 {
		t.Errorf("%v", got)
	}
	cfg, _ = container(t, sc(func(s *corev1.SecurityContext) { s.Privileged = &yes }), podconfig.ContainerInput{})
	if got := cfg.Linux.SecurityContext; !got.Privileged || got.Seccomp.ProfileType != runtimeapi.SecurityProfile_Unconfined || got.MaskedPaths != nil {
		t.Errorf("privileged: %v", got)
	}
	cfg, _ = container(t, func(*corev1.Pod) {}, podconfig.ContainerInput{ImageUser: app})
	if got := cfg.Linux.SecurityContext; got.RunAsUsername != "app" {
		t.Errorf("the image's user: %v", got)
	}
	for _, c := range []struct {
		user  *int64
		image podconfig.ImageUser
		want  string
	}{
		{nil, root, `container has runAsNonRoot and image will run as root (pod: "web_ns(u)", container: c)`},
		{&zero, root, `container's runAsUser breaks non-root policy (pod: "web_ns(u)", container: c)`},
		{nil, app, `container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: "web_ns(u)", container: c)`},
		{&user, root, ""}, {nil, podconfig.ImageUser{UID: &user}, ""},
	} {
		_, err := container(t, sc(func(s *corev1.SecurityContext) { s.RunAsNonRoot, s.RunAsUser = &yes, c.user }), podconfig.ContainerInput{ImageUser: c.image})
		if got := text(err); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSandboxConfig(t *testing.T) {
	yes := true
	pod := testPod()
	pod.Spec.ShareProcessNamespace = &yes
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: corev1.ProtocolUDP}, {ContainerPort: 81}}
	cfg := podconfig.Sandbox(pod, podconfig.SandboxInput{LogDir: "/logs"})
	ns := cfg.Linux.SecurityContext.NamespaceOptions
	if ns.Pid != runtimeapi.NamespaceMode_POD || ns.Network != runtimeapi.NamespaceMode_POD || len(cfg.PortMappings) != 1 || cfg.PortMappings[0].Protocol != runtimeapi.Protocol_UDP {
		t.Errorf("%v", cfg)
	}
	if cfg.Labels["io.kubernetes.pod.uid"] != "u" || cfg.Labels["app"] != "x" || pod.Labels["io.kubernetes.pod.uid"] != "" {
		t.Errorf("labels %v; the pod's %v", cfg.Labels, pod.Labels)
	}
	pod.Spec.HostNetwork, pod.Spec.HostPID, pod.Spec.HostIPC = true, true, true
	cfg = podconfig.Sandbox(pod, podconfig.SandboxInput{})
	ns = cfg.Linux.SecurityContext.NamespaceOptions
	if ns.Pid != runtimeapi.NamespaceMode_NODE || ns.Network != runtimeapi.NamespaceMode_NODE || ns.Ipc != runtimeapi.NamespaceMode_NODE || cfg.PortMappings != nil {
		t.Errorf("host namespaces: %v", cfg)
	}
}
