package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/kind"
	"sampan/node/crilog"
	"sampan/node/podconfig"
	"sampan/view"
)

// Handler serves the node's HTTP paths in the form of a kubelet: /containerLogs/{ns}/{pod}/{container},
// /exec/…, /attach/…, /portForward/{ns}/{pod}, /pods, /healthz. It does no authentication: the API server,
// which calls it in-process, has done that.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("GET /pods", a.servePods)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", a.serveLogs)
	for _, method := range []string{"GET ", "POST "} {
		mux.HandleFunc(method+"/exec/{namespace}/{pod}/{container}", a.serveExec)
		mux.HandleFunc(method+"/attach/{namespace}/{pod}/{container}", a.serveAttach)
		mux.HandleFunc(method+"/portForward/{namespace}/{pod}", a.servePortForward)
	}
	return mux
}

// servePods lists the pods that the node has, as it sees them.
func (a *Agent) servePods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	for pod := range a.cfg.Client.Snapshot().PodsOn(a.cfg.Name) {
		list.Items = append(list.Items, *pod)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // a client that went away is nobody's error
}

// find returns the worker of the pod that a request names, or answers the request.
func (a *Agent) find(w http.ResponseWriter, r *http.Request) *worker {
	namespace, name := r.PathValue("namespace"), r.PathValue("pod")
	pod, ok := view.Get[*corev1.Pod](a.cfg.Client.Snapshot(), kind.Pods, namespace, name)
	if ok {
		if worker := a.worker(pod.UID); worker != nil {
			return worker
		}
	}
	http.Error(w, fmt.Sprintf("pod %q not found on node %s", namespace+"/"+name, a.cfg.Name), http.StatusNotFound)
	return nil
}

// runningID returns the ID of the running container that a request names, or answers the request.
func (a *Agent) runningID(w http.ResponseWriter, r *http.Request) string {
	worker := a.find(w, r)
	if worker == nil {
		return ""
	}
	name := r.PathValue("container")
	c, ok := worker.current().Container(name)
	if !ok || !c.Running {
		http.Error(w, fmt.Sprintf("container not found (%q)", name), http.StatusNotFound)
		return ""
	}
	return c.ID
}

func (a *Agent) serveExec(w http.ResponseWriter, r *http.Request) {
	id := a.runningID(w, r)
	if id == "" {
		return
	}
	q := r.URL.Query()
	tty := flag(q, "tty")
	s := streams{flag(q, "input"), flag(q, "output"), flag(q, "error") && !tty, tty}
	resp, err := a.cfg.Runtime.Exec(r.Context(), &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: q["command"], Tty: tty, Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr,
	})
	if err != nil {
		http.Error(w, text(err), http.StatusInternalServerError)
		return
	}
	serveStream(w, r, resp.Url, s)
}

func (a *Agent) serveAttach(w http.ResponseWriter, r *http.Request) {
	id := a.runningID(w, r)
	if id == "" {
		return
	}
	q := r.URL.Query()
	tty := flag(q, "tty")
	s := streams{flag(q, "input"), flag(q, "output"), flag(q, "error") && !tty, tty}
	resp, err := a.cfg.Runtime.Attach(r.Context(), &runtimeapi.AttachRequest{
		ContainerId: id, Tty: tty, Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr,
	})
	if err != nil {
		http.Error(w, text(err), http.StatusInternalServerError)
		return
	}
	serveStream(w, r, resp.Url, s)
}

func (a *Agent) servePortForward(w http.ResponseWriter, r *http.Request) {
	worker := a.find(w, r)
	if worker == nil {
		return
	}
	id := worker.current().SandboxID()
	if id == "" {
		http.Error(w, "pod is not running", http.StatusBadRequest)
		return
	}
	ports, err := forwardedPorts(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := a.cfg.Runtime.PortForward(r.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: id, Port: ports})
	if err != nil {
		http.Error(w, text(err), http.StatusInternalServerError)
		return
	}
	servePorts(w, r, resp.Url)
}

func flag(q url.Values, name string) bool {
	v := q.Get(name)
	return v == "1" || v == "true"
}

func (a *Agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	worker := a.find(w, r)
	if worker == nil {
		return
	}
	name, q := r.PathValue("container"), r.URL.Query()
	options, err := a.logOptions(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	state := worker.current()
	c, ok := state.Container(name)
	attempt, ended := c.Attempt, !c.Running
	if c.ID == "" && attempt > 0 { // the next instance does not exist yet
		attempt--
	}
	if flag(q, "previous") {
		if attempt == 0 {
			http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", name, state.Pod().Name), http.StatusBadRequest)
			return
		}
		attempt, ended = attempt-1, true
	}
	path := filepath.Join(podconfig.LogDir(a.cfg.PodLogs, state.Pod()), podconfig.LogPath(name, attempt))
	if _, err := os.Stat(path); !ok || err != nil {
		http.Error(w, waitingFor(state.Pod(), name), http.StatusBadRequest)
		return
	}
	options.Follow = options.Follow && !ended
	stdout, stderr := io.Writer(flushWriter{w}), io.Writer(flushWriter{w})
	switch q.Get("stream") {
	case "Stdout":
		stderr = nil
	case "Stderr":
		stdout = nil
	}
	w.Header().Set("Content-Type", "text/plain")
	if options.Follow {
		w.WriteHeader(http.StatusOK)
		flushWriter{w}.flush()
	}
	var done <-chan struct{}
	if options.Follow {
		done = worker.ended(name, c.ID)
	}
	if err := crilog.Read(r.Context(), path, options, stdout, stderr, done); err != nil && r.Context().Err() == nil {
		_, _ = fmt.Fprintf(w, "%v", err) // the header is out; the text is all that is left to say it with
	}
}

func waitingFor(pod *corev1.Pod, name string) string {
	reason := "ContainerCreating"
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if wait := list[i].State.Waiting; list[i].Name == name && wait != nil {
				reason = wait.Reason
				switch reason {
				case "ErrImagePull":
					reason = "image can't be pulled"
				case "ImagePullBackOff":
					reason = "trying and failing to pull image"
				}
			}
		}
	}
	return fmt.Sprintf("container %q in pod %q is waiting to start: %s", name, pod.Name, reason)
}

func (a *Agent) logOptions(q url.Values) (crilog.Options, error) {
	o := crilog.Options{Follow: flag(q, "follow"), Timestamps: flag(q, "timestamps")}
	number := func(name string) (*int64, error) {
		s := q.Get(name)
		if s == "" {
			return nil, nil
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("invalid %s %q", name, s)
		}
		return &n, nil
	}
	var errs [3]error
	var since *int64
	o.TailLines, errs[0] = number("tailLines")
	o.LimitBytes, errs[1] = number("limitBytes")
	since, errs[2] = number("sinceSeconds")
	if err := errors.Join(errs[:]...); err != nil {
		return o, err
	}
	if since != nil {
		o.Since = a.cfg.Now().Add(-time.Duration(*since) * time.Second)
	}
	if s := q.Get("sinceTime"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return o, fmt.Errorf("invalid sinceTime %q", s)
		}
		o.Since = t
	}
	return o, nil
}

// flushWriter sends every piece at once, since a reader that follows a log waits for it.
type flushWriter struct{ w http.ResponseWriter }

// Write implements io.Writer.
func (f flushWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.flush()
	return n, err
}

func (f flushWriter) flush() {
	if fl, ok := f.w.(http.Flusher); ok {
		fl.Flush()
	}
}

// ended returns a channel that is closed when an instance runs no more.
func (w *worker) ended(container, id string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := make(chan struct{})
	if c, _ := w.state.Container(container); c.ID != id || !c.Running {
		close(done)
		return done
	}
	w.followers = append(w.followers, follower{container, id, done})
	return done
}

// follower waits for the end of an instance.
type follower struct {
	container, id string
	done          chan struct{}
}

// releaseFollowers closes the channels of instances that have ended. The caller holds mu.
func (w *worker) releaseFollowers() {
	keep := w.followers[:0]
	for _, f := range w.followers {
		if c, _ := w.state.Container(f.container); c.ID != f.id || !c.Running {
			close(f.done)
			continue
		}
		keep = append(keep, f)
	}
	w.followers = keep
}
