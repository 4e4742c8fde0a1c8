package garbage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/controller/garbage"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// object returns a ConfigMap; its UID is its name.
func object(name string, options ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	for _, o := range options {
		o(c)
	}
	return c
}

func ownedBy(names ...string) func(*corev1.ConfigMap) {
	return func(c *corev1.ConfigMap) {
		for _, name := range names {
			c.OwnerReferences = append(c.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: types.UID(name)})
		}
	}
}

func blocking(c *corev1.ConfigMap) {
	yes := true
	for i := range c.OwnerReferences {
		c.OwnerReferences[i].BlockOwnerDeletion = &yes
	}
}

func deleting(finalizers ...string) func(*corev1.ConfigMap) {
	return func(c *corev1.ConfigMap) {
		at := metav1.NewTime(now())
		c.DeletionTimestamp, c.Finalizers = &at, finalizers
	}
}

func key(name string) view.Key {
	return view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: name}
}

const (
	foreground = metav1.FinalizerDeleteDependents
	orphan     = metav1.FinalizerOrphanDependents
)

func TestDecide(t *testing.T) {
	strange := func(c *corev1.ConfigMap) {
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Unknown", Name: "x", UID: "x"}}
	}
	for _, c := range []struct {
		name    string
		about   string
		objects []kind.Object
		want    string
	}{
		{"no owner", "a", []kind.Object{object("a")}, "nothing"},
		{"owner is there", "a", []kind.Object{object("a", ownedBy("o")), object("o")}, "nothing"},
		{"owner is gone", "a", []kind.Object{object("a", ownedBy("o"))}, "delete configmaps/default/a"},
		{"owner is another by that name", "a", []kind.Object{object("a", ownedBy("o")), object("o", func(c *corev1.ConfigMap) { c.UID = "second" })},
			"delete configmaps/default/a"},
		{"one of two owners is gone", "a", []kind.Object{object("a", ownedBy("o", "p")), object("p")}, "update configmaps/default/a"},
		{"owner of a kind that is not served", "a", []kind.Object{object("a", strange)}, "nothing"},
		{"is being deleted already", "a", []kind.Object{object("a", ownedBy("o"), deleting("example.com/x"))}, "nothing"},
		{"owner goes in the foreground", "a", []kind.Object{object("a", ownedBy("o"), blocking), object("o", deleting(foreground))}, "delete configmaps/default/a"},
		{"owner waits for dependents", "o", []kind.Object{object("a", ownedBy("o"), blocking), object("o", deleting(foreground))}, "waiting: deletion waits for 1 dependents"},
		{"dependent does not block", "o", []kind.Object{object("a", ownedBy("o")), object("o", deleting(foreground))}, "update configmaps/default/o"},
		{"nothing to wait for", "o", []kind.Object{object("o", deleting(foreground))}, "update configmaps/default/o"},
		{"dependents become orphans", "o", []kind.Object{object("a", ownedBy("o")), object("o", deleting(orphan))},
			"update configmaps/default/a; update configmaps/default/o"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plantest.Check(t, garbage.New(registry.New()), key(c.about), now(), c.objects...)
			cluster := plantest.New(now(), c.objects...)
			var lines []string
			for range 5 { // as far as this key gets alone
				p, _ := garbage.New(registry.New()).Decide(cluster.Snapshot(), key(c.about), now(), nil)
				if len(p.Actions) == 0 && len(lines) > 0 {
					break
				}
				lines = append(lines, strings.TrimSpace(plantest.Text(p, now())))
				for _, a := range p.Actions {
					if err := cluster.Apply(a); err != nil {
						t.Fatal(err)
					}
				}
				if len(p.Actions) == 0 {
					break
				}
			}
			if got := strings.Join(lines, "; "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// cascade runs the collector as its shell would, woken by changes only, until nothing is left to do.
func cascade(t *testing.T, cluster *plantest.Cluster, changes ...view.Change) {
	t.Helper()
	c := garbage.New(registry.New())
	for rounds := 0; len(changes) > 0; rounds++ {
		if rounds > 1000 {
			t.Fatal("no end")
		}
		change := changes[0]
		changes = changes[1:]
		for _, w := range c.Watches {
			if w.Kind != change.Key.Kind {
				continue
			}
			for _, k := range w.Keys(cluster.Snapshot(), change) {
				p, _ := c.Decide(cluster.Snapshot(), k, now(), nil)
				for _, a := range p.Actions {
					before := cluster.Snapshot()
					if err := cluster.Apply(a); err != nil {
						break
					}
					changes = append(changes, diff(before, cluster.Snapshot())...)
				}
			}
		}
	}
}

func diff(before, after *view.Snapshot) (out []view.Change) {
	seen := map[view.Key]bool{}
	for _, s := range []*view.Snapshot{before, after} {
		for obj := range s.All(kind.ConfigMaps, "") {
			k := view.KeyOf(kind.ConfigMaps, obj)
			if old, new := before.Get(k), after.Get(k); !seen[k] && old != new {
				seen[k] = true
				out = append(out, view.Change{Key: k, Old: old, New: new})
			}
		}
	}
	return out
}

// TestCascadeLeavesNothing deletes the top of a tree, in each way, and wakes the collector by what follows from it alone.
func TestCascadeLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		finalizer string
		left      int
	}{{"", 0}, {foreground, 0}, {orphan, 6}} {
		t.Run("finalizer "+c.finalizer, func(t *testing.T) {
			cluster := plantest.New(now(), object("top"))
			for i := range 2 {
				middle := fmt.Sprintf("middle-%d", i)
				cluster.Put(object(middle, ownedBy("top"), blocking))
				for j := range 2 {
					cluster.Put(object(fmt.Sprintf("leaf-%d%d", i, j), ownedBy(middle), blocking))
				}
			}
			before := cluster.Snapshot()
			if c.finalizer == "" {
				cluster.Remove(key("top"))
			} else {
				cluster.Put(object("top", deleting(c.finalizer)))
			}
			cascade(t, cluster, diff(before, cluster.Snapshot())...)
			if got := cluster.Snapshot().Len(kind.ConfigMaps); got != c.left {
				t.Errorf("%d objects are left, want %d", got, c.left)
			}
		})
	}
}

func TestObjectsThatOwnEachOtherDoNotWaitForEver(t *testing.T) {
	cluster := plantest.New(now(), object("a", ownedBy("b"), blocking), object("b", ownedBy("a"), blocking))
	before := cluster.Snapshot()
	cluster.Put(object("a", ownedBy("b"), blocking, deleting(foreground)))
	cascade(t, cluster, diff(before, cluster.Snapshot())...)
	if got := cluster.Snapshot().Len(kind.ConfigMaps); got != 0 {
		t.Errorf("%d objects are left", got)
	}
}

func pod(name, node string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for _, o := range options {
		o(p)
	}
	return p
}

func podKey(name string) view.Key { return view.Key{Kind: kind.Pods, Namespace: "default", Name: name} }

func TestPodOfALostNodeIsRemovedAfterAWhile(t *testing.T) {
	c := garbage.NewPods()
	cluster := plantest.New(now(), pod("web-0", "gone"))
	p, mem := c.Decide(cluster.Snapshot(), podKey("web-0"), now(), nil)
	if len(p.Actions) > 0 || p.WakeAt.Sub(now()) != 40*time.Second {
		t.Fatalf("at first:\n%s", plantest.Text(p, now()))
	}
	later := p.WakeAt
	p, _ = c.Decide(cluster.Snapshot(), podKey("web-0"), later, mem)
	if got := plantest.Text(p, later); got != "status pods/default/web-0\ndelete pods/default/web-0\n" {
		t.Errorf("then:\n%s", got)
	}
	if s := p.Actions[0].(plan.UpdateStatus).Object.(*corev1.Pod).Status; s.Phase != corev1.PodFailed || s.Conditions[0].Reason != "DeletionByPodGC" {
		t.Errorf("status %+v", s)
	}
	cluster.Put(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}) // it was only re-registering
	if p, _ = c.Decide(cluster.Snapshot(), podKey("web-0"), later, mem); len(p.Actions) > 0 {
		t.Errorf("with its node back:\n%s", plantest.Text(p, later))
	}
}

func TestDeletedPodWithoutNodeIsRemoved(t *testing.T) {
	gone := func(p *corev1.Pod) {
		at := metav1.NewTime(now())
		p.DeletionTimestamp = &at
	}
	plantest.Check(t, garbage.NewPods(), podKey("web-0"), now(), pod("web-0", "", gone))
	p, _ := garbage.NewPods().Decide(plantest.New(now(), pod("web-0", "", gone)).Snapshot(), podKey("web-0"), now(), nil)
	if got := plantest.Text(p, now()); got != "delete pods/default/web-0\n" {
		t.Errorf("plan:\n%s", got)
	}
}

func TestOldestFinishedPodsGoWhenThereAreTooMany(t *testing.T) {
	cluster := plantest.New(now())
	for i := range 12502 {
		cluster.Put(pod(fmt.Sprintf("job-%05d", i), "n1", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodSucceeded
			p.CreationTimestamp = metav1.NewTime(now().Add(-time.Duration(i) * time.Second))
		}))
	}
	p, _ := garbage.NewPods().Decide(cluster.Snapshot(), view.Key{Kind: kind.Pods}, now(), nil)
	if got := plantest.Text(p, now()); got != "delete pods/default/job-12501\ndelete pods/default/job-12500\n" {
		t.Errorf("plan:\n%s", got)
	}
}
