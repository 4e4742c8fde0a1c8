package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/client"
	"sampan/election"
	"sampan/kind"
	"sampan/node"
	"sampan/view"
)

// Servers with the same etcd are one cluster. Each serves the API; what only one may do at a time is done by the one
// that holds a Lease.

// oneAtATime runs a part of the cluster on one of the servers that share a store, for as long as it holds the lease.
// The embedded store has one server, which just runs it.
func oneAtATime(ctx context.Context, s Settings, lease string, c client.Client, m partMetrics, log *slog.Logger, part func(context.Context, client.Client) error) error {
	leading := m.leading.WithLabelValues(lease) // begins with 0
	duty := func(ctx context.Context, c client.Client) error {
		leading.Set(1)
		defer leading.Set(0)
		return part(ctx, c)
	}
	if s.Etcd == nil {
		return duty(ctx, c)
	}
	identity, err := candidateIn(s.DataDir, s.lockFile())
	if err != nil {
		return err
	}
	return election.New(election.Config{
		Client: c, Namespace: metav1.NamespaceSystem, Name: lease, Identity: identity, Now: time.Now, Log: log,
	}).Run(ctx, duty)
}

// candidateIn returns the identity of the server of a data directory, whose lock it holds. It is the same for the next
// server of the directory, so that one that was killed is followed by itself without waiting: the kernel gives the
// lock to one process at a time, and what names the lock is the file, on this machine, since it was started.
func candidateIn(dataDir, lockFile string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name of the machine: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("identity of the machine: %w", err)
	}
	info, err := os.Stat(lockFile)
	if err != nil {
		return "", fmt.Errorf("lock of the data directory: %w", err)
	}
	file := info.Sys().(*syscall.Stat_t)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", boot, file.Dev, file.Ino))
	return host + "_" + InstanceOf(dataDir) + "-" + hex.EncodeToString(sum[:8]), nil
}

// fits returns an error if this server cannot be one of those that share its store.
func fits(s Settings, snap *view.Snapshot, now time.Time) error {
	if s.Etcd == nil {
		return nil
	}
	if err := sameCluster(s, snap); err != nil || !s.Node {
		return err
	}
	return ownNode(s, snap, now)
}

// sameCluster returns an error if this server would be of another cluster.
func sameCluster(s Settings, snap *view.Snapshot) error {
	svc, ok := view.Get[*corev1.Service](snap, kind.Services, metav1.NamespaceDefault, "kubernetes")
	if !ok || svc.Spec.ClusterIP == apiserver.APIAddress(s.ServiceCIDR).String() {
		return nil
	}
	return fmt.Errorf("the cluster in this etcd has its API at the Service address %s, but with --service-cidr %s it would be %s: all servers of a cluster need the same range",
		svc.Spec.ClusterIP, s.ServiceCIDR, apiserver.APIAddress(s.ServiceCIDR))
}

// ownNode returns an error if this machine cannot become the node of its name beside those that the cluster has.
func ownNode(s Settings, snap *view.Snapshot, now time.Time) error {
	for other := range view.All[*corev1.Node](snap, kind.Nodes, "") {
		if other.Name == s.NodeName {
			if instance := other.Annotations[node.InstanceAnnotation]; instance != "" && instance != s.Instance && alive(snap, other.Name, now) {
				return fmt.Errorf("node %q is run by another server of this cluster: choose a name with --node-name, or run no node here with --node=false", s.NodeName)
			}
			continue
		}
		pods, err := netip.ParsePrefix(other.Spec.PodCIDR)
		if err == nil && pods.Overlaps(s.PodCIDR) {
			return fmt.Errorf("node %q of this cluster gives its pods addresses of %s, which overlaps %s: choose another range with --pod-cidr, or delete the node if it is gone for good",
				other.Name, pods, s.PodCIDR)
		}
	}
	return nil
}

// alive reports whether a node's agent has lately renewed its lease.
func alive(snap *view.Snapshot, name string, now time.Time) bool {
	lease, ok := view.Get[*coordinationv1.Lease](snap, kind.Leases, corev1.NamespaceNodeLease, name)
	if !ok || lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(lease.Spec.RenewTime.Add(time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second))
}
