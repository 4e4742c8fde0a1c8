package node_test

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
)

func TestPodGetsANewSandboxWhenItsPauseProcessDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inits := 0
		b := newBench(t, func(c podruntime.ContainerSpec) podruntimetest.Behaviour {
			if len(c.OCI.Process.Args) > 0 && c.OCI.Process.Args[0] == "init" {
				inits++
				return podruntimetest.Behaviour{RunFor: time.Second}
			}
			return podruntimetest.Behaviour{}
		})
		b.start()
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "img", Command: []string{"init"}, ImagePullPolicy: corev1.PullIfNotPresent}}
		}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.wantReady("web")
		first := b.pod("web").Status.ContainerStatuses[0].ContainerID
		list, err := b.rt.Client().ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("sandboxes %v, error %v", list, err)
		}
		b.driver.KillPause(list.Items[0].Id)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		b.wantReady("web")
		st := b.pod("web").Status.ContainerStatuses[0]
		if st.RestartCount != 1 || st.ContainerID == first || inits != 2 {
			t.Errorf("%d restarts, %d runs of the init container: %+v; events %v", st.RestartCount, inits, st, b.events.reasons())
		}
		b.delete("web", 5)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.stop()
		if left := b.driver.Left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
