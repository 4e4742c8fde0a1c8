package node_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/node"
	"sampan/node/volume"
	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
	"sampan/view"
)

func TestNodeIsRegisteredAndKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		synctest.Wait()
		node, ok := view.Get[*corev1.Node](b.api.Snapshot(), kind.Nodes, "", "n1")
		if !ok {
			t.Fatal("no node")
		}
		want := map[corev1.NodeConditionType]string{
			corev1.NodeReady: "True KubeletReady", corev1.NodeMemoryPressure: "False KubeletHasSufficientMemory",
			corev1.NodeDiskPressure: "False KubeletHasNoDiskPressure", corev1.NodePIDPressure: "False KubeletHasSufficientPID",
		}
		if got := conditionsOf(node); !maps.Equal(got, want) {
			t.Errorf("conditions %v, want %v", got, want)
		}
		if node.Labels[corev1.LabelHostname] != "n1" || node.Status.NodeInfo.KubeletVersion == "" || len(node.Status.Addresses) != 2 {
			t.Errorf("%+v", node)
		}
		for range 3 {
			lease, ok := view.Get[*coordinationv1.Lease](b.api.Snapshot(), kind.Leases, corev1.NamespaceNodeLease, "n1")
			if !ok || time.Since(lease.Spec.RenewTime.Time) > 10*time.Second || *lease.Spec.LeaseDurationSeconds != 40 {
				t.Fatalf("lease %+v", lease)
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		// Somebody deletes the Node: it comes back at once.
		b.api.mu.Lock()
		b.api.remove(view.Key{Kind: kind.Nodes, Name: "n1"})
		b.api.mu.Unlock()
		synctest.Wait()
		if _, ok := view.Get[*corev1.Node](b.api.Snapshot(), kind.Nodes, "", "n1"); !ok {
			t.Error("the node is not registered again")
		}
		b.stop()
	})
}

func TestWhatRunsOutOnTheMachineIsACondition(t *testing.T) {
	for _, c := range []struct {
		short node.Shortage
		want  corev1.NodeConditionType
		text  string
	}{
		{node.Shortage{Memory: true}, corev1.NodeMemoryPressure, "True KubeletHasInsufficientMemory"},
		{node.Shortage{Disk: true}, corev1.NodeDiskPressure, "True KubeletHasDiskPressure"},
		{node.Shortage{PIDs: true}, corev1.NodePIDPressure, "True KubeletHasInsufficientPID"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			b.short = c.short
			b.start()
			synctest.Wait()
			node, _ := view.Get[*corev1.Node](b.api.Snapshot(), kind.Nodes, "", "n1")
			for typ, text := range conditionsOf(node) {
				switch bad := strings.HasPrefix(text, "True "); {
				case typ == c.want && text != c.text:
					t.Errorf("%+v: %s is %s, want %s", c.short, typ, text, c.text)
				case typ != c.want && typ != corev1.NodeReady && bad:
					t.Errorf("%+v: %s is %s", c.short, typ, text)
				}
			}
			b.stop()
		})
	}
}

// conditionsOf returns status and reason of a node's conditions.
func conditionsOf(node *corev1.Node) map[corev1.NodeConditionType]string {
	all := map[corev1.NodeConditionType]string{}
	for _, c := range node.Status.Conditions {
		all[c.Type] = string(c.Status) + " " + c.Reason
	}
	return all
}

func TestStatusIsWrittenAgainAfterFailuresAndConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		failures := 3
		b.api.fail = func(verb string, key view.Key) error {
			if key.Kind != kind.Pods || failures == 0 {
				return nil
			}
			failures--
			if failures == 1 {
				return apierrors.NewConflict(key.Kind.GroupResource(), key.Name, fmt.Errorf("changed"))
			}
			return apierrors.NewInternalError(fmt.Errorf("the store is away"))
		}
		b.start()
		b.create(newPod("web"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.wantReady("web")
		b.stop()
	})
}

func TestConditionsOfOthersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
			p.Status.Conditions = []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionFalse}}
		}))
		synctest.Wait()
		pod := b.pod("web")
		if condition(pod, corev1.ContainersReady) != corev1.ConditionTrue || condition(pod, corev1.PodReady) != corev1.ConditionFalse {
			t.Errorf("conditions %+v", pod.Status.Conditions)
		}
		pod = pod.DeepCopy()
		for i := range pod.Status.Conditions {
			if pod.Status.Conditions[i].Type == "example.com/gate" {
				pod.Status.Conditions[i].Status = corev1.ConditionTrue
			}
		}
		if _, err := b.api.Update(t.Context(), pod, "status", metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.wantReady("web")
		if condition(b.pod("web"), "example.com/gate") != corev1.ConditionTrue {
			t.Error("the gate's condition is lost")
		}
		b.stop()
	})
}

func TestRemainsOfPodsDeletedMeanwhileAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("web"))
		b.create(newPod("stays"))
		synctest.Wait()
		b.wantReady("web")
		b.stop()
		b.api.mu.Lock()
		b.api.remove(view.Key{Kind: kind.Pods, Namespace: "default", Name: "web"})
		b.api.mu.Unlock()
		b.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.driver.Running()); n != 1 {
			t.Errorf("%d containers run, want 1", n)
		}
		if entries, err := os.ReadDir(filepath.Join(b.dir, "root/pods")); err != nil || len(entries) != 1 {
			t.Errorf("pod directories %v, %v", entries, err)
		}
		b.stop()
	})
}

func TestForceDeletedPodIsStoppedAndItsSuccessorRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("db-0"))
		synctest.Wait()
		b.delete("db-0", 0) // kubectl delete --force: the object is gone at once
		b.create(newPod("db-0", func(p *corev1.Pod) { p.UID = "second" }))
		time.Sleep(time.Second)
		synctest.Wait()
		b.wantReady("db-0")
		if n := len(b.driver.Running()); n != 1 || b.pod("db-0").UID != "second" {
			t.Errorf("%d containers run", n)
		}
		b.stop()
	})
}

func TestPreStopHookTakesFromTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{IgnoreTerm: true}
		})
		b.start()
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 8}}}
		}))
		synctest.Wait()
		b.wantReady("web")
		begin := time.Now()
		b.delete("web", 20)
		for b.pod("web") != nil {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(begin); took < 20*time.Second || took > 22*time.Second {
			t.Errorf("took %v, want 20 s: 8 of them for the hook", took)
		}
		b.stop()
	})
}

func TestImageIsPulledOnceForManyPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.images.remote["far"] = true
		b.images.delay = time.Second
		b.start()
		for i := range 5 {
			b.create(newPod(fmt.Sprintf("p%d", i), func(p *corev1.Pod) { p.Spec.Containers[0].Image = "far" }))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i := range 5 {
			b.wantReady(fmt.Sprintf("p%d", i))
		}
		if b.images.pulls != 1 {
			t.Errorf("%d pulls", b.images.pulls)
		}
		b.create(newPod("never", func(p *corev1.Pod) {
			p.Spec.Containers[0].Image, p.Spec.Containers[0].ImagePullPolicy = "other", corev1.PullNever
		}))
		b.create(newPod("invalid", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "UPPER:::" }))
		synctest.Wait()
		for name, want := range map[string]string{"never": "ErrImageNeverPull", "invalid": "InvalidImageName"} {
			if wait := b.pod(name).Status.ContainerStatuses[0].State.Waiting; wait == nil || wait.Reason != want {
				t.Errorf("%s: %+v, want %s", name, wait, want)
			}
		}
		b.stop()
	})
}

func TestLocalPathDataGoesWithItsVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		path := b.dir + "/local/pv1"
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		now := metav1.Now()
		_, err := b.api.Create(context.Background(), &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv1", DeletionTimestamp: &now, Finalizers: []string{volume.LocalPath},
				Annotations: map[string]string{volume.AnnotationProvisionedBy: volume.LocalPath}},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}}}}}}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b.start()
		synctest.Wait()
		if _, ok := view.Get[*corev1.PersistentVolume](b.api.Snapshot(), kind.PersistentVolumes, "", "pv1"); ok {
			t.Error("the volume still has its finalizer")
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("data is left: %v", err)
		}
		b.stop()
	})
}

func TestConfigMapThatChangesWhileVolumesAreMadeIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		put := func(value string) {
			b.api.mu.Lock()
			defer b.api.mu.Unlock()
			b.api.put(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"k": value}}, "put")
		}
		b.start()
		put("0")
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}}
		}))
		for i := range 50 {
			put(fmt.Sprint(i))
		}
		synctest.Wait()
		b.wantReady("web")
		data, err := os.ReadFile(filepath.Join(b.dir, "root/pods/uid-web/volumes/kubernetes.io~configmap/v/k"))
		if err != nil || string(data) != "49" {
			t.Errorf("%q, %v, want 49", data, err)
		}
		b.stop()
	})
}
