package podruntimetest_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// Who hears of the containers' ends first would start them again in a sandbox that ends.
func TestEndOfASandboxIsToldBeforeThoseOfItsContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		s, suite := f.boot(t)
		defer s.Close()
		p := suite.RunPodOnly(t)
		name := map[string]string{p.ID: "sandbox"}
		for _, c := range []string{"a", "b"} {
			name[p.Run(c, podruntimetest.ScriptForever)] = "container"
		}
		stream, err := p.CRI.GetContainerEvents(t.Context(), &runtimeapi.GetEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
		f.driver.KillPause(p.ID)
		var got []string
		for range name {
			ev, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name[ev.ContainerId])
			if ev.ContainerEventType != runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT || ev.PodSandboxStatus.State != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
				t.Errorf("%v of a %s in a sandbox that is %v", ev.ContainerEventType, name[ev.ContainerId], ev.PodSandboxStatus.State)
			}
		}
		if want := []string{"sandbox", "container", "container"}; !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
	})
}

func TestContainerThatStartsWhileItsPauseDiesDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		f.driver = podruntimetest.NewDriver(func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{StartFor: time.Second}
		})
		s, suite := f.boot(t)
		defer s.Close()
		p := suite.RunPodOnly(t)
		id := p.Create("c", podruntimetest.ScriptForever)
		started := make(chan error)
		go func() {
			_, err := p.CRI.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id})
			started <- err
		}()
		synctest.Wait()
		f.driver.KillPause(p.ID)
		if err := <-started; status.Code(err) != codes.FailedPrecondition {
			t.Errorf("it was started: %v", err)
		}
		if st := p.Status(id); st.State != runtimeapi.ContainerState_CONTAINER_EXITED {
			t.Errorf("the container is %v", st.State)
		}
		if running := f.driver.Running(); len(running) > 0 {
			t.Errorf("%v run", running)
		}
		if _, err := p.CRI.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
			t.Error(err)
		}
		if left := f.driver.Left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
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
