package podconfig

import (
	"maps"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	kubelettypes "k8s.io/kubelet/pkg/types"
)

// The annotations that a container carries in the runtime, so that an agent that starts anew knows what it
// was made from.
const (
	AnnotationImage              = "sampan.dev/image"
	AnnotationTerminationPath    = "sampan.dev/termination-message-path" // on the host
	AnnotationTerminationPolicy  = "io.kubernetes.container.terminationMessagePolicy"
	annotationRestartCount       = "io.kubernetes.container.restartCount"
	annotationTerminationMessage = "io.kubernetes.container.terminationMessagePath"
)

// SandboxInput is what a sandbox's configuration needs beside the pod.
type SandboxInput struct {
	Attempt  uint32
	Hostname string
	// LogDir is the pod's directory of logs.
	LogDir string
	DNS    *runtimeapi.DNSConfig
	// SeccompDir is where local seccomp profiles are.
	SeccompDir string
}

// LogDir returns the directory of a pod's logs.
func LogDir(root string, pod *corev1.Pod) string {
	return filepath.Join(root, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// LogPath returns the path of an instance's log within the pod's directory.
func LogPath(container string, attempt uint32) string {
	return filepath.Join(container, strconv.FormatUint(uint64(attempt), 10)+".log")
}

// Sandbox returns the configuration of a pod's sandbox.
func Sandbox(pod *corev1.Pod, in SandboxInput) *runtimeapi.PodSandboxConfig {
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: pod.Name, Uid: string(pod.UID), Namespace: pod.Namespace, Attempt: in.Attempt},
		Hostname:     in.Hostname,
		LogDirectory: in.LogDir,
		DnsConfig:    in.DNS,
		Labels:       sandboxLabels(pod),
		Annotations:  maps.Clone(pod.Annotations),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			SecurityContext: sandboxSecurity(pod, in),
			Resources:       podResources(pod),
			Sysctls:         map[string]string{},
		},
	}
	if pod.Spec.SecurityContext != nil {
		for _, s := range pod.Spec.SecurityContext.Sysctls {
			cfg.Linux.Sysctls[s.Name] = s.Value
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			cfg.PortMappings = append(cfg.PortMappings, portMappings(c)...)
		}
	}
	for i := range pod.Spec.Containers {
		cfg.PortMappings = append(cfg.PortMappings, portMappings(&pod.Spec.Containers[i])...)
	}
	if pod.Spec.HostNetwork {
		cfg.PortMappings = nil
	}
	return cfg
}

func sandboxLabels(pod *corev1.Pod) map[string]string {
	labels := maps.Clone(pod.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[kubelettypes.KubernetesPodNameLabel] = pod.Name
	labels[kubelettypes.KubernetesPodNamespaceLabel] = pod.Namespace
	labels[kubelettypes.KubernetesPodUIDLabel] = string(pod.UID)
	return labels
}

func portMappings(c *corev1.Container) []*runtimeapi.PortMapping {
	var out []*runtimeapi.PortMapping
	for _, p := range c.Ports {
		if p.HostPort == 0 {
			continue
		}
		m := &runtimeapi.PortMapping{ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIp: p.HostIP}
		switch p.Protocol {
		case corev1.ProtocolUDP:
			m.Protocol = runtimeapi.Protocol_UDP
		case corev1.ProtocolSCTP:
			m.Protocol = runtimeapi.Protocol_SCTP
		}
		out = append(out, m)
	}
	return out
}

// ImageUser is the user that an image's configuration names; the zero value is root.
type ImageUser struct {
	UID  *int64
	Name string
}

// ContainerInput is what a container's configuration needs beside the pod.
type ContainerInput struct {
	Attempt  uint32
	ImageRef string // as the image service answered
	// ImageUser is the user that the image's configuration names.
	ImageUser ImageUser
	Env       []*runtimeapi.KeyValue
	Mounts    []*runtimeapi.Mount
	Devices   []*runtimeapi.Device
	// TerminationPath is the file on the host that is mounted at terminationMessagePath.
	TerminationPath string
	MemoryCapacity  int64 // of the node, bytes
	SeccompDir      string
}

// Container returns the configuration of one container.
func Container(pod *corev1.Pod, c *corev1.Container, in ContainerInput) (*runtimeapi.ContainerConfig, error) {
	security, err := containerSecurity(pod, c, in)
	if err != nil {
		return nil, err
	}
	env := make(map[string]string, len(in.Env))
	for _, kv := range in.Env {
		env[kv.Key] = string(kv.Value)
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cfg := &runtimeapi.ContainerConfig{
		Metadata:   &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: in.Attempt},
		Image:      &runtimeapi.ImageSpec{Image: in.ImageRef, UserSpecifiedImage: c.Image},
		Command:    expandAll(c.Command, lookup),
		Args:       expandAll(c.Args, lookup),
		WorkingDir: c.WorkingDir,
		Envs:       in.Env,
		Mounts:     in.Mounts,
		Devices:    in.Devices,
		Labels: map[string]string{
			kubelettypes.KubernetesPodNameLabel:       pod.Name,
			kubelettypes.KubernetesPodNamespaceLabel:  pod.Namespace,
			kubelettypes.KubernetesPodUIDLabel:        string(pod.UID),
			kubelettypes.KubernetesContainerNameLabel: c.Name,
		},
		Annotations: map[string]string{
			AnnotationImage:              c.Image,
			AnnotationTerminationPath:    in.TerminationPath,
			AnnotationTerminationPolicy:  string(c.TerminationMessagePolicy),
			annotationTerminationMessage: c.TerminationMessagePath,
			annotationRestartCount:       strconv.FormatUint(uint64(in.Attempt), 10),
		},
		LogPath:   LogPath(c.Name, in.Attempt),
		Stdin:     c.Stdin,
		StdinOnce: c.StdinOnce,
		Tty:       c.TTY,
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       containerResources(pod, c, in.MemoryCapacity),
			SecurityContext: security,
		},
	}
	if lc := c.Lifecycle; lc != nil && lc.StopSignal != nil {
		if v, ok := runtimeapi.Signal_value["SIGNAL_"+string(*lc.StopSignal)]; ok {
			cfg.StopSignal = runtimeapi.Signal(v)
		}
	}
	return cfg, nil
}
