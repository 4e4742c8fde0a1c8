package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/node/podconfig"
)

// mounts returns a container's volume mounts and block devices.
func (w *worker) mounts(pod *corev1.Pod, c *corev1.Container, env []*runtimeapi.KeyValue, f podconfig.Facts) (
	mounts []*runtimeapi.Mount, devices []*runtimeapi.Device, err error,
) {
	volumes := map[string]*corev1.Volume{}
	for i := range pod.Spec.Volumes {
		volumes[pod.Spec.Volumes[i].Name] = &pod.Spec.Volumes[i]
	}
	for n := range c.VolumeMounts {
		vm := &c.VolumeMounts[n]
		v := volumes[vm.Name]
		if v == nil {
			return nil, nil, fmt.Errorf("volumeMount %q: the pod has no such volume", vm.Name)
		}
		at, err := w.a.volumes.Path(pod, v, f.Snapshot)
		if err != nil {
			return nil, nil, fmt.Errorf("volume %q: %w", v.Name, err)
		}
		path := at.HostPath
		if sub := subPath(vm, env); sub != "" {
			if path, err = w.a.volumes.SubPath(pod.UID, v.Name, c.Name, n, at.HostPath, sub); err != nil {
				return nil, nil, err
			}
		}
		mounts = append(mounts, &runtimeapi.Mount{
			ContainerPath: absolute(vm.MountPath), HostPath: path, Readonly: vm.ReadOnly || at.ReadOnly,
			Propagation:       propagation(vm.MountPropagation),
			RecursiveReadOnly: vm.ReadOnly && vm.RecursiveReadOnly != nil && *vm.RecursiveReadOnly == corev1.RecursiveReadOnlyEnabled,
		})
	}
	for _, vd := range c.VolumeDevices {
		v := volumes[vd.Name]
		if v == nil {
			return nil, nil, fmt.Errorf("volumeDevice %q: the pod has no such volume", vd.Name)
		}
		at, err := w.a.volumes.Path(pod, v, f.Snapshot)
		if err != nil {
			return nil, nil, fmt.Errorf("volume %q: %w", v.Name, err)
		}
		permissions := "mrw"
		if at.ReadOnly {
			permissions = "r"
		}
		devices = append(devices, &runtimeapi.Device{ContainerPath: vd.DevicePath, HostPath: at.HostPath, Permissions: permissions})
	}
	return mounts, devices, nil
}

func subPath(vm *corev1.VolumeMount, env []*runtimeapi.KeyValue) string {
	if vm.SubPathExpr == "" {
		return vm.SubPath
	}
	return podconfig.Expand(vm.SubPathExpr, func(name string) (string, bool) {
		for _, kv := range env {
			if kv.Key == name {
				return string(kv.Value), true
			}
		}
		return "", false
	})
}

func absolute(path string) string {
	if path == "" || path[0] != '/' {
		return "/" + path
	}
	return path
}

func propagation(p *corev1.MountPropagationMode) runtimeapi.MountPropagation {
	if p == nil {
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
	}
	switch *p {
	case corev1.MountPropagationHostToContainer:
		return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case corev1.MountPropagationBidirectional:
		return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
	}
	return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
}
