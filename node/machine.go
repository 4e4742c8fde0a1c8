package node

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The pressure thresholds of Kubernetes' documented defaults: bytes of memory, and parts of the file system.
const (
	memoryReserve = 100 << 20
	diskReserve   = 0.10
)

// Shortage says what a machine has too little of to take more pods.
type Shortage struct{ Memory, Disk, PIDs bool }

// machineShortage reads what is short. root is on the file system that pods write to. What cannot be read is not short.
func machineShortage(root string) Shortage {
	available, err := meminfo("MemAvailable")
	var fs unix.Statfs_t
	return Shortage{
		Memory: err == nil && available < memoryReserve,
		Disk:   unix.Statfs(root, &fs) == nil && float64(fs.Bavail) < diskReserve*float64(fs.Blocks),
		PIDs:   pidsLow(),
	}
}

// pidsLow reports whether fewer than a tenth of the process IDs are free.
func pidsLow() bool {
	var info unix.Sysinfo_t
	data, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil || unix.Sysinfo(&info) != nil {
		return false
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	return err == nil && int(info.Procs) > limit-limit/10
}

// machineCapacity reads what the machine has. root is on the file system that pods write to.
func machineCapacity(root string) (corev1.ResourceList, error) {
	memory, err := meminfo("MemTotal")
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil {
		return nil, fmt.Errorf("size of the file system of %s: %w", root, err)
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(podsMax, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(fs.Blocks)*fs.Bsize, resource.BinarySI),
	}, nil
}

// meminfo returns a line of /proc/meminfo in bytes.
func meminfo(name string) (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read memory size: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read memory size: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read memory size: no %s in /proc/meminfo", name)
}
