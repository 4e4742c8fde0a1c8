package garbage_test

import (
	"fmt"
	"slices"
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
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n"}}
	ownedByNode := func(c *corev1.ConfigMap) {
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n", UID: "n"}}
	}
	blockedBy := func(name string) func(*corev1.ConfigMap) {
		return func(c *corev1.ConfigMap) {
			ownedBy(name)(c)
			c.OwnerReferences[len(c.OwnerReferences)-1].BlockOwnerDeletion = new(true)
		}
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
		{"owner of a version that cannot be read", "a", []kind.Object{object("a", func(c *corev1.ConfigMap) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "a/b/c", Kind: "ConfigMap", Name: "x", UID: "x"}}
		})}, "nothing"},
		{"owner of the whole cluster is there", "a", []kind.Object{object("a", ownedByNode), node}, "nothing"},
		{"owner of the whole cluster is gone", "a", []kind.Object{object("a", ownedByNode)}, "delete configmaps/default/a"},
		{"one owner is gone and one goes", "a", []kind.Object{object("a", ownedBy("o", "p"), blocking), object("o", deleting(foreground))}, "delete configmaps/default/a"},
		{"owner would wait if it were deleted", "a", []kind.Object{object("a", ownedBy("o"), blocking), object("o", func(c *corev1.ConfigMap) { c.Finalizers = []string{foreground} })}, "nothing"},
		{"owner goes as it likes", "a", []kind.Object{object("a", ownedBy("o")), object("o", deleting("example.com/x"))}, "nothing"},
		{"is being deleted already", "a", []kind.Object{object("a", ownedBy("o"), deleting("example.com/x"))}, "nothing"},
		{"owner goes in the foreground", "a", []kind.Object{object("a", ownedBy("o"), blocking), object("o", deleting(foreground))}, "delete configmaps/default/a"},
		{"owner waits for dependents", "o", []kind.Object{object("a", ownedBy("o"), blocking), object("o", deleting(foreground))}, "waiting: deletion waits for 1 dependents"},
		{"dependent does not block", "o", []kind.Object{object("a", ownedBy("o")), object("o", deleting(foreground))}, "update configmaps/default/o"},
		{"dependent blocks another owner", "o", []kind.Object{object("a", ownedBy("o"), blockedBy("p")), object("o", deleting(foreground)), object("p")}, "update configmaps/default/o"},
		{"two dependents block", "o", []kind.Object{object("a", ownedBy("o"), blocking), object("b", ownedBy("o"), blocking), object("o", deleting(foreground))},
			"waiting: deletion waits for 2 dependents"},
		{"not deleted, whatever its finalizers", "o", []kind.Object{object("a", ownedBy("o")), object("o", func(c *corev1.ConfigMap) { c.Finalizers = []string{foreground, orphan} })}, "nothing"},
		{"orphans come first", "o", []kind.Object{object("a", ownedBy("o"), blocking), object("o", deleting(foreground, orphan))},
			"update configmaps/default/a; update configmaps/default/o; update configmaps/default/o"},
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

func TestOwnersOutOfReachKeepAnObject(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "o", UID: "o"}}}}
	p, _ := garbage.New(registry.New()).Decide(plantest.New(now(), node).Snapshot(), view.Key{Kind: kind.Nodes, Name: "n"}, now(), nil)
	if len(p.Actions) != 0 {
		t.Errorf("an object of the cluster whose owner would be in a namespace:\n%s", plantest.Text(p, now()))
	}
}

// What is deleted is what was judged, in the way that it and its dependents ask for.
func TestGarbageIsDeletedAsItsFinalizersSay(t *testing.T) {
	with := func(finalizers ...string) func(*corev1.ConfigMap) {
		return func(c *corev1.ConfigMap) { c.Finalizers = finalizers }
	}
	for name, c := range map[string]struct {
		objects []kind.Object
		want    metav1.DeletionPropagation
	}{
		"no finalizer":                      {[]kind.Object{object("a", ownedBy("o"))}, metav1.DeletePropagationBackground},
		"another finalizer":                 {[]kind.Object{object("a", ownedBy("o"), with("example.com/x"))}, metav1.DeletePropagationBackground},
		"foreground":                        {[]kind.Object{object("a", ownedBy("o"), with("example.com/x", foreground))}, metav1.DeletePropagationForeground},
		"orphan":                            {[]kind.Object{object("a", ownedBy("o"), with(orphan, foreground))}, metav1.DeletePropagationOrphan},
		"owner waits, and dependents":       {[]kind.Object{object("a", ownedBy("o")), object("b", ownedBy("a")), object("o", deleting(foreground))}, metav1.DeletePropagationForeground},
		"owner waits, no dependents":        {[]kind.Object{object("a", ownedBy("o")), object("o", deleting(foreground))}, metav1.DeletePropagationBackground},
		"owner is gone, and has dependents": {[]kind.Object{object("a", ownedBy("o")), object("b", ownedBy("a"))}, metav1.DeletePropagationBackground},
	} {
		cluster := plantest.New(now(), c.objects...)
		p, _ := garbage.New(registry.New()).Decide(cluster.Snapshot(), key("a"), now(), nil)
		want := plan.Delete{Key: key("a"), UID: "a", Revision: cluster.Snapshot().Get(key("a")).GetResourceVersion(), Propagation: string(c.want)}
		if len(p.Actions) != 1 || p.Actions[0] != want {
			t.Errorf("%s: %+v, want %+v", name, p.Actions, want)
		}
		if len(p.Reasons) != 1 || p.Reasons[0].About != key("a") || p.Reasons[0].Message != "deleted: its owners are gone" {
			t.Errorf("%s: %+v", name, p.Reasons)
		}
	}
}

// updated is what the plan about a key makes of the object of a name.
func updated(t *testing.T, about string, name string, objects ...kind.Object) *corev1.ConfigMap {
	t.Helper()
	p, _ := garbage.New(registry.New()).Decide(plantest.New(now(), objects...).Snapshot(), key(about), now(), nil)
	for _, a := range p.Actions {
		if u, ok := a.(plan.Update); ok && u.Object.GetName() == name {
			return u.Object.(*corev1.ConfigMap)
		}
	}
	t.Fatalf("no update of %s: %+v", name, p.Actions)
	return nil
}

func TestOnlyWhatIsOverIsTakenFromAnObject(t *testing.T) {
	owners := func(c *corev1.ConfigMap) string {
		var names []string
		for _, ref := range c.OwnerReferences {
			names = append(names, ref.Name)
		}
		return strings.Join(names, " ")
	}
	if c := updated(t, "a", "a", object("a", ownedBy("gone", "p", "waits")), object("p"), object("waits", deleting(foreground))); owners(c) != "p" {
		t.Errorf("owners %q of an object that is kept", owners(c))
	}
	if c := updated(t, "o", "a", object("a", ownedBy("o", "p")), object("p"), object("o", deleting(orphan))); owners(c) != "p" {
		t.Errorf("owners %q of an orphan", owners(c))
	}
	if c := updated(t, "o", "o", object("o", deleting("example.com/x", foreground, orphan))); strings.Join(c.Finalizers, " ") != "example.com/x "+foreground {
		t.Errorf("finalizers %q of an object whose dependents are orphans", c.Finalizers)
	}
	if c := updated(t, "o", "o", object("o", deleting("example.com/x", foreground))); strings.Join(c.Finalizers, " ") != "example.com/x" {
		t.Errorf("finalizers %q of an object without dependents", c.Finalizers)
	}
	circle := updated(t, "b", "b", object("a", ownedBy("b"), blocking, deleting(foreground)), object("b", ownedBy("a"), blocking))
	if owners(circle) != "a" || *circle.OwnerReferences[0].BlockOwnerDeletion {
		t.Errorf("owners of what owns its owner: %+v", circle.OwnerReferences)
	}
}

func TestManyOrphansAreMadeInPortions(t *testing.T) {
	objects := []kind.Object{object("o", deleting(orphan))}
	for i := range 501 {
		objects = append(objects, object(fmt.Sprintf("a-%d", i), ownedBy("o")))
	}
	p, _ := garbage.New(registry.New()).Decide(plantest.New(now(), objects...).Snapshot(), key("o"), now(), nil)
	if len(p.Actions) != 500 {
		t.Errorf("%d updates in a plan", len(p.Actions))
	}
}

func TestChangesWakeWhomTheyConcern(t *testing.T) {
	second := func(c *corev1.ConfigMap) { c.UID = "second" }
	for _, c := range []struct {
		name     string
		old, new *corev1.ConfigMap
		objects  []kind.Object // beside the new state
		want     string
	}{
		{"made, of no owner", nil, object("a"), nil, ""},
		{"made, of an owner", nil, object("a", ownedBy("o")), []kind.Object{object("o")}, "a"},
		{"seen first while it waits", nil, object("a", deleting(orphan)), []kind.Object{object("d", ownedBy("a"))}, "a"},
		{"nothing changed", object("a", ownedBy("o")), object("a", ownedBy("o")), []kind.Object{object("o", deleting(foreground)), object("d", ownedBy("a"))}, ""},
		{"nothing changed while it waits", object("a", deleting(foreground)), object("a", deleting(foreground)), []kind.Object{object("d", ownedBy("a"))}, ""},
		{"another owner", object("a", ownedBy("o")), object("a", ownedBy("p")), []kind.Object{object("o", deleting(foreground)), object("p")}, "a o"},
		{"an owner less", object("a", ownedBy("o", "p")), object("a", ownedBy("o")), []kind.Object{object("o"), object("p", deleting(orphan))}, "a p"},
		{"no longer blocks", object("a", ownedBy("o"), blocking), object("a", ownedBy("o")), []kind.Object{object("o", deleting(foreground))}, "a o"},
		{"a finalizer went", object("a", deleting("x", foreground)), object("a", deleting(foreground)), nil, "a"},
		{"a finalizer went that nobody waits for", object("a", deleting("x")), object("a", deleting("y")), []kind.Object{object("d", ownedBy("a"))}, ""},
		{"begins to wait", object("a"), object("a", deleting(foreground)), []kind.Object{object("d", ownedBy("a"))}, "a d"},
		{"begins to wait with finalizers it had", object("a", func(c *corev1.ConfigMap) { c.Finalizers = []string{foreground} }), object("a", deleting(foreground)),
			[]kind.Object{object("d", ownedBy("a"))}, "a d"},
		{"begins to orphan", object("a"), object("a", deleting(orphan)), []kind.Object{object("d", ownedBy("a"))}, "a"},
		{"begins to go with others' finalizers", object("a"), object("a", deleting("x")), []kind.Object{object("d", ownedBy("a"))}, ""},
		{"is not deleted, whatever its finalizers", nil, object("a", func(c *corev1.ConfigMap) { c.Finalizers = []string{foreground} }), []kind.Object{object("d", ownedBy("a"))}, ""},
		{"went, and an owner waits", object("a", ownedBy("o", "p", "q")), nil, []kind.Object{object("o", deleting(foreground)), object("p"), object("d", ownedBy("a"))}, "d o"},
		{"went, and an owner cannot be known", object("a", func(c *corev1.ConfigMap) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Unknown", Name: "x", UID: "x"}}
		}), nil, nil, ""},
		{"went and came again", object("a", ownedBy("o")), object("a", ownedBy("o"), second), []kind.Object{object("o", deleting(foreground)), object("d", ownedBy("a"))}, "a d o"},
		{"went and came again without an owner", object("a", ownedBy("o")), object("a", second), []kind.Object{object("o", deleting(foreground))}, "o"},
	} {
		cluster := plantest.New(now(), c.objects...)
		change := view.Change{Key: key("a")}
		if c.old != nil {
			change.Old = c.old
		}
		if c.new != nil {
			change.New = c.new
			cluster.Put(c.new)
		}
		var got []string
		for _, w := range garbage.New(registry.New()).Watches {
			if w.Kind == kind.ConfigMaps {
				for _, k := range w.Keys(cluster.Snapshot(), change) {
					got = append(got, k.Name)
				}
			}
		}
		slices.Sort(got)
		if text := strings.Join(slices.Compact(got), " "); text != c.want {
			t.Errorf("%s: wakes %q, want %q", c.name, text, c.want)
		}
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

func TestPodThatWaitsForANodeStays(t *testing.T) {
	if p, _ := garbage.NewPods().Decide(plantest.New(now(), pod("web-0", "")).Snapshot(), podKey("web-0"), now(), nil); len(p.Actions) != 0 {
		t.Errorf("plan:\n%s", plantest.Text(p, now()))
	}
}

func TestPodsOfLostNodesAreFailedOnce(t *testing.T) {
	c := garbage.NewPods()
	over := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	disrupted := func(p *corev1.Pod) {
		p.Generation = 3
		p.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse}, {Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse, Reason: "Old"}}
	}
	cluster := plantest.New(now(), pod("over", "gone", over), pod("web-0", "gone", disrupted))
	for name, want := range map[string]string{"over": "delete pods/default/over\n", "web-0": "status pods/default/web-0\ndelete pods/default/web-0\n"} {
		_, mem := c.Decide(cluster.Snapshot(), podKey(name), now(), nil)
		early := now().Add(39 * time.Second)
		p, mem := c.Decide(cluster.Snapshot(), podKey(name), early, mem)
		if len(p.Actions) > 0 || !p.WakeAt.Equal(now().Add(40*time.Second)) {
			t.Errorf("%s is woken too early:\n%s", name, plantest.Text(p, early))
		}
		at := now().Add(40*time.Second + time.Millisecond)
		p, _ = c.Decide(cluster.Snapshot(), podKey(name), at, mem)
		if got := plantest.Text(p, at); got != want {
			t.Errorf("%s:\n%s", name, got)
			continue
		}
		d := p.Actions[len(p.Actions)-1].(plan.Delete)
		if d.GraceSeconds == nil || *d.GraceSeconds != 0 || d.UID != cluster.Snapshot().Get(podKey(name)).GetUID() || p.Reasons[0].About != podKey(name) || p.Reasons[0].Message != "removed: node gone no longer exists" {
			t.Errorf("%s: %+v %+v", name, d, p.Reasons)
		}
		if u, ok := p.Actions[0].(plan.UpdateStatus); ok {
			conditions := u.Object.(*corev1.Pod).Status.Conditions
			want := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: 3,
				LastTransitionTime: metav1.NewTime(at.Truncate(time.Second)), Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists"}
			if len(conditions) != 2 || conditions[0].Type != corev1.PodReady || conditions[1] != want {
				t.Errorf("conditions %+v", conditions)
			}
		}
	}
}

func TestPodsWakeTheCollectorWhenNobodyFinishesThem(t *testing.T) {
	at := metav1.NewTime(now())
	gone := func(p *corev1.Pod) { p.DeletionTimestamp = &at }
	over := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	full := plantest.New(now(), node)
	for i := range 12501 {
		full.Put(pod(fmt.Sprintf("job-%05d", i), "n1", over))
	}
	some := plantest.New(now(), node, pod("web-0", "n1"), pod("web-1", "lost"), pod("web-2", "n2"), pod("web-3", "n2"))
	wakes := func(cluster *plantest.Cluster, id kind.ID, change view.Change) string {
		var got []string
		for _, w := range garbage.NewPods().Watches {
			if w.Kind == id {
				for _, k := range w.Keys(cluster.Snapshot(), change) {
					got = append(got, k.String())
				}
			}
		}
		slices.Sort(got)
		return strings.Join(got, " ")
	}
	for name, c := range map[string]struct {
		cluster  *plantest.Cluster
		old, new *corev1.Pod
		want     string
	}{
		"runs":                            {some, nil, pod("web-0", "n1"), ""},
		"waits for a node":                {some, nil, pod("x", ""), ""},
		"deleted before it had a node":    {some, pod("x", ""), pod("x", "", gone), "pods/default/x"},
		"its node is not there":           {some, nil, pod("web-1", "lost"), "pods/default/web-1"},
		"went":                            {some, pod("web-1", "lost"), nil, ""},
		"finishes among few":              {some, pod("web-0", "n1"), pod("web-0", "n1", over), ""},
		"finishes among many":             {full, pod("job-00000", "n1"), pod("job-00000", "n1", over), "pods/"},
		"seen first when it has finished": {full, nil, pod("job-00000", "n1", over), "pods/"},
		"has been finished among many":    {full, pod("job-00000", "n1", over), pod("job-00000", "n1", over), ""},
		"runs among many":                 {full, nil, pod("job-00000", "n1"), ""},
	} {
		change := view.Change{Key: podKey("?")}
		if c.old != nil {
			change.Key, change.Old = podKey(c.old.Name), c.old
		}
		if c.new != nil {
			change.Key, change.New = podKey(c.new.Name), c.new
		}
		if got := wakes(c.cluster, kind.Pods, change); got != c.want {
			t.Errorf("%s: wakes %q, want %q", name, got, c.want)
		}
	}
	n2 := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}
	nodeKey := view.Key{Kind: kind.Nodes, Name: "n2"}
	for name, c := range map[string]struct {
		change view.Change
		want   string
	}{
		"a node went":    {view.Change{Key: nodeKey, Old: n2}, "pods/default/web-2 pods/default/web-3"},
		"a node came":    {view.Change{Key: nodeKey, New: n2}, "pods/default/web-2 pods/default/web-3"},
		"a node changed": {view.Change{Key: nodeKey, Old: n2, New: n2}, ""},
	} {
		if got := wakes(some, kind.Nodes, c.change); got != c.want {
			t.Errorf("%s: wakes %q, want %q", name, got, c.want)
		}
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
	cluster := plantest.New(now(), pod("runs", "n1"), pod("goes", "n1", func(p *corev1.Pod) {
		at := metav1.NewTime(now())
		p.Status.Phase, p.DeletionTimestamp = corev1.PodSucceeded, &at
		p.CreationTimestamp = metav1.NewTime(now().Add(-24 * time.Hour))
	}))
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
