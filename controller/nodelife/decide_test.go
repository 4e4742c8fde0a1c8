package nodelife_test

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/nodelife"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func key() view.Key { return view.Key{Kind: kind.Nodes, Name: "n1"} }

func node(ready corev1.ConditionStatus, options ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: ready},
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse},
	}
	for _, o := range options {
		o(n)
	}
	return n
}

func tainted(taints ...corev1.Taint) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, taints...) }
}

func evicting(key string, added time.Duration) corev1.Taint {
	at := metav1.NewTime(now().Add(added))
	return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute, TimeAdded: &at}
}

func lease(renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "n1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &at}}
}

func pod(name string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(now().Add(-time.Hour))},
		Spec:       corev1.PodSpec{NodeName: "n1"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

// tolerates the taint of the key for some seconds; below 0 for ever.
func tolerates(key string, seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
		if seconds >= 0 {
			t.TolerationSeconds = &seconds
		}
		p.Spec.Tolerations = append(p.Spec.Tolerations, t)
	}
}

func text(p plan.Plan, at time.Time) string {
	return strings.ReplaceAll(strings.TrimSpace(plantest.Text(p, at)), "\n", "; ")
}

// TestNodeDiesAndComesBack follows one node and its pods through it all, minute by minute.
func TestNodeDiesAndComesBack(t *testing.T) {
	c, at := nodelife.New(), now()
	cluster := plantest.New(at, node(corev1.ConditionTrue), lease(at),
		pod("patient", tolerates(corev1.TaintNodeUnreachable, 300)), pod("loyal", tolerates(corev1.TaintNodeUnreachable, -1)), pod("plain"))
	var mem any
	var p plan.Plan
	decide := func(want string) {
		t.Helper()
		p, mem = c.Decide(cluster.Snapshot(), key(), at, mem)
		if got := text(p, at); got != want {
			t.Fatalf("at %v:\ngot  %s\nwant %s", at.Sub(now()), got, want)
		}
		cluster.Now = at
		for _, a := range p.Actions {
			if err := cluster.Apply(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	decide("wake in 40s")
	at = at.Add(10 * time.Second)
	cluster.Put(lease(at))
	decide("wake in 40s") // a renewal only moves the time
	at = at.Add(39 * time.Second)
	decide("wake in 1s")
	at = at.Add(time.Second)
	decide("status nodes/n1; event NodeNotReady: Node n1 status is now: NodeNotReady")
	n, _ := view.Get[*corev1.Node](cluster.Snapshot(), kind.Nodes, "", "n1")
	for _, cond := range n.Status.Conditions {
		if cond.Status != corev1.ConditionUnknown || cond.Reason != "NodeStatusUnknown" || cond.Message != "Kubelet stopped posting node status." {
			t.Errorf("condition %+v", cond)
		}
	}
	decide("update nodes/n1; status pods/default/loyal; status pods/default/patient; status pods/default/plain; " +
		"warning NodeNotReady: Node is not ready; warning NodeNotReady: Node is not ready; warning NodeNotReady: Node is not ready")
	decide("status pods/default/plain; delete pods/default/plain; wake in 5m0s; " +
		"waiting: tolerates the taints of node n1 until 2026-01-01T00:05:50Z; event TaintManagerEviction: Marking for deletion Pod default/plain")
	at = p.WakeAt
	decide("status pods/default/patient; delete pods/default/patient; event TaintManagerEviction: Marking for deletion Pod default/patient")
	decide("nothing")

	cluster.Put(lease(at))
	cluster.Put(node(corev1.ConditionTrue, tainted(n.Spec.Taints...), func(back *corev1.Node) {
		tainted, _ := view.Get[*corev1.Node](cluster.Snapshot(), kind.Nodes, "", "n1")
		back.Spec.Taints = tainted.Spec.Taints
	}))
	decide("update nodes/n1; wake in 40s")
	if n, _ := view.Get[*corev1.Node](cluster.Snapshot(), kind.Nodes, "", "n1"); len(n.Spec.Taints) != 0 {
		t.Errorf("taints %v", n.Spec.Taints)
	}
	decide("wake in 40s")
}

func TestTaintsFollowConditions(t *testing.T) {
	keep := corev1.Taint{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}
	for _, c := range []struct {
		name string
		node *corev1.Node
		want string
	}{
		{"ready", node(corev1.ConditionTrue, tainted(keep)), "dedicated:NoSchedule"},
		{"not ready", node(corev1.ConditionFalse, tainted(keep)),
			"dedicated:NoSchedule node.kubernetes.io/not-ready:NoSchedule node.kubernetes.io/not-ready:NoExecute"},
		{"unknown", node(corev1.ConditionUnknown), "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute"},
		{"never reported", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, "node.kubernetes.io/not-ready:NoSchedule"},
		{"cordoned", node(corev1.ConditionTrue, func(n *corev1.Node) { n.Spec.Unschedulable = true }), "node.kubernetes.io/unschedulable:NoSchedule"},
		{"under pressure", node(corev1.ConditionTrue, func(n *corev1.Node) { n.Status.Conditions[2].Status = corev1.ConditionTrue }),
			"node.kubernetes.io/disk-pressure:NoSchedule"},
		{"no longer cordoned", node(corev1.ConditionTrue, tainted(corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := []kind.Object{c.node, lease(now())}
			plantest.Check(t, nodelife.New(), key(), now(), objects...)
			cluster := plantest.New(now(), objects...)
			plantest.Fixpoint(t, nodelife.New(), key(), cluster, func(*plantest.Cluster) bool { return false })
			n, _ := view.Get[*corev1.Node](cluster.Snapshot(), kind.Nodes, "", "n1")
			var got []string
			for _, taint := range n.Spec.Taints {
				got = append(got, taint.Key+":"+string(taint.Effect))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPodsLeaveTaintedNodes(t *testing.T) {
	const gone = "status pods/default/p; delete pods/default/p; wake in 40s; event TaintManagerEviction: Marking for deletion Pod default/p"
	for _, c := range []struct {
		name string
		node *corev1.Node
		pod  *corev1.Pod
		want string
	}{
		{"untolerated", node(corev1.ConditionTrue, tainted(evicting("k", 0))), pod("p"), gone},
		{"tolerated for ever", node(corev1.ConditionTrue, tainted(evicting("k", 0))), pod("p", tolerates("k", -1)), "wake in 40s"},
		{"tolerated for a while", node(corev1.ConditionTrue, tainted(evicting("k", -5*time.Second))), pod("p", tolerates("k", 20)),
			"wake in 15s; waiting: tolerates the taints of node n1 until 2026-01-01T00:00:15Z"},
		{"tolerated long enough", node(corev1.ConditionTrue, tainted(evicting("k", -20*time.Second))), pod("p", tolerates("k", 20)), gone},
		{"one of two", node(corev1.ConditionTrue, tainted(evicting("k", 0), evicting("l", 0))), pod("p", tolerates("k", -1)), gone},
		{"came to the tainted node later", node(corev1.ConditionTrue, tainted(evicting("k", -time.Hour))),
			pod("p", tolerates("k", 20), func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now()) }),
			"wake in 20s; waiting: tolerates the taints of node n1 until 2026-01-01T00:00:20Z"},
		{"finished", node(corev1.ConditionTrue, tainted(evicting("k", 0))), pod("p", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), "wake in 40s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := []kind.Object{c.node, c.pod, lease(now())}
			plantest.Check(t, nodelife.New(), key(), now(), objects...)
			p, _ := nodelife.New().Decide(plantest.New(now(), objects...).Snapshot(), key(), now(), nil)
			if got := text(p, now()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTaintWithoutATimeCountsFromWhenItWasSeen(t *testing.T) {
	plain := corev1.Taint{Key: "k", Effect: corev1.TaintEffectNoExecute}
	snap := plantest.New(now(), node(corev1.ConditionTrue, tainted(plain)), lease(now()), pod("p", tolerates("k", 20))).Snapshot()
	p, mem := nodelife.New().Decide(snap, key(), now(), nil)
	if p.WakeAt.Sub(now()) != 20*time.Second {
		t.Fatalf("plan %s", text(p, now()))
	}
	p, _ = nodelife.New().Decide(snap, key(), now().Add(15*time.Second), mem)
	if p.WakeAt.Sub(now()) != 20*time.Second {
		t.Errorf("later: %s", text(p, now()))
	}
}
