package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver/apiservertest"
	"sampan/client"
	"sampan/client/events"
	"sampan/controller"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/plan"
	"sampan/scheduler"
	"sampan/view"
)

// bubble is an API server with a scheduler and the volume controllers, in virtual time.
type bubble struct {
	t *testing.T
	client.Client
	events  *seen
	metrics *scheduler.Metrics
}

// seen collects events.
type seen struct {
	mu   sync.Mutex // guards list
	list []string
}

func (s *seen) Record(e events.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e.Reason+": "+e.Message)
}

func (s *seen) has(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, event)
}

// run runs a story in a bubble; wrap may stand between the scheduler and the API server.
func run(t *testing.T, wrap func(client.Client) client.Client, story func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		c := apiservertest.NewMemory(t).Client(apiservertest.Admin())
		b := &bubble{t: t, Client: c, events: new(seen), metrics: scheduler.NewMetrics()}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		s := scheduler.New(scheduler.Config{Client: wrap(c), Log: log, Now: time.Now, Events: b.events, Metrics: b.metrics})
		cfg := volume.Config{Root: "/var/lib/sampan/volumes"}
		controllers := controller.New(controller.Config{Client: c, Now: time.Now, Log: log, Events: b.events,
			Controllers: []plan.Controller{volume.NewClaims(cfg), volume.NewVolumes(cfg)}})
		running.Go(func() { _ = s.Run(ctx) })
		running.Go(func() { _ = controllers.Run(ctx) })
		b.create(volume.DefaultStorageClass())
		story(b)
	})
}

func direct(c client.Client) client.Client { return c }

func (b *bubble) create(obj kind.Object) {
	b.t.Helper()
	if _, err := b.Create(b.t.Context(), obj, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) delete(id kind.ID, namespace, name string) {
	b.t.Helper()
	zero := int64(0)
	if _, err := b.Delete(b.t.Context(), view.Key{Kind: id, Namespace: namespace, Name: name}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		b.t.Fatal(err)
	}
}

// node adds a ready node with some CPUs.
func (b *bubble) node(name, cpu string) {
	b.t.Helper()
	b.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}})
	n, _ := view.Get[*corev1.Node](b.Snapshot(), kind.Nodes, "", name)
	n = n.DeepCopy()
	n.Spec.Taints = nil
	obj, err := b.Update(b.t.Context(), n, "", metav1.UpdateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	n = obj.(*corev1.Node).DeepCopy()
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	n.Status.Capacity = n.Status.Allocatable
	if _, err := b.Update(b.t.Context(), n, "status", metav1.UpdateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func pod(name, cpu string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "web",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
		}}},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

func (b *bubble) pod(name string) *corev1.Pod {
	b.t.Helper()
	p, ok := view.Get[*corev1.Pod](b.Snapshot(), kind.Pods, "default", name)
	if !ok {
		b.t.Fatalf("pod %s is gone", name)
	}
	return p
}

func scheduled(p *corev1.Pod) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodScheduled {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func TestPodIsBoundWithoutATimer(t *testing.T) {
	run(t, direct, func(b *bubble) {
		b.node("n1", "4")
		b.create(pod("web-0", "1"))
		synctest.Wait() // no time passes here
		if p := b.pod("web-0"); p.Spec.NodeName != "n1" {
			t.Errorf("bound to %q, want n1", p.Spec.NodeName)
		}
		if !b.events.has("Scheduled: Successfully assigned default/web-0 to n1") {
			t.Errorf("events: %q", b.events.list)
		}
	})
}

func TestPodsThatComeTogetherDoNotOvercommit(t *testing.T) {
	run(t, direct, func(b *bubble) {
		for i := range 5 {
			b.node(fmt.Sprintf("n%d", i), "4")
		}
		for i := range 30 {
			b.create(pod(fmt.Sprintf("p%d", i), "1"))
		}
		synctest.Wait()
		count := map[string]int{}
		for p := range view.All[*corev1.Pod](b.Snapshot(), kind.Pods, "") {
			count[p.Spec.NodeName]++
		}
		if count[""] != 10 || len(count) != 6 {
			t.Errorf("pods by node: %v", count)
		}
		for name, n := range count {
			if name != "" && n != 4 {
				t.Errorf("%s has %d pods, want 4", name, n)
			}
		}
	})
}

func TestRefusedPodIsToldWhyAndGoesWhenThereIsRoom(t *testing.T) {
	run(t, direct, func(b *bubble) {
		b.create(pod("first", "3"))
		synctest.Wait()
		if c := scheduled(b.pod("first")); c == nil || c.Message != "no nodes available to schedule pods" {
			t.Errorf("condition without nodes: %+v", c)
		}
		b.node("n1", "4")
		synctest.Wait()
		b.create(pod("second", "3"))
		synctest.Wait()
		c := scheduled(b.pod("second"))
		const want = "0/1 nodes are available: 1 Insufficient cpu."
		if c == nil || c.Status != corev1.ConditionFalse || c.Reason != corev1.PodReasonUnschedulable || c.Message != want {
			t.Errorf("condition: %+v", c)
		}
		if !b.events.has("FailedScheduling: " + want) {
			t.Errorf("events: %q", b.events.list)
		}
		b.delete(kind.Pods, "default", "first")
		synctest.Wait()
		if p := b.pod("second"); p.Spec.NodeName != "n1" {
			t.Errorf("second is on %q", p.Spec.NodeName)
		}
		if c := scheduled(b.pod("second")); c.Status != corev1.ConditionTrue {
			t.Errorf("condition once bound: %+v", c)
		}
	})
}

func TestPodsOfOthersAreLeftAlone(t *testing.T) {
	run(t, direct, func(b *bubble) {
		b.node("n1", "4")
		b.create(pod("other", "1", func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }))
		b.create(pod("gated", "1", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}} }))
		synctest.Wait()
		for _, name := range []string{"other", "gated"} {
			if p := b.pod(name); p.Spec.NodeName != "" {
				t.Errorf("%s was bound to %s", name, p.Spec.NodeName)
			}
		}
		open := b.pod("gated").DeepCopy()
		open.Spec.SchedulingGates = nil
		if _, err := b.Update(t.Context(), open, "", metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.pod("gated").Spec.NodeName == "" {
			t.Error("the pod stays behind its open gate")
		}
	})
}

// flaky fails the first binds.
type flaky struct {
	client.Client
	left atomic.Int32
}

func (f *flaky) Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error {
	if f.left.Add(-1) >= 0 {
		return errors.New("the store is full")
	}
	return f.Client.Bind(ctx, pod, uid, node)
}

func TestFailedBindIsTriedAgainAfterItsBackOff(t *testing.T) {
	run(t, func(c client.Client) client.Client {
		f := &flaky{Client: c}
		f.left.Store(2)
		return f
	}, func(b *bubble) {
		b.node("n1", "4")
		b.create(pod("web-0", "1"))
		synctest.Wait()
		if !b.events.has("FailedScheduling: binding rejected: the store is full") {
			t.Errorf("events: %q", b.events.list)
		}
		time.Sleep(3*time.Second - time.Millisecond) // virtual: one second, then two
		synctest.Wait()
		if b.pod("web-0").Spec.NodeName != "" {
			t.Error("bound before the back-off ended")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if b.pod("web-0").Spec.NodeName != "n1" {
			t.Error("not bound after the back-off")
		}
	})
}

func claim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func using(claim string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
}

func TestVolumeIsMadeWhereItsFirstConsumerGoes(t *testing.T) {
	run(t, direct, func(b *bubble) {
		b.node("n1", "4")
		b.node("n2", "4")
		b.create(claim("data"))
		synctest.Wait()
		if !b.events.has("WaitForFirstConsumer: waiting for first consumer to be created before binding") {
			t.Errorf("events: %q", b.events.list)
		}
		b.create(pod("db-0", "1", using("data")))
		synctest.Wait()
		node := b.pod("db-0").Spec.NodeName
		pvc, _ := view.Get[*corev1.PersistentVolumeClaim](b.Snapshot(), kind.PersistentVolumeClaims, "default", "data")
		pv, ok := view.Get[*corev1.PersistentVolume](b.Snapshot(), kind.PersistentVolumes, "", "pvc-"+string(pvc.UID))
		if node == "" || !ok || pvc.Status.Phase != corev1.ClaimBound || pv.Status.Phase != corev1.VolumeBound {
			t.Fatalf("pod on %q, volume %t, claim %+v", node, ok, pvc.Status)
		}
		if pv.Spec.Local.Path != "/var/lib/sampan/volumes/"+pv.Name || !slices.Contains(pv.Finalizers, volume.Finalizer) {
			t.Errorf("volume %+v", pv)
		}
		if !b.events.has("ProvisioningSucceeded: Successfully provisioned volume " + pv.Name) {
			t.Errorf("events: %q", b.events.list)
		}

		b.delete(kind.PersistentVolumeClaims, "default", "data") // held by the pod
		synctest.Wait()
		if _, ok := view.Get[*corev1.PersistentVolumeClaim](b.Snapshot(), kind.PersistentVolumeClaims, "default", "data"); !ok {
			t.Fatal("the claim went away under its pod")
		}
		b.delete(kind.Pods, "default", "db-0")
		synctest.Wait()
		if _, ok := view.Get[*corev1.PersistentVolumeClaim](b.Snapshot(), kind.PersistentVolumeClaims, "default", "data"); ok {
			t.Error("the claim is still there")
		}
		pv, ok = view.Get[*corev1.PersistentVolume](b.Snapshot(), kind.PersistentVolumes, "", pv.Name)
		if !ok || pv.DeletionTimestamp == nil || strings.Join(pv.Finalizers, " ") != volume.Finalizer || pv.Status.Phase != corev1.VolumeReleased {
			t.Errorf("the volume should wait for its node only: %v, %+v", ok, pv)
		}
		b.delete(kind.Nodes, "", node) // nobody is left to remove the directory
		synctest.Wait()
		if _, ok = view.Get[*corev1.PersistentVolume](b.Snapshot(), kind.PersistentVolumes, "", pv.Name); ok {
			t.Error("the volume is still there")
		}
	})
}

func TestClaimMovesOnWhenItsNodeIsGone(t *testing.T) {
	run(t, direct, func(b *bubble) {
		late := claim("data")
		late.Annotations = map[string]string{"volume.kubernetes.io/selected-node": "gone"}
		b.node("n1", "4")
		b.create(late)
		b.create(pod("db-0", "1", using("data")))
		synctest.Wait()
		if got := b.pod("db-0").Spec.NodeName; got != "n1" {
			t.Errorf("pod on %q: %+v", got, b.events.list)
		}
	})
}

func TestRestartedSchedulerTakesUpWhereItWas(t *testing.T) {
	run(t, direct, func(b *bubble) {
		b.node("n1", "4")
		b.create(pod("a", "3"))
		synctest.Wait()
		core := scheduler.NewCore(corev1.DefaultSchedulerName)
		core.Reset(b.Snapshot())
		if d, ok := core.Next(time.Now()); ok {
			t.Errorf("nothing is to be decided, but %+v", d)
		}
		b.create(pod("b", "3"))
		synctest.Wait()
		core.Reset(b.Snapshot())
		if d, ok := core.Next(time.Now()); !ok || d.Verb != scheduler.Refuse {
			t.Errorf("the bound pod was not counted: %+v", d)
		}
	})
}
