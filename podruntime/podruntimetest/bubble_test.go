package podruntimetest_test

import (
	"testing"
	"testing/synctest"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
)

// A container that ignores its stop signal is killed when its grace period is over, not earlier.
func TestGracePeriodEndsWithKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := podruntimetest.NewDriver(func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{IgnoreTerm: true}
		})
		s, err := podruntime.New(t.Context(), podruntime.Config{Driver: d, Images: podruntimetest.Images{}, Network: &podruntimetest.Network{}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		cri := s.Client()
		pod := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "web", Namespace: "default", Uid: "u1"}}
		sb, err := cri.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: pod})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cri.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb.PodSandboxId, SandboxConfig: pod,
			Config: &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"}, Image: &runtimeapi.ImageSpec{Image: "x"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cri.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := cri.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: c.ContainerId, Timeout: 30}); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("stopped after %v, want 30s", got)
		}
		st, err := cri.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: c.ContainerId})
		if err != nil {
			t.Fatal(err)
		}
		if st.Status.ExitCode != 137 || st.Status.Reason != "Error" {
			t.Errorf("exit code %d, reason %q, want 137, Error", st.Status.ExitCode, st.Status.Reason)
		}
		if _, err := cri.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sb.PodSandboxId}); err != nil {
			t.Fatal(err)
		}
		if left := d.Left(); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
