package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const pods = "/api/v1/namespaces/default/pods"

// importBusybox makes the image busybox:bench of Debian's static busybox.
func importBusybox(binary, dataDir string) error {
	rootfs, err := os.MkdirTemp("", "sampan-bench-rootfs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(rootfs)
	if err := os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755); err != nil {
		return err
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w: apt-get install busybox-static", err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin/busybox"), busybox, 0o755); err != nil {
		return err
	}
	out, err := exec.Command(binary, "image", "import", "--data-dir", dataDir, rootfs, "--tag", "busybox:bench").CombinedOutput()
	if err != nil {
		return fmt.Errorf("import busybox: %w: %s", err, out)
	}
	return nil
}

func pod(name string) []byte {
	data, _ := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"terminationGracePeriodSeconds": 0,
			"containers": []any{map[string]any{
				"name": "a", "image": "busybox:bench", "command": []string{"/bin/busybox", "sleep", "100000"},
			}},
		},
	})
	return data
}

// podWatch follows the pods and tells when each was first seen Ready, and gone.
type podWatch struct {
	mu    sync.Mutex // guards ready, gone
	ready map[string]time.Time
	gone  map[string]time.Time
	moved *sync.Cond
	body  interface{ Close() error }
}

func watchPods(a *api) (*podWatch, error) {
	req, err := http.NewRequestWithContext(background(), http.MethodGet, a.base+pods+"?watch=true", nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.connection().Do(req)
	if err != nil {
		return nil, err
	}
	w := &podWatch{ready: map[string]time.Time{}, gone: map[string]time.Time{}, body: resp.Body}
	w.moved = sync.NewCond(&w.mu)
	go func() {
		decoder := json.NewDecoder(bufio.NewReaderSize(resp.Body, 1<<20))
		for {
			var event struct {
				Type   string
				Object corev1.Pod
			}
			if decoder.Decode(&event) != nil {
				return
			}
			at := time.Now()
			w.mu.Lock()
			if event.Type == "DELETED" {
				w.gone[event.Object.Name] = at
			}
			for _, c := range event.Object.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && w.ready[event.Object.Name].IsZero() {
					w.ready[event.Object.Name] = at
				}
			}
			w.moved.Broadcast()
			w.mu.Unlock()
		}
	}()
	return w, nil
}

// wait returns when every name has a time in of (w.ready or w.gone): the last of them.
func (w *podWatch) wait(of map[string]time.Time, names ...string) (time.Time, error) {
	late := time.AfterFunc(2*time.Minute, func() { w.body.Close(); w.moved.Broadcast() })
	defer late.Stop()
	deadline := time.Now().Add(2 * time.Minute)
	w.mu.Lock()
	defer w.mu.Unlock()
	var last time.Time
	for _, name := range names {
		for of[name].IsZero() {
			if time.Now().After(deadline) {
				return last, fmt.Errorf("pod %s: nothing happened for two minutes", name)
			}
			w.moved.Wait()
		}
		if of[name].After(last) {
			last = of[name]
		}
	}
	return last, nil
}

func measurePods(binary string) (figures []figure, err error) {
	dir, err := dataDir()
	if err != nil {
		return nil, err
	}
	s, err := start(binary, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.down()) }()
	if err := importBusybox(binary, dir); err != nil {
		return nil, err
	}
	a, err := newAPI(dir)
	if err != nil {
		return nil, err
	}
	w, err := watchPods(a)
	if err != nil {
		return nil, err
	}
	defer w.body.Close()

	var ready, gone []float64
	for i := range 30 {
		name := fmt.Sprint("one-", i)
		began := time.Now()
		if _, err := a.do(a.http, http.MethodPost, pods, "application/json", "", pod(name)); err != nil {
			return nil, err
		}
		at, err := w.wait(w.ready, name)
		if err != nil {
			return nil, err
		}
		ready = append(ready, milliseconds(at.Sub(began)))
		began = time.Now()
		if _, err := a.do(a.http, http.MethodDelete, pods+"/"+name, "application/json", "", deleteNow()); err != nil {
			return nil, err
		}
		if at, err = w.wait(w.gone, name); err != nil {
			return nil, err
		}
		gone = append(gone, milliseconds(at.Sub(began)))
	}

	const many = 100
	var names []string
	began := time.Now()
	for i := range many {
		names = append(names, fmt.Sprint("many-", i))
		if _, err := a.do(a.http, http.MethodPost, pods, "application/json", "", pod(names[i])); err != nil {
			return nil, err
		}
	}
	at, err := w.wait(w.ready, names...)
	if err != nil {
		return nil, err
	}
	figures = []figure{
		{Name: "pod create to Ready, one at a time, p50", Value: percentile(ready, 0.5), Unit: "ms", Budget: 50},
		{Name: "  p90", Value: percentile(ready, 0.9), Unit: "ms"},
		{Name: "pod delete, grace 0, to gone, p50", Value: percentile(gone, 0.5), Unit: "ms", Budget: 30},
		{Name: "100 pods at once, all Ready", Value: at.Sub(began).Seconds(), Unit: "s", Budget: 3},
		{Name: "memory (PSS) per idle pod beside its own process", Value: pausePSS(many), Unit: "MB", Budget: 2},
	}

	if err := s.kill(syscall.SIGKILL); err != nil {
		return nil, err
	}
	if s, err = start(binary, dir); err != nil {
		return nil, err
	}
	list, err := a.do(a.connection(), http.MethodGet, pods, "", "application/json", nil)
	if err != nil {
		return nil, err
	}
	var all corev1.PodList
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, err
	}
	restarts := 0
	for _, p := range all.Items {
		for _, c := range p.Status.ContainerStatuses {
			restarts += int(c.RestartCount)
		}
	}
	return append(figures,
		figure{Name: "server restart with 100 running pods, API back", Value: milliseconds(s.api), Unit: "ms", Budget: 500},
		figure{Name: "  containers restarted", Value: float64(restarts), Unit: ""},
	), nil
}

func deleteNow() []byte {
	zero := int64(0)
	data, _ := json.Marshal(metav1.DeleteOptions{
		TypeMeta:           metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		GracePeriodSeconds: &zero,
	})
	return data
}

// pausePSS returns the proportional set size of the pause processes per pod, in MB.
func pausePSS(pods int) float64 {
	files, _ := filepath.Glob("/proc/[0-9]*/smaps_rollup")
	var total float64
	for _, f := range files {
		exe, err := os.Readlink(filepath.Join(filepath.Dir(f), "exe"))
		if err != nil || !strings.Contains(filepath.Base(exe), "pause") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				total += kb / 1024
			}
		}
	}
	return total / float64(pods)
}
