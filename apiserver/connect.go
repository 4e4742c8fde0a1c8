package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/streaming/pkg/httpstream"

	"sampan/kind"
	"sampan/view"
)

// connects reports whether a subresource connects the client with something behind the API server, for as long as both want.
func connects(id kind.ID, subresource string) bool {
	switch subresource {
	case "log", "exec", "attach", "portforward":
		return id == kind.Pods
	case proxySubresource:
		return id == kind.Pods || id == kind.Services || id == kind.Nodes
	}
	return false
}

// proxySubresource is the subresource that hands every request on.
const proxySubresource = "proxy"

// connect hands a request on: one about a running pod to the agent of its node, in the words of the kubelet's own API.
func (x *exchange) connect() error {
	if x.route.subresource == proxySubresource {
		return x.proxy()
	}
	method := x.r.Method
	if method != http.MethodGet && (method != http.MethodPost || x.route.subresource == "log") {
		return x.errMethod()
	}
	if method == http.MethodGet && x.route.subresource != "log" {
		// A WebSocket begins with a GET, but who may only look must not get into a pod by it.
		if err := x.authorizeVerb("create"); err != nil {
			return err
		}
	}
	obj, err := x.server.get(x.req.key)
	if err != nil {
		return err
	}
	pod := obj.(*corev1.Pod)
	path, query, err := nodeRequest(x.route.subresource, pod, x.query)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		if x.route.subresource == "log" {
			x.w.WriteHeader(http.StatusNoContent) // nothing has been printed yet
			return nil
		}
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	handler, err := x.server.nodeHandler(x.r.Context(), pod.Spec.NodeName)
	if err != nil {
		return err
	}
	r := x.toNode(path, query.Encode())
	if x.route.subresource != "log" {
		if !httpstream.IsUpgradeRequest(r) {
			return apierrors.NewBadRequest("Upgrade request required")
		}
		handler.ServeHTTP(x.w, r)
		return nil
	}
	answer := &nodeAnswer{ResponseWriter: x.w}
	handler.ServeHTTP(answer, r)
	return answer.err(x.req)
}

// nodeHandler returns the handler of a node's agent, or the error for the client.
func (s *Server) nodeHandler(ctx context.Context, node string) (http.Handler, error) {
	if _, err := s.get(view.Key{Kind: kind.Nodes, Name: node}); err != nil {
		return nil, err
	}
	if s.cfg.Nodes == nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %s cannot be reached: this API server has no connection to nodes", node))
	}
	handler, err := s.cfg.Nodes.NodeHandler(ctx, node)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %s cannot be reached: %v", node, err))
	}
	return handler, nil
}

// toNode returns the request as it is sent to a node's agent.
func (x *exchange) toNode(path, query string) *http.Request {
	r := x.r.Clone(x.r.Context())
	r.URL = &url.URL{Path: path, RawQuery: query}
	r.RequestURI = r.URL.RequestURI()
	return r
}

// nodeAnswer passes an answer of a node on, unless it is an error: nodes speak plain text, clients of the API
// expect a Status.
type nodeAnswer struct {
	http.ResponseWriter
	failed int // the code of an error
	text   []byte
}

// nodeTextMax is how much of a node's error is kept, as in upstream.
const nodeTextMax = 2048

func (a *nodeAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *nodeAnswer) WriteHeader(code int) {
	if code >= http.StatusBadRequest {
		a.failed = code
		return
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *nodeAnswer) Write(p []byte) (int, error) {
	if a.failed == 0 {
		return a.ResponseWriter.Write(p)
	}
	a.text = append(a.text, p[:min(len(p), nodeTextMax-len(a.text))]...)
	return len(p), nil
}

// Flush sends what there is of a log that is followed.
func (a *nodeAnswer) Flush() {
	if a.failed == 0 {
		_ = http.NewResponseController(a.ResponseWriter).Flush() // a client that is gone shows in the next Write
	}
}

// err returns the node's error, nil if there was none.
func (a *nodeAnswer) err(r request) error {
	if a.failed == 0 {
		return nil
	}
	a.Header().Del("X-Content-Type-Options")
	switch text := strings.TrimSpace(string(a.text)); a.failed {
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(text)
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(errors.New(text))
	default:
		return apierrors.NewGenericServerResponse(a.failed, "get", r.kind.GroupResource(), r.key.Name, text, 0, false)
	}
}

// nodeRequest translates the path and query of a pod's subresource into those of the kubelet.
func nodeRequest(subresource string, pod *corev1.Pod, query url.Values) (path string, out url.Values, err error) {
	out = url.Values{}
	if subresource == "portforward" {
		// Ports come one by one, or in one list with commas.
		asked := query["ports"]
		var ports []int32
		if err := metav1.Convert_Slice_string_To_Slice_int32(&asked, &ports, nil); err != nil {
			return "", nil, apierrors.NewBadRequest(err.Error())
		}
		for _, port := range ports {
			out.Add("port", strconv.Itoa(int(port)))
		}
		return strings.Join([]string{"/portForward", pod.Namespace, pod.Name}, "/"), out, nil
	}
	container, err := containerOf(pod, query.Get("container"))
	if err != nil {
		return "", nil, err
	}
	switch subresource {
	case "log":
		if out, err = logQuery(pod.Name, query); err != nil {
			return "", nil, err
		}
		return strings.Join([]string{"/containerLogs", pod.Namespace, pod.Name, container}, "/"), out, nil
	case "exec":
		if len(query["command"]) == 0 {
			return "", nil, apierrors.NewBadRequest("you must specify at least 1 command for the container")
		}
		out["command"] = query["command"]
	}
	wanted := false
	for from, to := range map[string]string{"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"} {
		if isSet(query, from) {
			out.Set(to, "1")
			wanted = wanted || from != "tty"
		}
	}
	if !wanted {
		return "", nil, apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	return strings.Join([]string{"/" + subresource, pod.Namespace, pod.Name, container}, "/"), out, nil
}

// containerOf returns the container that is meant: the one that is asked for, or the only one.
func containerOf(pod *corev1.Pod, wanted string) (string, error) {
	var names, inits, ephemeral []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, c.Name)
	}
	if wanted == "" {
		if len(names) == 1 {
			return names[0], nil
		}
		message := fmt.Sprintf("a container name must be specified for pod %s", pod.Name)
		if len(names) > 0 {
			message += fmt.Sprintf(", choose one of: [%s]", strings.Join(names, " "))
		}
		if len(inits) > 0 {
			message += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(inits, " "))
		}
		if len(ephemeral) > 0 {
			message += fmt.Sprintf(" or one of the ephemeral containers: [%s]", strings.Join(ephemeral, " "))
		}
		return "", apierrors.NewBadRequest(message)
	}
	for _, group := range [][]string{names, inits, ephemeral} {
		for _, name := range group {
			if name == wanted {
				return wanted, nil
			}
		}
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", wanted, pod.Name))
}

// logQuery checks the options of a request for a pod's log and keeps those that the kubelet knows.
func logQuery(pod string, query url.Values) (url.Values, error) {
	out := url.Values{}
	for _, name := range []string{"follow", "previous", "timestamps"} {
		if isSet(query, name) {
			out.Set(name, "true")
		}
	}
	var errs field.ErrorList
	for _, o := range []struct {
		name  string
		least int64
		short string
	}{
		{"tailLines", 0, "must be greater than or equal to 0"},
		{"limitBytes", 1, "must be greater than 0"},
		{"sinceSeconds", 1, "must be greater than 0"},
	} {
		text := query.Get(o.name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("%s: Invalid value: %q: must be a number", o.name, text))
		}
		if n < o.least {
			errs = append(errs, field.Invalid(field.NewPath(o.name), n, o.short))
		}
		out.Set(o.name, text)
	}
	if text := query.Get("sinceTime"); text != "" {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("sinceTime: Invalid value: %q: %v", text, err))
		}
		if out.Has("sinceSeconds") {
			errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
		}
		out.Set("sinceTime", text)
	}
	if query.Has("stream") { // of a feature that is off (PodLogsQuerySplitStreams, KEP-3288)
		errs = append(errs, field.Forbidden(field.NewPath("stream"), "may not be specified"))
	}
	return out, invalid(schema.GroupKind{Kind: "PodLogOptions"}, pod, errs)
}
