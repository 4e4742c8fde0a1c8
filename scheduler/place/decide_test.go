package place_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sampan/kind"
	"sampan/kind/claim"
	"sampan/scheduler/place"
	"sampan/view"
)

func TestPodGoesWhereItFits(t *testing.T) {
	large := func(n *corev1.Node) {
		offers("cpu", "8", "memory", "8Gi", "pods", "110", "example.com/gpu", "2")(n)
	}
	for _, c := range []struct {
		name  string
		nodes []*corev1.Node
		held  map[string]*corev1.Pod // by node
		pod   *corev1.Pod
		want  string // node, or the message
	}{
		{"one node", []*corev1.Node{node("a")}, nil, pod("p"), "a"},
		{"no node", nil, nil, pod("p"), "no nodes available to schedule pods"},
		{"too little CPU", []*corev1.Node{node("a")}, nil, pod("p", asks("cpu", "5")),
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"everything short is named", []*corev1.Node{node("a"), node("b")}, nil, pod("p", asks("cpu", "5", "memory", "9Gi", "example.com/gpu", "1")),
			"0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient example.com/gpu, 2 Insufficient memory."},
		{"room for the extended resource", []*corev1.Node{node("a"), node("b", large)}, nil, pod("p", asks("example.com/gpu", "2")), "b"},
		{"what pods take counts", []*corev1.Node{node("a"), node("b")}, map[string]*corev1.Pod{"a": pod("x", asks("cpu", "3"))},
			pod("p", asks("cpu", "2")), "b"},
		{"pod limit", []*corev1.Node{node("a", offers("cpu", "4", "memory", "1Gi", "pods", "1"))}, map[string]*corev1.Pod{"a": pod("x")}, pod("p"),
			"0/1 nodes are available: 1 Too many pods."},
		{"cordoned", []*corev1.Node{node("a", cordoned)}, nil, pod("p"), "0/1 nodes are available: 1 node(s) were unschedulable."},
		{"cordoned but tolerated", []*corev1.Node{node("a", cordoned)}, nil,
			pod("p", tolerates(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)), "a"},
		{"taint and shortage", []*corev1.Node{node("a", tainted("k", "v", corev1.TaintEffectNoSchedule)), node("b"), node("c")}, nil,
			pod("p", asks("cpu", "100")), "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."},
		{"tolerated taint", []*corev1.Node{node("a", tainted("k", "v", corev1.TaintEffectNoExecute))}, nil,
			pod("p", tolerates("k", corev1.TaintEffectNoExecute)), "a"},
		{"discouraging taint", []*corev1.Node{node("a", tainted("k", "v", corev1.TaintEffectPreferNoSchedule)), node("b")}, nil, pod("p"), "b"},
		{"selector", []*corev1.Node{node("a"), node("b", labelled("disk", "ssd"))}, nil, pod("p", selects("disk", "ssd")), "b"},
		{"selector that nothing has", []*corev1.Node{node("a")}, nil, pod("p", selects("disk", "ssd")),
			"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."},
		{"host port is taken", []*corev1.Node{node("a")}, map[string]*corev1.Pod{"a": pod("x", hostPort(80, ""))}, pod("p", hostPort(80, "10.0.0.1")),
			"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."},
		{"host port on another address", []*corev1.Node{node("a")}, map[string]*corev1.Pod{"a": pod("x", hostPort(80, "10.0.0.2"))}, pod("p", hostPort(80, "10.0.0.1")), "a"},
		{"siblings apart", []*corev1.Node{node("a"), node("b", large)}, map[string]*corev1.Pod{"b": pod("x", owned("rs"))}, pod("p", owned("rs")), "a"},
		{"unknown claim", []*corev1.Node{node("a")}, nil, pod("p", claims("data")), `0/1 nodes are available: persistentvolumeclaim "data" not found.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := place.NewCluster()
			for _, n := range c.nodes {
				cluster.SetNode(n)
			}
			for name, p := range c.held {
				cluster.Hold(place.NewRequest(p), name)
			}
			got := cluster.Decide(new(view.Snapshot), place.NewRequest(c.pod))
			if got.Node+got.Message != c.want {
				t.Errorf("got %q, want %q", got.Node+got.Message, c.want)
			}
		})
	}
}

func preferring(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 10, Preference: corev1.NodeSelectorTerm{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}}}},
		}}
	}
}

func TestPreferredAffinityWins(t *testing.T) {
	cluster := place.NewCluster()
	for i := range 10 {
		cluster.SetNode(node(fmt.Sprintf("n%d", i)))
	}
	cluster.SetNode(node("ssd", labelled("disk", "ssd")))
	for i := range 20 {
		if got := cluster.Decide(new(view.Snapshot), place.NewRequest(pod(fmt.Sprintf("p%d", i), preferring("disk", "ssd")))); got.Node != "ssd" {
			t.Fatalf("pod %d went to %s", i, got.Node)
		}
	}
}

func TestImageDrawsPodsOnlyAsFarAsNodesHaveIt(t *testing.T) {
	cluster := place.NewCluster()
	has := func(n *corev1.Node) {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"web:latest"}, SizeBytes: 900 << 20}}
	}
	cluster.SetNode(node("a"))
	cluster.SetNode(node("b", has))
	if got := cluster.Decide(new(view.Snapshot), place.NewRequest(pod("p"))); got.Node != "b" {
		t.Errorf("went to %s, want b", got.Node)
	}
	cluster.SetNode(node("b")) // the image was removed
	cluster.SetNode(node("a", has))
	if got := cluster.Decide(new(view.Snapshot), place.NewRequest(pod("p"))); got.Node != "a" {
		t.Errorf("went to %s, want a", got.Node)
	}
}

func TestEqualNodesShareTheLoad(t *testing.T) {
	cluster := place.NewCluster()
	for i := range 10 {
		cluster.SetNode(node(fmt.Sprintf("n%d", i)))
	}
	count := map[string]int{}
	for i := range 200 { // nothing is counted, so all nodes stay equal
		count[cluster.Decide(new(view.Snapshot), place.NewRequest(pod(fmt.Sprintf("p%d", i)))).Node]++
	}
	for name, n := range count {
		if n > 60 {
			t.Errorf("%s got %d of 200", name, n)
		}
	}
	if len(count) != 10 {
		t.Errorf("%d of 10 nodes got pods", len(count))
	}
}

// world is a snapshot of volumes: class "local" waits for its first consumer, "now" does not, "manual" has no provisioner.
func world(objects ...kind.Object) *view.Snapshot {
	var w view.World
	later, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	class := func(name, provisioner string, mode *storagev1.VolumeBindingMode) {
		w.Put(kind.StorageClasses, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: mode}, 1)
	}
	class("local", "sampan.dev/local-path", &later)
	class("manual", claim.NoProvisioner, &later)
	class("now", "sampan.dev/local-path", &now)
	for _, obj := range objects {
		switch obj.(type) {
		case *corev1.PersistentVolume:
			w.Put(kind.PersistentVolumes, obj, 1)
		case *corev1.PersistentVolumeClaim:
			w.Put(kind.PersistentVolumeClaims, obj, 1)
		}
	}
	return w.Snapshot()
}

func volumeClaim(name, class string, options ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: quantities([]string{"storage", "1Gi"})},
		},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

func boundTo(volume string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName = volume
		c.Annotations[claim.BindCompleted] = "yes"
	}
}

func givenTo(node string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Annotations[claim.SelectedNode] = node }
}

func volumeOn(name, class, node string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Capacity: quantities([]string{"storage", "2Gi"}),
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
}

func TestVolumesDecideTheNode(t *testing.T) {
	for _, c := range []struct {
		name       string
		objects    []kind.Object
		claims     []string
		want       string // node, or the message
		wait, give int
	}{
		{"bound volume", []kind.Object{volumeClaim("data", "local", boundTo("pv")), volumeOn("pv", "local", "b")}, []string{"data"}, "b", 0, 0},
		{"bound volumes on different nodes", []kind.Object{volumeClaim("data", "local", boundTo("pv")), volumeOn("pv", "local", "b"),
			volumeClaim("logs", "local", boundTo("pv2")), volumeOn("pv2", "local", "c")}, []string{"data", "logs"},
			"0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity.", 0, 0},
		{"volume is gone", []kind.Object{volumeClaim("data", "local", boundTo("pv"))}, []string{"data"},
			`0/3 nodes are available: persistentvolumeclaim "data" bound to non-existent persistentvolume "pv".`, 0, 0},
		{"immediate and unbound", []kind.Object{volumeClaim("data", "now")}, []string{"data"},
			"0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.", 0, 0},
		{"first consumer given before", []kind.Object{volumeClaim("data", "local", givenTo("c"))}, []string{"data"}, "c", 1, 0},
		{"new claim beside a bound one", []kind.Object{volumeClaim("data", "local"), volumeClaim("old", "local", boundTo("pv")), volumeOn("pv", "local", "b")},
			[]string{"data", "old"}, "b", 1, 1},
		{"made by hand", []kind.Object{volumeClaim("data", "manual"), volumeOn("pv", "manual", "c")}, []string{"data"}, "c", 1, 1},
		{"one volume is not enough for two claims", []kind.Object{volumeClaim("data", "manual"), volumeClaim("logs", "manual"), volumeOn("pv", "manual", "c")},
			[]string{"data", "logs"}, "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := place.NewCluster()
			for _, name := range []string{"a", "b", "c"} {
				cluster.SetNode(node(name))
			}
			got := cluster.Decide(world(c.objects...), place.NewRequest(pod("p", claims(c.claims...))))
			if got.Node+got.Message != c.want || len(got.Wait) != c.wait || len(got.Give) != c.give {
				t.Errorf("got %+v, want %q, wait %d, give %d", got, c.want, c.wait, c.give)
			}
		})
	}
}

// TestAccountNeverOvercommits also shows that holding and releasing leave no trace.
func TestAccountNeverOvercommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster := place.NewCluster()
		const nodes = 4
		for i := range nodes {
			cluster.SetNode(node(fmt.Sprintf("n%d", i), offers("cpu", "4", "memory", "4Gi", "pods", "8")))
		}
		type held struct {
			cpu  int64
			node string
		}
		model := map[string]held{}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(model) > 0 && rapid.Bool().Draw(t, "release") {
				name := rapid.SampledFrom(slices.Sorted(maps.Keys(model))).Draw(t, "which")
				if got := cluster.Release(pod(name).UID); got != model[name].node {
					t.Fatalf("%s was on %q, not %q", name, got, model[name].node)
				}
				delete(model, name)
				continue
			}
			name, cpu := fmt.Sprintf("p%d", step), rapid.Int64Range(1, 3).Draw(t, "cpu")
			r := place.NewRequest(pod(name, asks("cpu", fmt.Sprint(cpu))))
			got := cluster.Decide(new(view.Snapshot), r)
			taken, count := map[string]int64{}, map[string]int{}
			for _, h := range model {
				taken[h.node] += h.cpu
				count[h.node]++
			}
			fits := false
			for i := range nodes {
				n := fmt.Sprintf("n%d", i)
				fits = fits || taken[n]+cpu <= 4 && count[n] < 8
			}
			if fits != (got.Node != "") || got.Node != "" && (taken[got.Node]+cpu > 4 || count[got.Node] >= 8) {
				t.Fatalf("cpu %d with %v taken: got %q %s", cpu, taken, got.Node, got.Message)
			}
			if got.Node != "" {
				cluster.Hold(r, got.Node)
				model[name] = held{cpu, got.Node}
			}
		}
	})
}
