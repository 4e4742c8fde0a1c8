package view_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"sampan/kind"
	"sampan/view"
)

func pod(namespace, name, node string, owners ...types.UID) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node}}
	for _, uid := range owners {
		p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{UID: uid})
	}
	return p
}

func names[T kind.Object](seq func(func(T) bool)) []string {
	var out []string
	for obj := range seq {
		out = append(out, obj.GetNamespace()+"/"+obj.GetName())
	}
	return out
}

func TestSnapshotKeepsWhatItShowedWhileTheWorldGoesOn(t *testing.T) {
	var w view.World
	w.Put(kind.Pods, pod("a", "one", "n1", "u1"), 1)
	before := w.Snapshot()

	w.Put(kind.Pods, pod("a", "one", "n2", "u2"), 2)
	w.Put(kind.Pods, pod("a", "two", "n1", "u1"), 3)
	w.Remove(kind.Pods, "a", "one", 4)
	after := w.Snapshot()

	if got := names(before.All(kind.Pods, "")); !slices.Equal(got, []string{"a/one"}) {
		t.Errorf("the first snapshot now shows %v", got)
	}
	if got := names(before.PodsOn("n1")); !slices.Equal(got, []string{"a/one"}) {
		t.Errorf("the first snapshot's node index now shows %v", got)
	}
	if got := names(after.All(kind.Pods, "")); !slices.Equal(got, []string{"a/two"}) {
		t.Errorf("the second snapshot shows %v", got)
	}
	if len(names(after.PodsOn("n2"))) != 0 || len(names(after.OwnedBy(kind.Pods, "u2"))) != 0 {
		t.Error("an index still shows the pod that is gone")
	}
	if before.Revision() != 1 || after.Revision() != 4 {
		t.Errorf("revisions %d and %d, want 1 and 4", before.Revision(), after.Revision())
	}
}

func TestListContinuesBehindAName(t *testing.T) {
	var w view.World
	for i, name := range []string{"a/x", "a/y", "ab/x", "b/x"} {
		ns, n, _ := cut(name)
		w.Put(kind.Pods, pod(ns, n, ""), int64(i+1))
	}
	s := w.Snapshot()
	for _, c := range []struct {
		namespace, after string
		want             []string
	}{
		{"", "", []string{"a/x", "a/y", "ab/x", "b/x"}},
		{"", "a/y", []string{"ab/x", "b/x"}},
		{"a", "", []string{"a/x", "a/y"}},
		{"a", "a/x", []string{"a/y"}},
		{"a", "a/y", nil},
		{"b", "a/gone", []string{"b/x"}},
		{"a", "b/gone", nil},
		{"none", "", nil},
	} {
		if got := names(s.From(kind.Pods, c.namespace, c.after)); !slices.Equal(got, c.want) {
			t.Errorf("namespace %q after %q: %v, want %v", c.namespace, c.after, got, c.want)
		}
		if got := s.LenFrom(kind.Pods, c.namespace, c.after); got != len(c.want) {
			t.Errorf("namespace %q after %q: %d objects, want %d", c.namespace, c.after, got, len(c.want))
		}
	}
}

func cut(s string) (string, string, bool) {
	for i := range s {
		if s[i] == '/' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// TestWorldAgreesWithAMap holds a World against a plain map, with snapshots taken at random moments.
func TestWorldAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w view.World
		model := map[string]*corev1.Pod{}
		type taken struct {
			snap *view.Snapshot
			want map[string]*corev1.Pod
		}
		var snaps []taken
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for rev := range steps {
			ns := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace")
			name := fmt.Sprint("p", rapid.IntRange(0, 5).Draw(t, "name"))
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				w.Remove(kind.Pods, ns, name, int64(rev))
				delete(model, ns+"/"+name)
			case 1:
				snaps = append(snaps, taken{w.Snapshot(), maps.Clone(model)})
			default:
				p := pod(ns, name, rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "node"),
					types.UID(rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "owner")))
				w.Put(kind.Pods, p, int64(rev))
				model[ns+"/"+name] = p
			}
		}
		for _, s := range append(snaps, taken{w.Snapshot(), model}) {
			if got, want := names(s.snap.All(kind.Pods, "")), slices.Sorted(maps.Keys(s.want)); !slices.Equal(got, want) {
				t.Fatalf("shows %v, want %v", got, want)
			}
			for _, after := range []string{"", "a/p2", "b/p0", "b/p5"} {
				for _, ns := range []string{"", "a", "b"} {
					if got, want := s.snap.LenFrom(kind.Pods, ns, after), len(names(s.snap.From(kind.Pods, ns, after))); got != want {
						t.Fatalf("of namespace %q after %q there are %d, want %d", ns, after, got, want)
					}
				}
			}
			for _, node := range []string{"n1", "n2"} {
				var want []string
				for _, k := range slices.Sorted(maps.Keys(s.want)) {
					if s.want[k].Spec.NodeName == node {
						want = append(want, k)
					}
				}
				if got := names(s.snap.PodsOn(node)); !slices.Equal(got, want) {
					t.Fatalf("on %s shows %v, want %v", node, got, want)
				}
			}
			for _, uid := range []types.UID{"u1", "u2"} {
				var want []string
				for _, k := range slices.Sorted(maps.Keys(s.want)) {
					if s.want[k].OwnerReferences[0].UID == uid {
						want = append(want, k)
					}
				}
				if got := names(s.snap.OwnedBy(kind.Pods, uid)); !slices.Equal(got, want) {
					t.Fatalf("owned by %s shows %v, want %v", uid, got, want)
				}
			}
		}
	})
}
