package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/websocket"
	"k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/apimachinery/pkg/util/proxy"
	criportforward "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// The runtime's streaming server (CRI's) speaks SPDY, and WebSocket without half-close. kubectl prefers WebSocket:
// with half-close for exec and attach ("v5.channel.k8s.io"), and as a tunnel for SPDY for port-forward
// ("SPDY/3.1+portforward.k8s.io"). Those two are translated here, where the API server of upstream does it, so that
// the API server need not know what a runtime speaks.

// streamIdle ends a WebSocket on which nothing was sent for so long, as CRI's streaming server does.
const streamIdle = 4 * time.Hour

// streams says which streams an exec or attach has.
type streams struct{ stdin, stdout, stderr, tty bool }

// serveStream connects a client with an exec or attach of the runtime's streaming server at target.
func serveStream(w http.ResponseWriter, r *http.Request, target string, s streams) {
	if !wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		passThrough(w, r, target)
		return
	}
	if err := translate(w, r, target, s); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// forwardedPorts returns the ports that a port-forward names in its query: SPDY names one with each stream instead,
// directly or in a tunnel.
func forwardedPorts(r *http.Request) ([]int32, error) {
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		return nil, nil
	}
	asked, err := criportforward.NewV4Options(r)
	if err != nil {
		return nil, err
	}
	return asked.Ports, nil
}

// servePorts connects a client with a port-forward of the runtime's streaming server at target. What protocols of exec
// a client offers beside that of port-forward does not count: some offer all that they know.
func servePorts(w http.ResponseWriter, r *http.Request, target string) {
	if !wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		passThrough(w, r, target)
		return
	}
	if err := tunnel(w, r, target); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// passThrough hands a client to the runtime's streaming server, where both speak the same: the bytes pass through unread.
func passThrough(w http.ResponseWriter, r *http.Request, target string) {
	location, err := url.Parse(target)
	if err != nil {
		http.Error(w, fmt.Sprintf("the container runtime gave a bad streaming address: %v", err), http.StatusInternalServerError)
		return
	}
	proxy.NewUpgradeAwareHandler(location, nil, false, true, streamError{}).ServeHTTP(w, r)
}

// streamError answers a request whose connection to the runtime failed.
type streamError struct{}

// Error implements proxy.ErrorResponder.
func (streamError) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// runtimeRequest is a request for a stream of the runtime.
func runtimeRequest(ctx context.Context, target, protocol string) (*http.Request, *spdy.SpdyRoundTripper, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	dialer, err := spdy.NewRoundTripper(nil)
	return req, dialer, err
}

// translate connects a WebSocket with half-close to an exec or attach of the runtime over SPDY. An error is still
// to be answered.
func translate(w http.ResponseWriter, r *http.Request, target string, s streams) error {
	req, dialer, err := runtimeRequest(r.Context(), target, remotecommand.StreamProtocolV4Name)
	if err != nil {
		return err
	}
	resp, err := dialer.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("connect to the container runtime: %w", err)
	}
	runtime, err := dialer.NewConnection(resp)
	if err != nil {
		return fmt.Errorf("container runtime: %w", err)
	}
	defer runtime.Close()
	direction := func(wanted bool, d wsstream.ChannelType) wsstream.ChannelType {
		if wanted {
			return d
		}
		return wsstream.IgnoreChannel
	}
	client := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name: {Binary: true, Channels: []wsstream.ChannelType{
			remotecommand.StreamStdIn:  direction(s.stdin, wsstream.ReadChannel),
			remotecommand.StreamStdOut: direction(s.stdout, wsstream.WriteChannel),
			remotecommand.StreamStdErr: direction(s.stderr, wsstream.WriteChannel),
			remotecommand.StreamErr:    wsstream.WriteChannel,
			remotecommand.StreamResize: wsstream.ReadChannel,
		}},
	})
	client.SetIdleTimeout(streamIdle)
	// The library logs the end of every connection as an error.
	quiet := r.WithContext(klog.NewContext(r.Context(), klog.Logger{}))
	_, channels, err := client.Open(w, quiet)
	if err != nil {
		return nil // the handshake has answered
	}
	defer client.Close()
	join(runtime, channels, s)
	return nil
}

// join copies between the streams of the runtime and the channels of the client until the runtime has said how it
// ended, or one of the two is gone.
func join(runtime httpstream.Connection, channels []io.ReadWriteCloser, s streams) {
	open := func(kind string) httpstream.Stream {
		stream, err := runtime.CreateStream(http.Header{remotecommand.StreamType: {kind}})
		if err != nil {
			return nil // the runtime is gone, which the other streams show too
		}
		return stream
	}
	failure := open(remotecommand.StreamTypeError)
	if failure == nil {
		return
	}
	var output sync.WaitGroup
	out := func(wanted bool, kind string, channel int) {
		if !wanted {
			return
		}
		if from := open(kind); from != nil {
			output.Go(func() { _, _ = io.Copy(channels[channel], from) })
		}
	}
	if s.stdin {
		if to := open(remotecommand.StreamTypeStdin); to != nil {
			go func() {
				_, _ = io.Copy(to, channels[remotecommand.StreamStdIn])
				_ = to.Close() // end of input: the process goes on
			}()
		}
	}
	out(s.stdout, remotecommand.StreamTypeStdout, remotecommand.StreamStdOut)
	out(s.stderr, remotecommand.StreamTypeStderr, remotecommand.StreamStdErr)
	resize := io.Discard
	if s.tty {
		if to := open(remotecommand.StreamTypeResize); to != nil {
			resize = to
		}
	}
	go func() {
		// Clients never close this channel by itself: its end is the end of the client.
		_, _ = io.Copy(resize, channels[remotecommand.StreamResize])
		runtime.Close()
	}()
	// An empty message tells the client that it is connected.
	for channel, wanted := range map[int]bool{remotecommand.StreamStdOut: s.stdout, remotecommand.StreamStdErr: s.stderr} {
		if wanted {
			_, _ = channels[channel].Write(nil)
		}
	}
	status, _ := io.ReadAll(failure)
	output.Wait()
	if len(status) > 0 {
		_, _ = channels[remotecommand.StreamErr].Write(status)
	}
}

// tunnel connects a WebSocket that carries SPDY to a port-forward of the runtime. An error is still to be answered.
func tunnel(w http.ResponseWriter, r *http.Request, target string) error {
	req, dialer, err := runtimeRequest(r.Context(), target, portforward.PortForwardV1Name)
	if err != nil {
		return err
	}
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	conn, err := dialer.Dial(req) // sends the request too
	if err != nil {
		return fmt.Errorf("connect to the container runtime: %w", err)
	}
	defer conn.Close()
	from := bufio.NewReader(conn)
	resp, err := http.ReadResponse(from, req)
	if err != nil {
		return fmt.Errorf("container runtime: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("container runtime: %s: %s", resp.Status, text)
	}
	websocket.Server{
		Handshake: func(config *websocket.Config, _ *http.Request) error {
			config.Protocol = []string{portforward.WebsocketsSPDYTunnelingPortForwardV1}
			return nil
		},
		Handler: func(client *websocket.Conn) {
			client.PayloadType = websocket.BinaryFrame
			var both sync.WaitGroup
			pass := func(to io.Writer, from io.Reader) {
				both.Go(func() {
					_, _ = io.Copy(to, from)
					conn.Close()
					client.Close()
				})
			}
			pass(conn, client)
			pass(client, from)
			both.Wait()
		},
	}.ServeHTTP(w, r)
	return nil
}
