package podruntimetest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
)

// fakes is a driver with what it needs, which outlive the servers on them.
type fakes struct {
	driver  *podruntimetest.Driver
	network *podruntimetest.Network
}

func (f fakes) boot(t *testing.T) (*podruntime.Server, podruntimetest.Suite) {
	t.Helper()
	s, err := podruntime.New(t.Context(), podruntime.Config{Driver: f.driver, Images: podruntimetest.Images{}, Network: f.network})
	if err != nil {
		t.Fatal(err)
	}
	return s, podruntimetest.Suite{CRI: s.Client(), Image: "x"}
}

func newFakes() fakes {
	return fakes{driver: podruntimetest.NewDriver(func(c podruntime.ContainerSpec) podruntimetest.Behaviour {
		return podruntimetest.Behave(c.OCI.Process.Args)
	}), network: &podruntimetest.Network{}}
}

func TestRestartAdoptsPodsAndHearsOfEndsInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s, suite := f.boot(t)
		p := suite.RunPodOnly(t)
		stays, ends := p.Run("stays", podruntimetest.ScriptForever), p.Run("ends", podruntimetest.ScriptForever)
		before := p.Status(stays)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		f.driver.Exit(ends, 5, false)
		time.Sleep(time.Hour)
		s, suite = f.boot(t)
		defer s.Close()
		p.Suite = suite
		if st := p.Status(ends); st.ExitCode != 5 || time.Since(time.Unix(0, st.FinishedAt)) != time.Hour {
			t.Errorf("exit code %d, finished %v ago, want 5, 1h", st.ExitCode, time.Since(time.Unix(0, st.FinishedAt)))
		}
		if st := p.Status(stays); st.State != runtimeapi.ContainerState_CONTAINER_RUNNING || st.StartedAt != before.StartedAt {
			t.Errorf("the other is %v, started at %d, want %d", st.State, st.StartedAt, before.StartedAt)
		}
		if err := s.RemoveAll(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if left := f.driver.Left(); len(left) > 0 || f.network.Attached() > 0 {
			t.Errorf("left behind: %v, %d attached", left, f.network.Attached())
		}
	})
}

func TestSandboxThatCannotBeMadeLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s, suite := f.boot(t)
		defer s.Close()
		f.driver.FailSandboxes(errors.New("no space left on device"))
		cfg := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "p", Namespace: "ns", Uid: "u"}}
		if _, err := suite.CRI.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg}); err == nil {
			t.Fatal("a sandbox was made")
		}
		if left := f.driver.Left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		f.driver.FailSandboxes(nil)
		if _, err := suite.CRI.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg}); err != nil {
			t.Errorf("the name is still taken: %v", err)
		}
	})
}

func TestPauseThatDiesTakesItsPodDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s, suite := f.boot(t)
		defer s.Close()
		p := suite.RunPodOnly(t)
		id := p.Run("c", podruntimetest.ScriptForever)
		f.driver.KillPause(p.ID)
		synctest.Wait()
		if st := p.Status(id); st.State != runtimeapi.ContainerState_CONTAINER_EXITED {
			t.Errorf("the container is %v", st.State)
		}
		sb, err := p.CRI.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
		if err != nil || sb.Status.State != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("sandbox %v, %v", sb, err)
		}
		if f.network.Attached() > 0 {
			t.Error("its address is still held")
		}
	})
}

// A second stop with a shorter grace period cuts the first one's short.
func TestShorterStopWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s, suite := f.boot(t)
		defer s.Close()
		p := suite.RunPodOnly(t)
		id := p.Run("c", podruntimetest.ScriptIgnoreTerm)
		start := time.Now()
		first := make(chan time.Duration)
		go func() {
			if _, err := p.CRI.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 3600}); err != nil {
				t.Error(err)
			}
			first <- time.Since(start)
		}()
		if _, err := p.CRI.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 2}); err != nil {
			t.Fatal(err)
		}
		if got := <-first; got != 2*time.Second {
			t.Errorf("stopped after %v, want 2s", got)
		}
	})
}
