package all_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/client/events"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/scheduler"
	"sampan/view"
)

type noEvents struct{}

func (noEvents) Record(events.Event) {}

// agent stands for the nodes: a pod that is bound becomes ready at once, one that is deleted goes at once, and so do
// the directories of volumes.
func (b *bubble) agent(ctx context.Context) {
	zero := int64(0)
	for at := int64(0); ; {
		snap := b.Snapshot()
		for pod := range view.All[*corev1.Pod](snap, kind.Pods, "") {
			switch {
			case pod.Spec.NodeName == "":
			case pod.DeletionTimestamp != nil:
				_, _ = b.Delete(ctx, view.KeyOf(kind.Pods, pod), metav1.DeleteOptions{GracePeriodSeconds: &zero})
			case pod.Status.Phase == corev1.PodPending:
				next, ip := pod.DeepCopy(), fmt.Sprintf("10.0.0.%s", pod.ResourceVersion)
				next.Status.Phase, next.Status.PodIP, next.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
				next.Status.Conditions = append(next.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
				_, _ = b.Update(ctx, next, "status", metav1.UpdateOptions{})
			}
		}
		for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
			if pv.DeletionTimestamp != nil && slices.Contains(pv.Finalizers, volume.Finalizer) {
				next := pv.DeepCopy()
				next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == volume.Finalizer })
				_, _ = b.Update(ctx, next, "", metav1.UpdateOptions{})
			}
		}
		at = snap.Revision()
		if b.Wait(ctx, at) != nil {
			return
		}
	}
}

func database(replicas int32) *appsv1.StatefulSet {
	labels := map[string]string{"app": "db"}
	return &appsv1.StatefulSet{
		ObjectMeta: meta("db"),
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "main", Image: "db", VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}}}}},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			}}},
		},
	}
}

// TestShopComesUpAndGoesAway runs a web tier and a database from manifest to nothing. No time passes: everything is
// driven by events.
func TestShopComesUpAndGoesAway(t *testing.T) {
	run(t, func(b *bubble) {
		ctx, cancel := context.WithCancel(b.t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		s := scheduler.New(scheduler.Config{Client: b, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)), Now: time.Now, Events: noEvents{}})
		running.Go(func() { _ = s.Run(ctx) })
		running.Go(func() { b.agent(ctx) })

		began := time.Now()
		b.create(volume.DefaultStorageClass())
		for _, name := range []string{"n1", "n2"} {
			b.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}})
			node, _ := view.Get[*corev1.Node](b.Snapshot(), kind.Nodes, "", name)
			node = node.DeepCopy()
			node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
			node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			b.status(node)
		}
		b.namespace("shop")
		for _, name := range []string{"web", "db"} {
			service := &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}}}
			if name == "db" {
				service.Spec.ClusterIP = corev1.ClusterIPNone
			}
			b.create(service)
		}
		b.create(deployment("web", 3))
		b.create(database(2))
		synctest.Wait()

		endpoints := map[string][]string{}
		for s := range view.All[*discoveryv1.EndpointSlice](b.Snapshot(), kind.EndpointSlices, "shop") {
			for _, e := range s.Endpoints {
				name := s.Labels[discoveryv1.LabelServiceName]
				if *e.Conditions.Ready {
					endpoints[name] = append(endpoints[name], e.TargetRef.Name)
				}
				if e.Hostname != nil {
					endpoints["hostnames"] = append(endpoints["hostnames"], *e.Hostname)
				}
			}
		}
		slices.Sort(endpoints["hostnames"])
		if len(endpoints["web"]) != 3 || !slices.Equal(endpoints["hostnames"], []string{"db-0", "db-1"}) {
			b.t.Errorf("endpoints %v", endpoints)
		}
		if n := b.count(kind.PersistentVolumes, ""); n != 2 {
			b.t.Errorf("%d volumes", n)
		}
		revision := b.Snapshot().Revision()
		b.delete(kind.Namespaces, "", "shop", metav1.DeletePropagationBackground)
		synctest.Wait()
		if b.Snapshot().Get(view.Key{Kind: kind.Namespaces, Name: "shop"}) != nil || b.count(kind.PersistentVolumes, "") != 0 {
			b.t.Error("something is left of the shop")
		}
		b.t.Logf("up with %d writes, gone with %d more, in %v", revision, b.Snapshot().Revision()-revision, time.Since(began))
		if took := time.Since(began); took != 0 {
			b.t.Errorf("something waited for a timer: %v", took)
		}
	})
}
