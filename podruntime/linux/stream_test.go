package linux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime/podruntimetest"
)

// What the API server does for kubectl exec; CRI streams speak SPDY.
func TestExecOverTheStreamingServer(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPod(t)
	id := p.Run("c", podruntimetest.ScriptForever)
	stream := func(req *runtimeapi.ExecRequest, options remotecommand.StreamOptions) error {
		t.Helper()
		answer, err := p.CRI.Exec(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(answer.Url)
		if err != nil {
			t.Fatal(err)
		}
		executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
		if err != nil {
			t.Fatal(err)
		}
		return executor.StreamWithContext(t.Context(), options)
	}
	var stdout, stderr bytes.Buffer
	err := stream(&runtimeapi.ExecRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true, Cmd: []string{"/bin/sh", "-c", "cat; echo err >&2; exit 3"}},
		remotecommand.StreamOptions{Stdin: strings.NewReader("in and out"), Stdout: &stdout, Stderr: &stderr})
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("error %v, want exit code 3", err)
	}
	if stdout.String() != "in and out" || stderr.String() != "err\n" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
	var terminal bytes.Buffer
	r, w := io.Pipe()
	go w.Write([]byte("hello\n"))
	err = stream(&runtimeapi.ExecRequest{ContainerId: id, Tty: true, Stdin: true, Stdout: true, Cmd: []string{"/bin/sh", "-c", "read x; echo got $x"}},
		remotecommand.StreamOptions{Stdin: r, Stdout: &terminal, Tty: true})
	w.Close()
	if err != nil || !strings.Contains(terminal.String(), "got hello") {
		t.Errorf("terminal output %q, %v", &terminal, err)
	}
}

func TestServeAnswersOverASocket(t *testing.T) {
	m := newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	socket := filepath.Join(t.TempDir(), "cri.sock")
	served := make(chan error, 1)
	go func() { served <- m.server.Serve(ctx, socket, nil) }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cri := runtimeapi.NewRuntimeServiceClient(conn)
	v, err := cri.Version(t.Context(), &runtimeapi.VersionRequest{})
	if err != nil || v.RuntimeName != "sampan" || v.RuntimeApiVersion != "v1" {
		t.Errorf("version %v, %v", v, err)
	}
	podruntimetest.Suite{CRI: cri, Image: "busybox", Logs: m.logs}.Test(t)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
