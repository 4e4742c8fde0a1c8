package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/registry"
	"sampan/node"
	"sampan/view"
)

func worldOf(objects ...kind.Object) *view.Snapshot {
	var w view.World
	kinds := registry.New()
	for i, obj := range objects {
		w.Put(kinds.Of(obj).ID, obj, int64(i+1))
	}
	return w.Snapshot()
}

// sharing returns settings of a server on an etcd.
func sharing(t *testing.T, change func(*Config)) Settings {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir, cfg.NodeName, cfg.Store = t.TempDir(), "here", "etcd://127.0.0.1:2379"
	if change != nil {
		change(&cfg)
	}
	s, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nodeOf(name, pods, instance string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods}}
	if instance != "" {
		n.Annotations = map[string]string{node.InstanceAnnotation: instance}
	}
	return n
}

func TestServersOfAnotherClusterAreRefused(t *testing.T) {
	now := time.Now()
	renewed := func(ago time.Duration) *coordinationv1.Lease {
		at := metav1.NewMicroTime(now.Add(-ago))
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "here"},
			Spec:       coordinationv1.LeaseSpec{RenewTime: &at, LeaseDurationSeconds: new(int32(40))},
		}
	}
	api := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}}
	own := sharing(t, nil)
	for _, c := range []struct {
		name    string
		s       Settings
		objects []kind.Object
		wrong   string
	}{
		{"an empty cluster", own, nil, ""},
		{"the same Service range", own, []kind.Object{api}, ""},
		{"another Service range", sharing(t, func(c *Config) { c.ServiceCIDR = "10.97.0.0/16" }), []kind.Object{api}, "--service-cidr 10.97.0.0/16"},
		{"another pod range", own, []kind.Object{nodeOf("there", "10.244.1.0/24", "x")}, ""},
		{"a pod range that overlaps", own, []kind.Object{nodeOf("there", "10.244.0.0/16", "x")}, `node "there" of this cluster gives its pods addresses of 10.244.0.0/16`},
		{"a node without a pod range", own, []kind.Object{nodeOf("there", "", "")}, ""},
		{"its own node", own, []kind.Object{nodeOf("here", "10.244.0.0/24", own.Instance), renewed(time.Second)}, ""},
		{"a node that another server runs", own, []kind.Object{nodeOf("here", "10.244.0.0/24", "x"), renewed(time.Second)}, `node "here" is run by another server`},
		{"a node that another server has left", own, []kind.Object{nodeOf("here", "10.244.0.0/24", "x"), renewed(time.Minute)}, ""},
		{"a node whose server has not said who it is", own, []kind.Object{nodeOf("here", "10.244.0.0/24", ""), renewed(time.Second)}, ""},
		{"no node parts", sharing(t, func(c *Config) { c.Node = new(false) }), []kind.Object{api, nodeOf("here", "10.244.0.0/24", "x"), renewed(time.Second)}, ""},
		{"the embedded store", sharing(t, func(c *Config) { c.Store, c.ServiceCIDR = "embedded", "10.97.0.0/16" }),
			[]kind.Object{api, nodeOf("here", "10.244.0.0/24", "x"), renewed(time.Second), nodeOf("there", "10.244.0.0/16", "x")}, ""},
	} {
		snap := worldOf(c.objects...)
		err := fits(c.s, snap, now)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}

// The next server of a data directory is the same candidate; one of another directory, or of a copy, is not.
func TestCandidateIsNamedAfterTheLock(t *testing.T) {
	name := func(dataDir, lock string) string {
		t.Helper()
		got, err := candidateIn(dataDir, lock)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	dir := t.TempDir()
	for _, file := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := name("/data", filepath.Join(dir, "a"))
	if again := name("/data", filepath.Join(dir, "a")); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	if other := name("/data", filepath.Join(dir, "b")); other == first {
		t.Errorf("two directories have the name %s", other)
	}
	if _, err := candidateIn("/data", filepath.Join(dir, "none")); err == nil {
		t.Error("without a lock there is a name")
	}
}
