package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/client/events"
	"sampan/kind"
	"sampan/view"
)

const (
	// kubeletVersion is what the node reports: the API level, and that it is not upstream's kubelet.
	kubeletVersion = "v1.37.0+sampan"
	statusPeriod   = 5 * time.Minute
	leasePeriod    = 10 * time.Second
	leaseDuration  = 40 * time.Second
	leaseRetry     = time.Second
	podsMax        = 110
)

// setHealth notes why the node cannot run pods, nil if it can, and writes it.
func (a *Agent) setHealth(ctx context.Context, why error) {
	a.mu.Lock()
	changed := (a.healthy == nil) != (why == nil)
	a.healthy = why
	a.mu.Unlock()
	if !changed {
		return
	}
	if err := a.writeNode(ctx); err != nil && ctx.Err() == nil {
		a.cfg.Log.Warn("node status not written", "node", a.cfg.Name, "error", err)
	}
}

// keepNode registers the node and keeps its status fresh. It writes at once when somebody deletes the Node.
func (a *Agent) keepNode(ctx context.Context) error {
	for failures := 0; ; failures++ {
		err := a.writeNode(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.cfg.Log.Warn("node not registered, trying again", "node", a.cfg.Name, "error", err)
		sleep(ctx, min(apiRetryFirst<<min(failures, 10), apiRetryMax))
	}
	a.recordNode("Starting", "Starting kubelet.")
	ticker := time.NewTicker(statusPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.nodeWake:
		case <-ticker.C:
		}
		if err := a.writeNode(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("node status not written", "node", a.cfg.Name, "error", err)
		}
	}
}

// writeNode creates the Node object, or updates its labels and its status.
func (a *Agent) writeNode(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	a.nodeWrite.Lock()
	defer a.nodeWrite.Unlock()
	key := view.Key{Kind: kind.Nodes, Name: a.cfg.Name}
	for try := 0; ; try++ {
		obj, err := a.cfg.Client.Get(ctx, key)
		switch {
		case apierrors.IsNotFound(err):
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.cfg.Name}}
			a.setSpec(node)
			if obj, err = a.cfg.Client.Create(ctx, node, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("register node %s: %w", a.cfg.Name, err)
			}
		case err != nil:
			return fmt.Errorf("look at node %s: %w", a.cfg.Name, err)
		default:
			node := obj.DeepCopyObject().(*corev1.Node)
			a.setSpec(node)
			if !equality.Semantic.DeepEqual(node, obj) {
				if obj, err = a.cfg.Client.Update(ctx, node, "", metav1.UpdateOptions{}); err != nil {
					if apierrors.IsConflict(err) && try < statusTriesMax {
						continue
					}
					return fmt.Errorf("update node %s: %w", a.cfg.Name, err)
				}
			}
		}
		node := obj.DeepCopyObject().(*corev1.Node)
		a.setStatus(ctx, node)
		_, err = a.cfg.Client.Update(ctx, node, "status", metav1.UpdateOptions{})
		if (apierrors.IsConflict(err) || apierrors.IsNotFound(err)) && try < statusTriesMax {
			continue
		}
		if err != nil {
			return fmt.Errorf("update status of node %s: %w", a.cfg.Name, err)
		}
		return nil
	}
}

// InstanceAnnotation is where a Node says which installation runs it ([Config.Instance]).
const InstanceAnnotation = "sampan.dev/instance"

func (a *Agent) setSpec(node *corev1.Node) {
	labels := map[string]string{
		corev1.LabelHostname: a.cfg.Name, corev1.LabelArchStable: runtime.GOARCH, corev1.LabelOSStable: runtime.GOOS,
		"beta.kubernetes.io/arch": runtime.GOARCH, "beta.kubernetes.io/os": runtime.GOOS,
	}
	maps.Copy(labels, a.cfg.Labels)
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	maps.Copy(node.Labels, labels)
	if a.cfg.Instance != "" && node.Annotations[InstanceAnnotation] != a.cfg.Instance {
		if node.Annotations == nil {
			node.Annotations = map[string]string{}
		}
		node.Annotations[InstanceAnnotation] = a.cfg.Instance
	}
	if a.cfg.PodCIDR.IsValid() && node.Spec.PodCIDR == "" {
		node.Spec.PodCIDR = a.cfg.PodCIDR.String()
		node.Spec.PodCIDRs = []string{node.Spec.PodCIDR}
	}
}

func (a *Agent) setStatus(ctx context.Context, node *corev1.Node) {
	st := &node.Status
	st.Capacity = maps.Clone(a.capacity)
	st.Allocatable = maps.Clone(a.capacity)
	st.Addresses = nil
	for _, ip := range a.hostIPs {
		st.Addresses = append(st.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	st.Addresses = append(st.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: a.cfg.Name})
	st.DaemonEndpoints = corev1.NodeDaemonEndpoints{}
	st.NodeInfo = a.nodeInfo()
	now := metav1.NewTime(a.cfg.Now().Truncate(time.Second))
	for _, c := range a.nodeConditions(ctx) {
		setCondition(st, c, now)
	}
}

func setCondition(st *corev1.NodeStatus, c corev1.NodeCondition, now metav1.Time) {
	c.LastHeartbeatTime, c.LastTransitionTime = now, now
	for i := range st.Conditions {
		if old := &st.Conditions[i]; old.Type == c.Type {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			*old = c
			return
		}
	}
	st.Conditions = append(st.Conditions, c)
}

func (a *Agent) nodeConditions(ctx context.Context) []corev1.NodeCondition {
	condition := func(t corev1.NodeConditionType, bad bool, badReason, badMessage, reason, message string) corev1.NodeCondition {
		if bad {
			return corev1.NodeCondition{Type: t, Status: corev1.ConditionTrue, Reason: badReason, Message: badMessage}
		}
		return corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
	}
	short := a.cfg.Shortage()
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
	}
	if why := a.unready(ctx); why != nil {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "KubeletNotReady", why.Error()
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeMemoryPressure, short.Memory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
			"KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		condition(corev1.NodeDiskPressure, short.Disk, "KubeletHasDiskPressure", "kubelet has disk pressure",
			"KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition(corev1.NodePIDPressure, short.PIDs, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
			"KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		ready,
	}
}

// unready says why the node cannot run pods, or nil.
func (a *Agent) unready(ctx context.Context) error {
	a.mu.Lock()
	why := a.healthy
	a.mu.Unlock()
	if why != nil {
		return why
	}
	resp, err := a.cfg.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return fmt.Errorf("container runtime is down: %s", text(err))
	}
	for _, c := range resp.GetStatus().GetConditions() {
		switch {
		case c.Status:
		case c.Type == runtimeapi.RuntimeReady:
			return fmt.Errorf("container runtime not ready: %s=%v reason:%s message:%s", c.Type, c.Status, c.Reason, c.Message)
		case c.Type == runtimeapi.NetworkReady:
			return fmt.Errorf("container runtime network not ready: %s=%v reason:%s message:%s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return nil
}

func (a *Agent) nodeInfo() corev1.NodeSystemInfo {
	var uts unix.Utsname
	_ = unix.Uname(&uts) // cannot fail on Linux with a valid address
	return corev1.NodeSystemInfo{
		MachineID:               line("/etc/machine-id"),
		SystemUUID:              line("/sys/class/dmi/id/product_uuid"),
		BootID:                  line("/proc/sys/kernel/random/boot_id"),
		KernelVersion:           unix.ByteSliceToString(uts.Release[:]),
		OSImage:                 osImage(),
		ContainerRuntimeVersion: a.version,
		KubeletVersion:          kubeletVersion,
		OperatingSystem:         runtime.GOOS,
		Architecture:            runtime.GOARCH,
	}
}

// line returns a file's content without the line end, "" if it cannot be read.
func line(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func osImage() string {
	for l := range strings.Lines(line("/etc/os-release")) {
		if v, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return "Linux"
}

func (a *Agent) recordNode(reason, message string) {
	if a.cfg.Events == nil {
		return
	}
	a.cfg.Events.Record(events.Event{
		About: view.Key{Kind: kind.Nodes, Name: a.cfg.Name}, UID: types.UID(a.cfg.Name), Component: "kubelet", Host: a.cfg.Name,
		Reason: reason, Message: message,
	})
}

// keepLease renews the node's lease, which tells the control plane that the node lives.
func (a *Agent) keepLease(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := leasePeriod
		if err := a.renewLease(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("node lease not renewed, trying again", "node", a.cfg.Name, "error", err)
			pause = leaseRetry
		}
		sleep(ctx, pause)
	}
	return ctx.Err()
}

func (a *Agent) renewLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leasePeriod)
	defer cancel()
	key := view.Key{Kind: kind.Leases, Namespace: corev1.NamespaceNodeLease, Name: a.cfg.Name}
	now := metav1.NewMicroTime(a.cfg.Now())
	seconds := int32(leaseDuration / time.Second)
	fill := func(l *coordinationv1.Lease) {
		l.Spec.HolderIdentity = &a.cfg.Name
		l.Spec.LeaseDurationSeconds = &seconds
		l.Spec.RenewTime = &now
		if node, ok := view.Get[*corev1.Node](a.cfg.Client.Snapshot(), kind.Nodes, "", a.cfg.Name); ok && len(l.OwnerReferences) == 0 {
			l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
		}
	}
	for try := 0; ; try++ {
		obj, err := a.cfg.Client.Get(ctx, key)
		if apierrors.IsNotFound(err) {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
			fill(lease)
			_, err = a.cfg.Client.Create(ctx, lease, metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		lease := obj.DeepCopyObject().(*coordinationv1.Lease)
		fill(lease)
		_, err = a.cfg.Client.Update(ctx, lease, "", metav1.UpdateOptions{})
		if apierrors.IsConflict(err) && try < statusTriesMax {
			continue
		}
		return err
	}
}
