// Package clienttest is what every client of package client promises, as one suite of tests: [Run]. The in-process
// client and the one over HTTPS pass it. It is for tests only.
package clienttest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

// Kinds are the kinds that the view of the client under test must show.
func Kinds() []kind.ID {
	return []kind.ID{kind.ConfigMaps, kind.Pods, kind.Deployments, kind.Nodes}
}

// Run runs the suite. Each test calls start for a client of a fresh cluster that has the namespace "default" and
// no other objects of [Kinds]; what the client needs to run must run until the test ends.
func Run(t *testing.T, start func(t *testing.T) client.Client) {
	for name, test := range map[string]func(*testing.T, *suite){
		"ObjectsLiveThroughEveryVerb":             objectsLive,
		"ErrorsAreTheServersOwn":                  errorsAreTyped,
		"ObjectsThatGoInAreNotWrittenTo":          inputsStay,
		"DryRunsChangeNothing":                    dryRuns,
		"DeletionsSayWhatWasDeletedAndWhen":       deletions,
		"PodsAreBoundAndEvicted":                  pods,
		"StatusAndScaleAreTheirOwn":               subresources,
		"ViewFollowsEveryWriteInOrder":            viewFollows,
		"ViewIsConsistentAcrossKinds":             viewIsConsistent,
		"WaitEndsWithItsContext":                  waitEnds,
		"ForgottenHistoryIsSaid":                  forgotten,
		"ManyWritersAndReadersSeeOneOrder":        manyWriters,
		"GetIsNeverOlderThanAnAcknowledgedChange": freshReads,
	} {
		t.Run(name, func(t *testing.T) { test(t, &suite{T: t, Client: start(t)}) })
	}
}

type suite struct {
	*testing.T
	client.Client
}

func (s *suite) configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"value": value}}
}

func key(id kind.ID, name string) view.Key {
	return view.Key{Kind: id, Namespace: "default", Name: name}
}

func (s *suite) create(obj kind.Object) kind.Object {
	s.Helper()
	made, err := s.Create(s.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		s.Fatalf("create %s: %v", obj.GetName(), err)
	}
	return made
}

func revision(t testing.TB, obj kind.Object) int64 {
	t.Helper()
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatalf("revision of %s: %v", obj.GetName(), err)
	}
	return n
}

// until waits for a view at a revision.
func (s *suite) until(at int64) *view.Snapshot {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	for s.Snapshot().Revision() < at {
		if err := s.Wait(ctx, s.Snapshot().Revision()); err != nil {
			s.Fatalf("the view stays at %d and does not reach %d: %v", s.Snapshot().Revision(), at, err)
		}
	}
	return s.Snapshot()
}

func objectsLive(t *testing.T, s *suite) {
	ctx := t.Context()
	made := s.create(s.configMap("a", "1")).(*corev1.ConfigMap)
	if made.UID == "" || made.CreationTimestamp.IsZero() || made.Kind != "ConfigMap" || made.APIVersion != "v1" {
		t.Errorf("the created object lacks metadata: %+v %+v", made.TypeMeta, made.ObjectMeta)
	}
	named := s.configMap("", "x")
	named.GenerateName = "gen-"
	if g := s.create(named); len(g.GetName()) != len("gen-")+5 {
		t.Errorf("generated name %q", g.GetName())
	}
	next := made.DeepCopy()
	next.Data["value"] = "2"
	updated, err := s.Update(ctx, next, "", metav1.UpdateOptions{})
	if err != nil || revision(t, updated) <= revision(t, made) {
		t.Fatalf("update: %v, %v", updated, err)
	}
	for pt, patch := range map[types.PatchType]string{
		types.MergePatchType:          `{"data":{"merge":"1"}}`,
		types.StrategicMergePatchType: `{"data":{"strategic":"1"}}`,
		types.JSONPatchType:           `[{"op":"add","path":"/data/json","value":"1"}]`,
	} {
		if _, err := s.Patch(ctx, key(kind.ConfigMaps, "a"), pt, []byte(patch), "", metav1.PatchOptions{}); err != nil {
			t.Errorf("%s: %v", pt, err)
		}
	}
	got, err := s.Get(ctx, key(kind.ConfigMaps, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if data := got.(*corev1.ConfigMap).Data; fmt.Sprint(data) != "map[json:1 merge:1 strategic:1 value:2]" {
		t.Errorf("data is %v", data)
	}
	if _, err := s.Delete(ctx, key(kind.ConfigMaps, "a"), metav1.DeleteOptions{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.Get(ctx, key(kind.ConfigMaps, "a")); !apierrors.IsNotFound(err) {
		t.Errorf("get after delete: %v", err)
	}
}

func errorsAreTyped(t *testing.T, s *suite) {
	ctx := t.Context()
	old := s.create(s.configMap("a", "1"))
	next := old.DeepCopyObject().(*corev1.ConfigMap)
	next.Data["value"] = "2"
	if _, err := s.Update(ctx, next, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	stale := old.DeepCopyObject().(*corev1.ConfigMap)
	stale.Data["value"] = "3"
	uid := types.UID("other")
	for name, test := range map[string]struct {
		call func() error
		is   func(error) bool
		text string
	}{
		"already there": {func() error { _, err := s.Create(ctx, s.configMap("a", "1"), metav1.CreateOptions{}); return err },
			apierrors.IsAlreadyExists, `configmaps "a" already exists`},
		"stale": {func() error { _, err := s.Update(ctx, stale, "", metav1.UpdateOptions{}); return err },
			apierrors.IsConflict, "please apply your changes to the latest version"},
		"missing": {func() error { _, err := s.Get(ctx, key(kind.ConfigMaps, "none")); return err },
			apierrors.IsNotFound, `configmaps "none" not found`},
		"missing for an update": {func() error {
			_, err := s.Update(ctx, s.configMap("none", "1"), "", metav1.UpdateOptions{})
			return err
		},
			apierrors.IsNotFound, `configmaps "none" not found`},
		"invalid": {func() error {
			_, err := s.Create(ctx, s.configMap("Upper_Case", "1"), metav1.CreateOptions{})
			return err
		}, apierrors.IsInvalid, `metadata.name: Invalid value: "Upper_Case"`},
		"bad patch": {func() error {
			_, err := s.Patch(ctx, key(kind.ConfigMaps, "a"), types.MergePatchType, []byte("{"), "", metav1.PatchOptions{})
			return err
		}, apierrors.IsBadRequest, ""},
		"other UID": {func() error {
			_, err := s.Delete(ctx, key(kind.ConfigMaps, "a"), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
			return err
		}, apierrors.IsConflict, "the UID in the precondition (other)"},
		"no namespace": {func() error {
			m := s.configMap("a", "1")
			m.Namespace = "nowhere"
			_, err := s.Create(ctx, m, metav1.CreateOptions{})
			return err
		}, apierrors.IsNotFound, `namespaces "nowhere" not found`},
		"unknown kind": {func() error { _, err := s.Get(ctx, key("boats.example.com", "a")); return err }, apierrors.IsNotFound, ""},
		"bind what is not there": {func() error { return s.Bind(ctx, key(kind.Pods, "none"), "", "n") },
			apierrors.IsNotFound, `pods "none" not found`},
		"evict what is not there": {func() error { return s.Evict(ctx, key(kind.Pods, "none"), metav1.DeleteOptions{}) },
			apierrors.IsNotFound, `pods "none" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.call()
			if err == nil || !test.is(err) {
				t.Fatalf("got %v (%T)", err, err)
			}
			if _, ok := err.(*apierrors.StatusError); !ok {
				t.Errorf("the error is a %T", err)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %q, want %q in it", err, test.text)
			}
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Create(ctx, s.configMap("late", "1"), metav1.CreateOptions{}); err == nil {
		// The in-process client may have finished; then the object must be there.
		if _, err := s.Get(t.Context(), key(kind.ConfigMaps, "late")); err != nil {
			t.Errorf("an acknowledged create left nothing: %v", err)
		}
	}
}

func inputsStay(t *testing.T, s *suite) {
	in := s.configMap("a", "1")
	before := in.DeepCopy()
	made := s.create(in)
	if fmt.Sprint(in) != fmt.Sprint(before) {
		t.Errorf("the input was written to: %v", in)
	}
	in.Data["value"] = "changed afterwards"
	got, err := s.Get(t.Context(), key(kind.ConfigMaps, "a"))
	if err != nil || got.(*corev1.ConfigMap).Data["value"] != "1" {
		t.Errorf("got %v, %v", got, err)
	}
	next := made.DeepCopyObject().(*corev1.ConfigMap)
	next.Data["value"] = "2"
	kept := next.DeepCopy()
	if _, err := s.Update(t.Context(), next, "", metav1.UpdateOptions{}); err != nil || fmt.Sprint(next) != fmt.Sprint(kept) {
		t.Errorf("the input of an update was written to: %v, %v", next, err)
	}
}

func dryRuns(t *testing.T, s *suite) {
	ctx, all := t.Context(), []string{metav1.DryRunAll}
	if _, err := s.Create(ctx, s.configMap("a", "1"), metav1.CreateOptions{DryRun: all}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, key(kind.ConfigMaps, "a")); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry create: %v", err)
	}
	made := s.create(s.configMap("a", "1")).DeepCopyObject().(*corev1.ConfigMap)
	made.Data["value"] = "2"
	if got, err := s.Update(ctx, made, "", metav1.UpdateOptions{DryRun: all}); err != nil || got.(*corev1.ConfigMap).Data["value"] != "2" {
		t.Errorf("dry update: %v, %v", got, err)
	}
	if _, err := s.Patch(ctx, key(kind.ConfigMaps, "a"), types.MergePatchType, []byte(`{"data":null}`), "", metav1.PatchOptions{DryRun: all}); err != nil {
		t.Errorf("dry patch: %v", err)
	}
	if _, err := s.Delete(ctx, key(kind.ConfigMaps, "a"), metav1.DeleteOptions{DryRun: all}); err != nil {
		t.Errorf("dry delete: %v", err)
	}
	got, err := s.Get(ctx, key(kind.ConfigMaps, "a"))
	if err != nil || got.GetResourceVersion() != made.GetResourceVersion() {
		t.Errorf("dry runs changed %v, %v", got, err)
	}
}

func deletions(t *testing.T, s *suite) {
	ctx := t.Context()
	made := s.create(s.configMap("a", "1"))
	gone, err := s.Delete(ctx, key(kind.ConfigMaps, "a"), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(made.GetUID()))})
	if err != nil {
		t.Fatal(err)
	}
	if gone.GetUID() != made.GetUID() || gone.(*corev1.ConfigMap).Data["value"] != "1" || revision(t, gone) <= revision(t, made) {
		t.Errorf("the last state is %+v", gone)
	}
	snap := s.until(revision(t, gone))
	if snap.Get(key(kind.ConfigMaps, "a")) != nil {
		t.Error("a view at the revision of the deletion has the object")
	}
	held := s.configMap("held", "1")
	held.Finalizers = []string{"example.com/hold"}
	s.create(held)
	waits, err := s.Delete(ctx, key(kind.ConfigMaps, "held"), metav1.DeleteOptions{})
	if err != nil || waits.GetDeletionTimestamp() == nil {
		t.Errorf("deletion of an object with a finalizer: %v, %v", waits, err)
	}
	if _, err := s.Delete(ctx, key(kind.ConfigMaps, "none"), metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deletion of nothing: %v", err)
	}
}

func (s *suite) pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
}

func pods(t *testing.T, s *suite) {
	ctx := t.Context()
	s.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
	made := s.create(s.pod("p"))
	if err := s.Bind(ctx, key(kind.Pods, "p"), "other", "n"); !apierrors.IsConflict(err) {
		t.Errorf("bind of another UID: %v", err)
	}
	if err := s.Bind(ctx, key(kind.Pods, "p"), made.GetUID(), "n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(ctx, key(kind.Pods, "p"), made.GetUID(), "n"); !apierrors.IsConflict(err) {
		t.Errorf("second bind: %v", err)
	}
	bound, err := s.Get(ctx, key(kind.Pods, "p"))
	if err != nil {
		t.Fatal(err)
	}
	snap := s.until(revision(t, bound))
	var on []string
	for p := range snap.PodsOn("n") {
		on = append(on, p.Name)
	}
	if !slices.Equal(on, []string{"p"}) {
		t.Errorf("on the node are %v", on)
	}
	if err := s.Evict(ctx, key(kind.Pods, "p"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, key(kind.Pods, "p")); err != nil || got.GetDeletionTimestamp() == nil {
		t.Errorf("an evicted pod waits for its grace period: %v, %v", got, err)
	}
	zero := int64(0)
	if _, err := s.Delete(ctx, key(kind.Pods, "p"), metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Errorf("delete at once: %v", err)
	}
}

func subresources(t *testing.T, s *suite) {
	ctx := t.Context()
	labels := map[string]string{"app": "a"}
	made := s.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: s.pod("x").Spec},
		},
	}).DeepCopyObject().(*appsv1.Deployment)
	three := int32(3)
	made.Spec.Replicas, made.Status.ObservedGeneration = &three, 7
	got, err := s.Update(ctx, made, "status", metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := got.(*appsv1.Deployment); *d.Spec.Replicas != 1 || d.Status.ObservedGeneration != 7 {
		t.Errorf("after a write of the status: %d replicas, observed %d", *d.Spec.Replicas, d.Status.ObservedGeneration)
	}
	got, err = s.Patch(ctx, key(kind.Deployments, "d"), types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), "scale", metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := got.(*appsv1.Deployment); !ok || *d.Spec.Replicas != 5 {
		t.Errorf("after a patch of the scale: %v", got)
	}
}

func viewFollows(t *testing.T, s *suite) {
	ctx := t.Context()
	from := s.until(1).Revision()
	made := s.create(s.configMap("a", "1"))
	next := made.DeepCopyObject().(*corev1.ConfigMap)
	next.Data["value"] = "2"
	updated, err := s.Update(ctx, next, "", metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := s.Delete(ctx, key(kind.ConfigMaps, "a"), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.until(revision(t, gone))
	changes, snap, ok := s.Since(from)
	if !ok || snap.Revision() < revision(t, gone) {
		t.Fatalf("changes since %d: %v, at %d", from, ok, snap.Revision())
	}
	var seen []string
	for _, c := range changes {
		if c.Key != key(kind.ConfigMaps, "a") {
			continue
		}
		value := func(o kind.Object) string {
			if o == nil {
				return "-"
			}
			return o.(*corev1.ConfigMap).Data["value"]
		}
		seen = append(seen, fmt.Sprintf("%d:%s>%s", c.Revision, value(c.Old), value(c.New)))
	}
	want := []string{
		fmt.Sprintf("%d:->1", revision(t, made)), fmt.Sprintf("%d:1>2", revision(t, updated)), fmt.Sprintf("%d:2>-", revision(t, gone)),
	}
	if !slices.Equal(seen, want) {
		t.Errorf("changes are %v, want %v", seen, want)
	}
	if changes, _, ok := s.Since(snap.Revision()); !ok || len(changes) > 0 {
		t.Errorf("changes after the newest: %v, %v", changes, ok)
	}
}

// viewIsConsistent writes to two kinds in turn: no snapshot may show the later write without the earlier one.
func viewIsConsistent(t *testing.T, s *suite) {
	const rounds = 100
	s.until(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range rounds {
			if _, err := s.Create(t.Context(), s.configMap(fmt.Sprintf("first-%03d", i), ""), metav1.CreateOptions{}); err != nil {
				t.Errorf("create: %v", err)
				return
			}
			if _, err := s.Create(t.Context(), s.pod(fmt.Sprintf("then-%03d", i)), metav1.CreateOptions{}); err != nil {
				t.Errorf("create: %v", err)
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last := int64(0)
	for {
		snap := s.Snapshot()
		if snap.Revision() < last {
			t.Fatalf("the view went back from %d to %d", last, snap.Revision())
		}
		last = snap.Revision()
		maps, pods := snap.Len(kind.ConfigMaps), snap.Len(kind.Pods)
		if pods != maps && pods != maps-1 {
			t.Fatalf("a snapshot shows %d config maps and %d pods", maps, pods)
		}
		if pods == rounds {
			break
		}
		if err := s.Wait(ctx, last); err != nil {
			t.Fatalf("wait at %d pods: %v", pods, err)
		}
	}
	<-done
}

func waitEnds(t *testing.T, s *suite) {
	at := s.until(1).Revision()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Wait(ctx, at+1000) }()
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
}

func forgotten(t *testing.T, s *suite) {
	s.create(s.configMap("a", "1"))
	made := s.create(s.configMap("b", "1"))
	snap := s.until(revision(t, made))
	if changes, again, ok := s.Since(-1); ok {
		t.Errorf("since before all: %v", changes)
	} else if again.Len(kind.ConfigMaps) != snap.Len(kind.ConfigMaps) {
		t.Error("the snapshot lacks something")
	}
}

func manyWriters(t *testing.T, s *suite) {
	const writers, each = 8, 40
	from := s.until(1).Revision()
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if _, err := s.Create(t.Context(), s.configMap(fmt.Sprintf("w%d-%02d", w, i), ""), metav1.CreateOptions{}); err != nil {
					t.Errorf("create: %v", err)
					return
				}
			}
		})
	}
	for range 3 {
		reading.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			seen := map[string]bool{}
			for at := from; len(seen) < writers*each; {
				if err := s.Wait(ctx, at); err != nil {
					t.Errorf("a reader at %d with %d objects: %v", at, len(seen), err)
					return
				}
				changes, snap, ok := s.Since(at)
				if !ok {
					t.Errorf("the history since %d is forgotten", at)
					return
				}
				for _, c := range changes {
					if c.Revision <= at {
						t.Errorf("revision %d comes after %d", c.Revision, at)
					}
					at = max(at, c.Revision)
					if seen[c.Key.Name] {
						t.Errorf("%s comes twice", c.Key.Name)
					}
					seen[c.Key.Name] = true
				}
				at = snap.Revision()
			}
		})
	}
	writing.Wait()
	reading.Wait()
}

func freshReads(t *testing.T, s *suite) {
	made := s.create(s.configMap("a", "0")).DeepCopyObject().(*corev1.ConfigMap)
	for i := range 50 {
		made.Data["value"] = fmt.Sprint(i + 1)
		updated, err := s.Update(t.Context(), made, "", metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), key(kind.ConfigMaps, "a"))
		if err != nil || got.GetResourceVersion() != updated.GetResourceVersion() {
			t.Fatalf("read %v, %v after the write of %s", got, err, updated.GetResourceVersion())
		}
		made = updated.DeepCopyObject().(*corev1.ConfigMap)
	}
}
