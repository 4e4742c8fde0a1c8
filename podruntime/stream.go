package podruntime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// execSyncBytesMax bounds what ExecSync keeps of each stream, as containerd and CRI-O do.
const execSyncBytesMax = 16 << 20

// ExecSync runs a command in a container and returns its output.
func (s *Server) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	_, ref, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if len(req.Cmd) == 0 {
		return nil, status.Error(codes.InvalidArgument, "command is empty")
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.Timeout)*time.Second)
		defer cancel()
	}
	var stdout, stderr limited
	code, err := s.driver.Exec(ctx, ref, ExecSpec{Args: req.Cmd, Streams: Streams{Stdout: &stdout, Stderr: &stderr}})
	if ctx.Err() == context.DeadlineExceeded {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out after %ds", req.Cmd, req.Timeout)
	}
	if err != nil {
		return nil, wrap(err, "exec in container %s", ref.ID)
	}
	return &runtimeapi.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: int32(code)}, nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := execSyncBytesMax - l.Len(); room < len(p) {
		l.Buffer.Write(p[:room])
	} else {
		l.Buffer.Write(p)
	}
	return len(p), nil
}

// Exec returns the URL of a stream that runs a command.
func (s *Server) Exec(_ context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	c, _, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	streams, err := s.streams()
	if err != nil {
		return nil, err
	}
	return streams.GetExec(&runtimeapi.ExecRequest{ContainerId: c.id, Cmd: req.Cmd, Tty: req.Tty, Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr})
}

// Attach returns the URL of a stream to a container's first process.
func (s *Server) Attach(_ context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	c, ref, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	streams, err := s.streams()
	if err != nil {
		return nil, err
	}
	// Whether there is a terminal was decided when the container was made.
	return streams.GetAttach(&runtimeapi.AttachRequest{ContainerId: c.id, Tty: ref.TTY, Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr && !ref.TTY})
}

// PortForward returns the URL of a stream to ports of a pod.
func (s *Server) PortForward(_ context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	sb, err := s.findSandbox(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	state := sb.rec.State
	s.mu.Unlock()
	if state != sandboxReady {
		return nil, status.Errorf(codes.FailedPrecondition, "sandbox %s is not running", sb.id)
	}
	streams, err := s.streams()
	if err != nil {
		return nil, err
	}
	return streams.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: sb.id, Port: req.Port})
}

// streams starts the streaming server at its first use. It listens on loopback only, and each URL holds a
// token that is good for one use.
func (s *Server) streams() (streaming.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.stream != nil {
		return s.stream, nil
	}
	addr := s.cfg.StreamAddr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "listen for streams: %v", err)
	}
	cfg := streaming.DefaultConfig
	cfg.Addr = listener.Addr().String()
	cfg.BaseURL = &url.URL{Scheme: "http", Host: cfg.Addr, Path: "/"}
	server, err := streaming.NewServer(cfg, streamRuntime{s})
	if err != nil {
		listener.Close()
		return nil, status.Errorf(codes.Internal, "streaming server: %v", err)
	}
	s.stream = &streamServer{Server: server, http: newHTTP(server)}
	go s.stream.(*streamServer).serve(listener, s.log)
	return s.stream, nil
}

// streamRuntime is what the streaming server calls when a client has connected.
type streamRuntime struct{ s *Server }

func (r streamRuntime) Exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errw io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	_, ref, err := r.s.running(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	code, err := r.s.driver.Exec(ctx, ref, ExecSpec{Args: cmd, TTY: tty, Streams: clientStreams(ctx, in, out, errw, resize)})
	if err != nil {
		return err
	}
	if code != 0 {
		return exitError(code)
	}
	return nil
}

func (r streamRuntime) Attach(ctx context.Context, id string, in io.Reader, out, errw io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	_, ref, err := r.s.running(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return r.s.driver.Attach(ctx, ref, clientStreams(ctx, in, out, errw, resize))
}

func (r streamRuntime) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	sb, err := r.s.findSandbox(id)
	if err != nil {
		return err
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("port %d is not a TCP port", port)
	}
	conn, err := r.s.driver.DialPod(ctx, sb.rec.Spec, uint16(port))
	if err != nil {
		return fmt.Errorf("forward port %d to pod %s: %w", port, sb.id, err)
	}
	defer conn.Close()
	return relay(ctx, conn, stream)
}

// relay copies both ways. It ends when the pod has closed its side, or when the client is gone.
func relay(ctx context.Context, pod, client io.ReadWriteCloser) error {
	fromPod := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, pod)
		fromPod <- err
	}()
	fromClient := make(chan error, 1)
	go func() {
		_, err := io.Copy(pod, client)
		if half, ok := pod.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		fromClient <- err
	}()
	select {
	case err := <-fromPod:
		return err
	case err := <-fromClient:
		if err != nil {
			return err
		}
		// The client has said all; the pod may still answer.
		select {
		case err := <-fromPod:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func clientStreams(ctx context.Context, in io.Reader, out, errw io.WriteCloser, resize <-chan remotecommand.TerminalSize) Streams {
	st := Streams{}
	// A nil *T in an interface is not nil, so each is set only if it is there.
	if in != nil {
		st.Stdin = in
	}
	if out != nil {
		st.Stdout = out
	}
	if errw != nil {
		st.Stderr = errw
	}
	if resize != nil {
		sizes := make(chan WindowSize)
		go func() {
			defer close(sizes)
			for {
				select {
				case size, ok := <-resize:
					if !ok {
						return
					}
					select {
					case sizes <- WindowSize{Width: size.Width, Height: size.Height}:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		st.Resize = sizes
	}
	return st
}

// exitError is a command's own failure, which the client must see as its exit code.
type exitError int

func (e exitError) Error() string   { return fmt.Sprintf("command terminated with exit code %d", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }
