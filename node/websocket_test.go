package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	clientremote "k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// exit is how a process of the echo runtime ended.
type exit int

func (e exit) Error() string   { return fmt.Sprint("exit status ", int(e)) }
func (e exit) String() string  { return e.Error() }
func (e exit) Exited() bool    { return true }
func (e exit) ExitStatus() int { return int(e) }

// echo is a runtime whose processes say what they read and forward what they are sent.
type echo struct {
	sizes chan remotecommand.TerminalSize
	ended chan error // of attach
}

func (e echo) Exec(_ context.Context, _ string, cmd []string, in io.Reader, out, errs io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	switch cmd[0] {
	case "cat":
		_, err := io.Copy(out, in) // ends with the input only
		return err
	case "both":
		_, _ = io.WriteString(out, "to out")
		_, _ = io.WriteString(errs, "to err")
		return nil
	case "size":
		e.sizes <- <-resize
		return nil
	case "fail":
		return exit(7)
	}
	return errors.New("no such command")
}

func (e echo) Attach(_ context.Context, _ string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	_, _ = io.WriteString(out, "attached\n")
	_, err := io.ReadAll(in)
	e.ended <- err
	return err
}

func (e echo) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	line := make([]byte, 4)
	_, err := io.ReadFull(stream, line)
	if err == nil {
		_, err = fmt.Fprintf(stream, "%s from %d", line, port)
	}
	return err
}

// streamServer serves /exec, /attach and /portForward in front of the runtime's own streaming server.
func streamServer(t *testing.T, e echo) *httptest.Server {
	t.Helper()
	config := streaming.DefaultConfig
	var runtime streaming.Server
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { runtime.ServeHTTP(w, r) }))
	t.Cleanup(behind.Close)
	base, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.BaseURL = base
	if runtime, err = streaming.NewServer(config, e); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s := streams{flag(q, "stdin"), flag(q, "stdout"), flag(q, "stderr"), flag(q, "tty")}
		var target string
		switch r.URL.Path {
		case "/exec":
			resp, err := runtime.GetExec(&runtimeapi.ExecRequest{ContainerId: "c", Cmd: q["command"], Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr, Tty: s.tty})
			if err != nil {
				t.Error(err)
				return
			}
			target = resp.Url
		case "/attach":
			resp, err := runtime.GetAttach(&runtimeapi.AttachRequest{ContainerId: "c", Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr, Tty: s.tty})
			if err != nil {
				t.Error(err)
				return
			}
			target = resp.Url
		case "/portForward":
			ports, err := forwardedPorts(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			resp, err := runtime.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "s", Port: ports})
			if err != nil {
				t.Error(err)
				return
			}
			servePorts(w, r, resp.Url)
			return
		default:
			target = behind.URL + "/exec/unknown"
		}
		serveStream(w, r, target, s)
	}))
	t.Cleanup(front.Close)
	return front
}

func webSocket(t *testing.T, server *httptest.Server, path string) clientremote.Executor {
	t.Helper()
	executor, err := clientremote.NewWebSocketExecutor(&rest.Config{Host: server.URL}, http.MethodGet, server.URL+path)
	if err != nil {
		t.Fatal(err)
	}
	return executor
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestExecOverWebSocketEndsItsInput(t *testing.T) {
	server := streamServer(t, echo{})
	long := strings.Repeat("0123456789abcdef", 64<<10) // more than a frame or a window
	var out bytes.Buffer
	err := webSocket(t, server, "/exec?command=cat&stdin=true&stdout=true").StreamWithContext(bounded(t),
		clientremote.StreamOptions{Stdin: strings.NewReader(long), Stdout: &out})
	if err != nil || out.String() != long {
		t.Errorf("%d bytes came back, %v", out.Len(), err)
	}
}

func TestExecOverWebSocketKeepsOutputsApart(t *testing.T) {
	server := streamServer(t, echo{})
	var out, errs bytes.Buffer
	err := webSocket(t, server, "/exec?command=both&stdout=true&stderr=true").StreamWithContext(bounded(t),
		clientremote.StreamOptions{Stdout: &out, Stderr: &errs})
	if err != nil || out.String() != "to out" || errs.String() != "to err" {
		t.Errorf("%q, %q, %v", out.String(), errs.String(), err)
	}
}

func TestExitCodesComeThroughWebSockets(t *testing.T) {
	server := streamServer(t, echo{})
	var out bytes.Buffer
	err := webSocket(t, server, "/exec?command=fail&stdout=true").StreamWithContext(bounded(t), clientremote.StreamOptions{Stdout: &out})
	var code interface{ ExitStatus() int }
	if !errors.As(err, &code) || code.ExitStatus() != 7 {
		t.Errorf("got %v (%T)", err, err)
	}
	err = webSocket(t, server, "/exec?command=none&stdout=true").StreamWithContext(bounded(t), clientremote.StreamOptions{Stdout: &out})
	if err == nil || !strings.Contains(err.Error(), "no such command") {
		t.Errorf("got %v", err)
	}
	err = webSocket(t, server, "/unknown?stdout=true").StreamWithContext(bounded(t), clientremote.StreamOptions{Stdout: &out})
	if err == nil {
		t.Error("a stream that the runtime does not know succeeded")
	}
}

type sizes chan clientremote.TerminalSize

func (s sizes) Next() *clientremote.TerminalSize {
	if size, ok := <-s; ok {
		return &size
	}
	return nil
}

func TestTerminalSizesComeThroughWebSockets(t *testing.T) {
	e := echo{sizes: make(chan remotecommand.TerminalSize, 1)}
	queue := make(sizes, 1)
	queue <- clientremote.TerminalSize{Width: 80, Height: 24}
	defer close(queue)
	var out bytes.Buffer
	err := webSocket(t, streamServer(t, e), "/exec?command=size&stdin=true&stdout=true&tty=true").StreamWithContext(bounded(t),
		clientremote.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true, TerminalSizeQueue: queue})
	if err != nil {
		t.Error(err)
	}
	if size := <-e.sizes; size.Width != 80 || size.Height != 24 {
		t.Errorf("the size is %+v", size)
	}
}

// TestClientThatGoesAwayEndsItsStream ends the client of an attach whose process would read for ever.
func TestClientThatGoesAwayEndsItsStream(t *testing.T) {
	e := echo{ended: make(chan error, 1)}
	server := streamServer(t, e)
	ctx, cancel := context.WithCancel(bounded(t))
	never, _ := io.Pipe()
	reads, writes := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- webSocket(t, server, "/attach?stdin=true&stdout=true").StreamWithContext(ctx, clientremote.StreamOptions{Stdin: never, Stdout: writes})
	}()
	line := make([]byte, len("attached\n"))
	if _, err := io.ReadFull(reads, line); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the client ended with %v", err)
	}
	<-e.ended
}

func TestPortForwardIsTunnelledThroughWebSockets(t *testing.T) {
	server := streamServer(t, echo{})
	target, err := url.Parse(server.URL + "/portForward")
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := portforward.NewSPDYOverWebsocketDialer(target, &rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	conn, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil || protocol != portforward.PortForwardProtocolV1Name {
		t.Fatalf("%q, %v", protocol, err)
	}
	defer conn.Close()
	for i, id := range []string{"0", "1"} {
		header := http.Header{"Port": {fmt.Sprint(8080 + i)}, "Requestid": {id}, "Streamtype": {"error"}}
		failure, err := conn.CreateStream(header)
		if err != nil {
			t.Fatal(err)
		}
		failure.Close()
		header.Set("Streamtype", "data")
		data, err := conn.CreateStream(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(data, "ping"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(data); err != nil || string(got) != fmt.Sprintf("ping from %d", 8080+i) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestPortForwardOverWebSocketChannels: clients in browsers, and those of Python and JavaScript, forward ports over
// channels of their own: two per port, the first message of each is the port. JavaScript's offers the protocols of exec too.
func TestPortForwardOverWebSocketChannels(t *testing.T) {
	server := streamServer(t, echo{})
	dial := func(query string, protocols ...string) (*websocket.Conn, error) {
		config, err := websocket.NewConfig(strings.Replace(server.URL, "http", "ws", 1)+"/portForward?"+query, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		config.Protocol = protocols
		return config.DialContext(t.Context())
	}
	for name, test := range map[string]struct {
		query     string
		protocols []string
	}{
		"Python":     {"port=8080,8081", []string{"v4.channel.k8s.io"}},
		"JavaScript": {"port=8080&port=8081", []string{"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dial(test.query, test.protocols...)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			receive := func(want string) {
				t.Helper()
				var got []byte
				if err := websocket.Message.Receive(conn, &got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v, want %q", got, err, want)
				}
			}
			for channel, port := range []uint16{8080, 8080, 8081, 8081} {
				receive(string(binary.LittleEndian.AppendUint16([]byte{byte(channel)}, port)))
			}
			if err := websocket.Message.Send(conn, []byte("\x02ping")); err != nil {
				t.Fatal(err)
			}
			receive("\x02ping from 8081")
		})
	}
	for _, query := range []string{"", "port=", "port=0", "port=http", "port=70000"} {
		if conn, err := dial(query, "v4.channel.k8s.io"); err == nil {
			conn.Close()
			t.Errorf("a port-forward to %q began", query)
		}
	}
}
