package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
)

// Status is what runs of an instance.
type Status struct {
	Running   bool            `json:"running"`
	PID       int             `json:"pid,omitempty"`
	Instance  string          `json:"instance"`
	DataDir   string          `json:"dataDir"`
	Version   string          `json:"version"`
	Server    string          `json:"server,omitempty"`
	RSSBytes  int64           `json:"rssBytes,omitempty"`
	Nodes     []NodeStatus    `json:"nodes,omitempty"`
	PodsReady int             `json:"podsReady"`
	Pods      int             `json:"pods"`
	NotReady  []PodStatus     `json:"notReady,omitempty"`
	Services  []ServiceStatus `json:"services,omitempty"`
}

// NodeStatus is one node.
type NodeStatus struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// PodStatus is a pod that is not as it should be.
type PodStatus struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Why       string `json:"why"`
}

// ServiceStatus is how a Service is reached from outside the cluster.
type ServiceStatus struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

// ReadStatus asks the running server. A server that does not run is a Status too, not an error.
func ReadStatus(ctx context.Context, s Settings) (*Status, error) {
	st := &Status{Instance: s.Instance, DataDir: s.DataDir, Version: Version}
	pid, err := serverPID(s)
	if err != nil || pid == 0 {
		return st, err
	}
	st.Running, st.PID, st.RSSBytes = true, pid, residentBytes(pid)
	api, err := newAPIClient(s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	st.Server = api.base
	var nodes corev1.NodeList
	var pods corev1.PodList
	var services corev1.ServiceList
	for path, into := range map[string]any{"/api/v1/nodes": &nodes, "/api/v1/pods": &pods, "/api/v1/services": &services} {
		if err := api.get(ctx, path, into); err != nil {
			return nil, err
		}
	}
	for i := range nodes.Items {
		st.Nodes = append(st.Nodes, nodeStatus(&nodes.Items[i]))
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		st.Pods++
		if why := notReady(pod); why == "" {
			st.PodsReady++
		} else {
			st.NotReady = append(st.NotReady, PodStatus{Namespace: pod.Namespace, Name: pod.Name, Why: why})
		}
	}
	for i := range services.Items {
		if svc := serviceStatus(&services.Items[i], st.Nodes); len(svc.Addresses) > 0 {
			st.Services = append(st.Services, svc)
		}
	}
	return st, nil
}

func nodeStatus(node *corev1.Node) NodeStatus {
	n := NodeStatus{Name: node.Name}
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			n.Address = cmp.Or(n.Address, a.Address)
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			n.Ready, n.Message = c.Status == corev1.ConditionTrue, c.Message
		}
	}
	if n.Ready {
		n.Message = ""
	}
	return n
}

// notReady returns why a pod is not ready, "" if it is.
func notReady(pod *corev1.Pod) string {
	why := cmp.Or(pod.Status.Reason, string(pod.Status.Phase), "Pending")
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ""
		}
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			why = c.Message
		}
	}
	for _, cs := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := cs.State.Waiting; w != nil && w.Message != "" {
			return fmt.Sprintf("container %s: %s: %s", cs.Name, w.Reason, w.Message)
		}
	}
	return why
}

func serviceStatus(svc *corev1.Service, nodes []NodeStatus) ServiceStatus {
	st := ServiceStatus{Namespace: svc.Namespace, Name: svc.Name}
	for _, p := range svc.Spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		for _, n := range nodes {
			if n.Address != "" {
				st.Addresses = append(st.Addresses, fmt.Sprintf("%s:%d/%s", n.Address, p.NodePort, p.Protocol))
			}
		}
	}
	return st
}

// residentBytes returns the resident memory of a process, 0 if it cannot be read.
func residentBytes(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// WriteJSON writes the status for programs.
func (st *Status) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(st)
}

// WriteText writes the status for people.
func (st *Status) WriteText(out io.Writer) error {
	if !st.Running {
		_, err := fmt.Fprintf(out, "no server runs for %s; start one with: sampan up\n", st.DataDir)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "server\trunning, process %d, %d MB, %s\n", st.PID, st.RSSBytes>>20, st.Server)
	fmt.Fprintf(w, "data\t%s (instance %s)\n", st.DataDir, st.Instance)
	for _, n := range st.Nodes {
		state := "Ready"
		if !n.Ready {
			state = "not ready: " + n.Message
		}
		fmt.Fprintf(w, "node\t%s (%s), %s\n", n.Name, n.Address, state)
	}
	fmt.Fprintf(w, "pods\t%d of %d ready\n", st.PodsReady, st.Pods)
	for _, p := range st.NotReady {
		fmt.Fprintf(w, "\t%s/%s: %s\n", p.Namespace, p.Name, p.Why)
	}
	for _, s := range st.Services {
		fmt.Fprintf(w, "service\t%s/%s\t%s\n", s.Namespace, s.Name, strings.Join(s.Addresses, " "))
	}
	return w.Flush()
}
