package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/node/podstate"
)

// probeBodyMax is how much of an HTTP probe's answer is read, for the message of a failure.
const probeBodyMax = 10 << 10

// errExit is what a command's exit code other than 0 becomes; its text is the command's output, which may be "".
type errExit struct {
	code   int32
	output string
}

func (e errExit) Error() string { return e.output }

func (w *worker) postStart(ctx context.Context, pod *corev1.Pod, e podstate.RunPostStart) podstate.Event {
	c := containerOf(pod, e.Container)
	done := podstate.HookDone{Container: e.Container, ID: e.ID}
	if err := w.runHook(ctx, pod, c, e.ID, c.Lifecycle.PostStart); err != nil {
		done.Err = err.Error()
	}
	return done
}

// runHook runs a lifecycle hook to its end or ctx's.
func (w *worker) runHook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		err := w.exec(ctx, id, h.Exec.Command)
		var exit errExit
		if errors.As(err, &exit) { // its own text may be empty
			return fmt.Errorf("command '%s' exited with %d: %s", strings.Join(h.Exec.Command, " "), exit.code, exit.output)
		}
		return err
	case h.HTTPGet != nil:
		// Unlike a probe, a hook is content with an answer of any status below 400 only; redirects do not count.
		return w.httpGet(ctx, pod, c, h.HTTPGet, "kube-lifecycle/1.37")
	case h.TCPSocket != nil:
		return w.tcpDial(ctx, pod, c, h.TCPSocket)
	case h.Sleep != nil:
		sleep(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	return errors.New("invalid handler")
}

// runProbe runs a probe once. A nil error is success.
func (w *worker) runProbe(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case p.Exec != nil:
		err := w.exec(ctx, id, p.Exec.Command)
		if ctx.Err() != nil {
			return fmt.Errorf("command timed out: %q timed out after %ds", strings.Join(p.Exec.Command, " "), max(p.TimeoutSeconds, 1))
		}
		return err
	case p.HTTPGet != nil:
		return w.httpGet(ctx, pod, c, p.HTTPGet, "kube-probe/1.37")
	case p.TCPSocket != nil:
		return w.tcpDial(ctx, pod, c, p.TCPSocket)
	case p.GRPC != nil:
		return w.grpcCheck(ctx, p.GRPC)
	}
	return errors.New("missing probe handler")
}

func (w *worker) exec(ctx context.Context, id string, command []string) error {
	timeout := int64(0)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(int64(time.Until(deadline).Round(time.Second)/time.Second), 1)
	}
	resp, err := w.a.cfg.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: timeout})
	if err != nil {
		return errors.New(text(err))
	}
	if resp.ExitCode != 0 {
		return errExit{resp.ExitCode, string(resp.Stdout) + string(resp.Stderr)}
	}
	return nil
}

func (w *worker) httpGet(ctx context.Context, pod *corev1.Pod, c *corev1.Container, h *corev1.HTTPGetAction, agent string) error {
	port, err := portNumber(h.Port, c)
	if err != nil {
		return err
	}
	host := h.Host
	if host == "" {
		host = w.podIP()
	}
	scheme := strings.ToLower(string(h.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	u, err := url.Parse(h.Path)
	if err != nil {
		u = &url.URL{Path: h.Path}
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(host, strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	for _, kv := range h.HTTPHeaders {
		if http.CanonicalHeaderKey(kv.Name) == "Host" {
			req.Host = kv.Value
			continue
		}
		req.Header.Add(kv.Name, kv.Value)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", agent)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "*/*")
	}
	transport := &http.Transport{
		DisableKeepAlives: true,                                  // the probe must see a server that takes no new connections
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // probes do not verify, as documented
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Hostname() != via[0].URL.Hostname() {
			return http.ErrUseLastResponse
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, probeBodyMax))
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	}
	return nil
}

func (w *worker) tcpDial(ctx context.Context, pod *corev1.Pod, c *corev1.Container, t *corev1.TCPSocketAction) error {
	port, err := portNumber(t.Port, c)
	if err != nil {
		return err
	}
	host := t.Host
	if host == "" {
		host = w.podIP()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (w *worker) grpcCheck(ctx context.Context, g *corev1.GRPCAction) error {
	addr := net.JoinHostPort(w.podIP(), strconv.Itoa(int(g.Port)))
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("kube-probe/1.37"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing depends on it
	service := ""
	if g.Service != nil {
		service = *g.Service
	}
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return errors.New("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)")
	case status.Code(err) == codes.DeadlineExceeded:
		return fmt.Errorf("timeout: health rpc did not complete within %v", addr)
	case err != nil:
		return fmt.Errorf("error: health rpc probe failed: %w", err)
	case resp.Status != grpc_health_v1.HealthCheckResponse_SERVING:
		return fmt.Errorf("service unhealthy (responded with %q)", resp.Status)
	}
	return nil
}

func (w *worker) podIP() string {
	if ips := w.current().PodIPs(); len(ips) > 0 {
		return ips[0]
	}
	return ""
}

func portNumber(p intstr.IntOrString, c *corev1.Container) (int, error) {
	port := p.IntValue()
	if p.Type == intstr.String {
		for _, cp := range c.Ports {
			if cp.Name == p.StrVal {
				port = int(cp.ContainerPort)
			}
		}
	}
	if port < 1 || port > 65535 {
		return 0, fmt.Errorf("invalid port number: %v", p.String())
	}
	return port, nil
}
