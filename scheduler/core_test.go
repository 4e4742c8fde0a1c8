package scheduler_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"sampan/kind"
	"sampan/scheduler"
	"sampan/view"
)

const nodeCPU = 4

// faulty is a cluster seen by a scheduler late, whose writes may fail, or be done with the answer lost.
type faulty struct {
	*rapid.T
	world    view.World
	revision int64
	unseen   []view.Change
	core     *scheduler.Core
	now      time.Time
	flights  []scheduler.Decision
	serial   int
}

func (f *faulty) put(id kind.ID, obj kind.Object) {
	f.revision++
	obj.SetResourceVersion(fmt.Sprint(f.revision))
	c := view.Change{Key: view.KeyOf(id, obj), New: obj, Revision: f.revision}
	if old := f.world.Put(id, obj, f.revision); old != nil {
		c.Old = old
	}
	f.unseen = append(f.unseen, c)
}

func (f *faulty) remove(key view.Key) {
	f.revision++
	if old := f.world.Remove(key.Kind, key.Namespace, key.Name, f.revision); old != nil {
		f.unseen = append(f.unseen, view.Change{Key: key, Old: old, Revision: f.revision})
	}
}

func (f *faulty) names(id kind.ID) (names []string) {
	for obj := range f.world.Snapshot().All(id, "") {
		names = append(names, obj.GetName())
	}
	return names
}

func (f *faulty) node() {
	f.serial++
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", f.serial)}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(fmt.Sprint(nodeCPU)), corev1.ResourcePods: resource.MustParse("110")}
	f.put(kind.Nodes, n)
}

func (f *faulty) pod() {
	f.serial++
	p := pod(fmt.Sprintf("p%d", f.serial), fmt.Sprint(rapid.IntRange(1, 3).Draw(f.T, "cpu")))
	p.UID, p.Generation, p.Spec.SchedulerName = types.UID(p.Name), 1, corev1.DefaultSchedulerName
	f.put(kind.Pods, p)
}

// see shows the scheduler some of what happened, or all of it anew.
func (f *faulty) see() {
	if rapid.IntRange(0, 5).Draw(f.T, "history is gone") == 0 {
		f.unseen = nil
		f.core.Reset(f.world.Snapshot())
		return
	}
	// The snapshot is the newest, and the changes with it: views lag, but agree with themselves.
	f.core.Observe(f.unseen, f.world.Snapshot())
	f.unseen = nil
}

// finish carries out a decision in flight, more or less well.
func (f *faulty) finish(faults bool) {
	at := rapid.IntRange(0, len(f.flights)-1).Draw(f.T, "flight")
	d := f.flights[at]
	f.flights = slices.Delete(f.flights, at, at+1)
	fault := "none"
	if faults {
		fault = rapid.SampledFrom([]string{"none", "none", "not done", "answer lost"}).Draw(f.T, "fault")
	}
	var err error
	if fault == "not done" {
		err = errors.New("connection refused")
	} else if d.Verb == scheduler.Bind {
		err = f.bind(d)
	}
	if fault == "answer lost" && err == nil {
		err = errors.New("timeout")
	}
	f.core.Done(d, err, f.now)
}

func (f *faulty) bind(d scheduler.Decision) error {
	p, ok := view.Get[*corev1.Pod](f.world.Snapshot(), kind.Pods, "default", d.Pod.Name)
	switch {
	case !ok:
		return apierrors.NewNotFound(kind.Pods.GroupResource(), d.Pod.Name)
	case p.Spec.NodeName != "":
		return apierrors.NewConflict(kind.Pods.GroupResource(), d.Pod.Name, errors.New("already assigned"))
	}
	p = p.DeepCopy()
	p.Spec.NodeName = d.Node
	f.put(kind.Pods, p)
	if taken := f.taken()[d.Node]; taken > nodeCPU {
		f.Fatalf("%d CPUs are taken of %s", taken, d.Node)
	}
	return nil
}

func (f *faulty) taken() map[string]int64 {
	taken := map[string]int64{}
	for p := range view.All[*corev1.Pod](f.world.Snapshot(), kind.Pods, "") {
		taken[p.Spec.NodeName] += p.Spec.Containers[0].Resources.Requests.Cpu().Value()
	}
	return taken
}

// TestSchedulerNeverOvercommitsAndNeverForgets drives the scheduler through lags, failed writes and lost answers. In the
// end every pod is bound that fits anywhere.
func TestSchedulerNeverOvercommitsAndNeverForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &faulty{T: t, core: scheduler.NewCore(corev1.DefaultSchedulerName), now: time.Unix(0, 0)}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"pod", "pod", "node", "gone", "see", "see", "next", "next", "next", "finish", "finish", "later"}).Draw(t, "step") {
			case "pod":
				f.pod()
			case "node":
				f.node()
			case "gone":
				id := rapid.SampledFrom([]kind.ID{kind.Pods, kind.Pods, kind.Nodes}).Draw(t, "kind")
				if names := f.names(id); len(names) > 0 {
					key := view.Key{Kind: id, Name: rapid.SampledFrom(names).Draw(t, "which")}
					if id == kind.Pods {
						key.Namespace = "default"
					}
					f.remove(key)
				}
			case "see":
				f.see()
			case "next":
				if d, ok := f.core.Next(f.now); ok {
					f.flights = append(f.flights, d)
				}
			case "finish":
				if len(f.flights) > 0 {
					f.finish(true)
				}
			case "later":
				// A lost answer is resolved by the view, which lags less than the shortest back-off.
				f.see()
				f.now = f.now.Add(time.Second)
			}
		}
		for range 100 { // no more faults: everything settles
			f.core.Observe(f.unseen, f.world.Snapshot())
			f.unseen = nil
			for d, ok := f.core.Next(f.now); ok; d, ok = f.core.Next(f.now) {
				f.flights = append(f.flights, d)
			}
			idle := len(f.flights) == 0
			for len(f.flights) > 0 {
				f.finish(false)
			}
			if idle && len(f.unseen) == 0 && f.core.WakeAt().IsZero() {
				break
			}
			f.now = f.now.Add(time.Second)
		}
		waiting := scheduler.Pending{}
		for p := range view.All[*corev1.Pod](f.world.Snapshot(), kind.Pods, "") {
			if p.Spec.NodeName == "" {
				waiting.Unschedulable++
			}
		}
		if got := f.core.Pending(); got != waiting {
			t.Fatalf("pending are %+v, want %+v", got, waiting)
		}
		taken := f.taken()
		free := int64(0)
		for _, name := range f.names(kind.Nodes) {
			free = max(free, nodeCPU-taken[name])
		}
		for p := range view.All[*corev1.Pod](f.world.Snapshot(), kind.Pods, "") {
			if need := p.Spec.Containers[0].Resources.Requests.Cpu().Value(); p.Spec.NodeName == "" && need <= free {
				t.Fatalf("%s needs %d, and waits though %d are free: %v", p.Name, need, free, slices.Sorted(maps.Keys(taken)))
			}
		}
	})
}

func TestDecisionThatMetANewerStateIsTakenAnewWhenThatIsSeen(t *testing.T) {
	conflict := apierrors.NewConflict(kind.Pods.GroupResource(), "p", errors.New("the object has been modified"))
	web := func(p *corev1.Pod) {
		p.UID, p.Generation, p.Spec.SchedulerName = types.UID(p.Name), 1, corev1.DefaultSchedulerName
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	}
	newer := map[string]func(*faulty){
		"pod": func(f *faulty) { f.put(kind.Pods, pod("p", "1", web)) },
		"claim": func(f *faulty) {
			f.put(kind.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"}})
		},
	}
	for name, write := range newer {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, seen before the answer: %t", name, early), func(t *testing.T) {
				f := &faulty{core: scheduler.NewCore(corev1.DefaultSchedulerName), now: time.Unix(0, 0)}
				see := func() {
					f.core.Observe(f.unseen, f.world.Snapshot())
					f.unseen = nil
				}
				f.put(kind.Pods, pod("p", "1", web))
				see()
				d, ok := f.core.Next(f.now)
				if !ok || d.Verb != scheduler.Refuse {
					t.Fatalf("without a node: %+v %t", d, ok)
				}
				write(f)
				if early {
					see()
				}
				f.core.Done(d, conflict, f.now)
				if !early {
					if d, ok := f.core.Next(f.now); ok {
						t.Fatalf("decided on the old state once more: %+v", d)
					}
					if want := f.now.Add(time.Second); !f.core.WakeAt().Equal(want) {
						t.Errorf("decided anew at %v if nothing is seen, want %v", f.core.WakeAt(), want)
					}
					see()
				}
				if _, ok := f.core.Next(f.now); !ok {
					t.Error("not decided anew")
				}
			})
		}
	}
}
