package plantest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	gocmp "github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// roundsMax is how many decisions one key may need until nothing is left to do.
const roundsMax = 200

// Check checks the properties of a controller's decision about a key, in a cluster of these objects:
//
//   - the same input gives the same plan, also when the objects were put in another order;
//   - nothing in the view is written to;
//   - WakeAt is after now;
//   - deciding and applying comes to a fixpoint, where the plan is empty;
//   - any prefix of a plan's actions, then deciding and applying again, comes to the same fixpoint.
func Check(t *testing.T, c plan.Controller, key view.Key, now time.Time, objects ...kind.Object) {
	t.Helper()
	CheckWith(t, c, key, now, func(*Cluster) bool { return false }, objects...)
}

// CheckWith is Check for a controller that waits for others. react stands for them: it is called when the
// controller has nothing to do, and reports whether it changed anything.
func CheckWith(t *testing.T, c plan.Controller, key view.Key, now time.Time, react func(*Cluster) bool, objects ...kind.Object) {
	t.Helper()
	start := func() *Cluster { return New(now, objects...) }

	cluster := start()
	snap := cluster.Snapshot()
	before := dump(t, snap, cluster.kinds, true)
	first, _ := c.Decide(snap, key, now, nil)
	again, _ := c.Decide(snap, key, now, nil)
	if diff := planDiff(first, again); diff != "" {
		t.Errorf("the same input gave another plan:\n%s", diff)
	}
	if diff := gocmp.Diff(before, dump(t, snap, cluster.kinds, true)); diff != "" {
		t.Errorf("the decision wrote to the view:\n%s", diff)
	}
	if !first.WakeAt.IsZero() && !first.WakeAt.After(now) {
		t.Errorf("WakeAt %v is not after now %v", first.WakeAt, now)
	}
	reversed := slices.Clone(objects)
	slices.Reverse(reversed)
	other, _ := c.Decide(New(now, reversed...).Snapshot(), key, now, nil)
	if got, want := Text(other, now), Text(first, now); got != want {
		t.Errorf("objects put in another order gave another plan:\n%s", gocmp.Diff(want, got))
	}

	want := Fixpoint(t, c, key, cluster, react)
	for n := range first.Actions {
		crashed := start()
		p, _ := c.Decide(crashed.Snapshot(), key, now, nil)
		for _, a := range p.Actions[:n] {
			if crashed.Apply(a) != nil {
				break
			}
		}
		if diff := gocmp.Diff(want, Fixpoint(t, c, key, crashed, react)); diff != "" {
			t.Errorf("after a crash behind %d of %d actions the fixpoint is another:\n%s", n, len(p.Actions), diff)
		}
	}
}

// Fixpoint decides and applies until the plan is empty and react (see [CheckWith]) changes nothing, and returns the objects as JSON by key. It fails the
// test if that takes too long.
func Fixpoint(t *testing.T, c plan.Controller, key view.Key, cluster *Cluster, react func(*Cluster) bool) map[string]string {
	t.Helper()
	var mem any
	var p plan.Plan
	for range roundsMax {
		p, mem = c.Decide(cluster.Snapshot(), key, cluster.Now, mem)
		if len(p.Actions) == 0 && react(cluster) {
			continue
		}
		if len(p.Actions) == 0 {
			return dump(t, cluster.Snapshot(), cluster.kinds, false)
		}
		before := cluster.revision
		for _, a := range p.Actions {
			err := cluster.Apply(a)
			if err == nil {
				continue
			}
			if !apierrors.IsConflict(err) {
				t.Fatalf("apply %s: %v", Text(p, cluster.Now), err)
			}
			break
		}
		if cluster.revision == before {
			t.Fatalf("a plan that changes nothing is made again and again:\n%s", Text(p, cluster.Now))
		}
	}
	t.Fatalf("no fixpoint after %d decisions; the last plan:\n%s", roundsMax, Text(p, cluster.Now))
	return nil
}

func planDiff(a, b plan.Plan) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return gocmp.Diff(a, b)
}

// dump encodes all objects of a snapshot. Without history what counts writes or tells the way here is left
// out: revisions, generations, and of conditions all but type and status.
func dump(t *testing.T, snap *view.Snapshot, kinds *kind.Registry, history bool) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, k := range kinds.All() {
		for obj := range snap.All(k.ID, "") {
			var encoded any = obj
			if !history {
				content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
				if err != nil {
					t.Fatal(err)
				}
				forget(content)
				encoded = content
			}
			data, err := json.MarshalIndent(encoded, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			out[view.KeyOf(k.ID, obj).String()] = string(data)
		}
	}
	return out
}

func forget(content map[string]any) {
	unstructured.RemoveNestedField(content, "metadata", "resourceVersion")
	unstructured.RemoveNestedField(content, "metadata", "generation")
	unstructured.RemoveNestedField(content, "status", "observedGeneration")
	list, ok, _ := unstructured.NestedSlice(content, "status", "conditions")
	if !ok {
		return
	}
	var kept []any
	for _, c := range list {
		c := c.(map[string]any)
		kept = append(kept, fmt.Sprint(c["type"], "=", c["status"]))
	}
	slices.SortFunc(kept, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) })
	_ = unstructured.SetNestedSlice(content, kept, "status", "conditions")
}
