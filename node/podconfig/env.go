package podconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/kubectl/pkg/util/fieldpath"
	"k8s.io/kubectl/pkg/util/resource"

	"sampan/kind"
	"sampan/view"
)

// Facts is what a pod's references to itself and its node resolve to.
type Facts struct {
	// Snapshot holds the ConfigMaps, Secrets and Services that the pod may refer to.
	Snapshot *view.Snapshot
	PodIPs   []string
	HostIPs  []string
	// Allocatable is what a resource limit means that is not set.
	Allocatable corev1.ResourceList
}

// Env returns the environment of a container: Services, then envFrom, then env, later ones winning.
func Env(pod *corev1.Pod, c *corev1.Container, f Facts) ([]*runtimeapi.KeyValue, error) {
	e := environment{values: map[string]string{}}
	if err := e.addFrom(pod, c, f); err != nil {
		return nil, err
	}
	services := serviceEnv(pod, f.Snapshot)
	lookup := func(name string) (string, bool) {
		if v, ok := e.values[name]; ok {
			return v, true
		}
		v, ok := services.values[name]
		return v, ok
	}
	for i := range c.Env {
		v := &c.Env[i]
		value, ok := Expand(v.Value, lookup), true
		if v.ValueFrom != nil {
			var err error
			if value, ok, err = valueFrom(pod, c, v.ValueFrom, f); err != nil {
				return nil, err
			}
		}
		if ok {
			e.set(v.Name, value)
		}
	}
	var out []*runtimeapi.KeyValue
	for _, name := range services.order {
		if _, own := e.values[name]; !own {
			out = append(out, &runtimeapi.KeyValue{Key: name, Value: []byte(services.values[name])})
		}
	}
	for _, name := range e.order {
		out = append(out, &runtimeapi.KeyValue{Key: name, Value: []byte(e.values[name])})
	}
	return out, nil
}

// environment keeps variables in the order in which they were set first.
type environment struct {
	order  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.order = append(e.order, name)
	}
	e.values[name] = value
}

func (e *environment) addFrom(pod *corev1.Pod, c *corev1.Container, f Facts) error {
	for _, src := range c.EnvFrom {
		data := map[string]string{}
		switch {
		case src.ConfigMapRef != nil:
			cm, ok := view.Get[*corev1.ConfigMap](f.Snapshot, kind.ConfigMaps, pod.Namespace, src.ConfigMapRef.Name)
			if !ok {
				if optional(src.ConfigMapRef.Optional) {
					continue
				}
				return fmt.Errorf("configmap %q not found", src.ConfigMapRef.Name)
			}
			data = cm.Data
		case src.SecretRef != nil:
			secret, ok := view.Get[*corev1.Secret](f.Snapshot, kind.Secrets, pod.Namespace, src.SecretRef.Name)
			if !ok {
				if optional(src.SecretRef.Optional) {
					continue
				}
				return fmt.Errorf("secret %q not found", src.SecretRef.Name)
			}
			for k, v := range secret.Data {
				data[k] = string(v)
			}
		}
		for _, k := range sortedKeys(data) {
			e.set(src.Prefix+k, data[k])
		}
	}
	return nil
}

// valueFrom resolves a reference. ok is false if the variable must not be set at all.
func valueFrom(pod *corev1.Pod, c *corev1.Container, src *corev1.EnvVarSource, f Facts) (value string, ok bool, err error) {
	switch {
	case src.FieldRef != nil:
		value, err = Field(pod, src.FieldRef, f)
		return value, err == nil, err
	case src.ResourceFieldRef != nil:
		value, err = Resource(pod, c, src.ResourceFieldRef, f)
		return value, err == nil, err
	case src.ConfigMapKeyRef != nil:
		ref := src.ConfigMapKeyRef
		cm, found := view.Get[*corev1.ConfigMap](f.Snapshot, kind.ConfigMaps, pod.Namespace, ref.Name)
		if !found {
			if optional(ref.Optional) {
				return "", false, nil
			}
			return "", false, fmt.Errorf("configmap %q not found", ref.Name)
		}
		if v, found := cm.Data[ref.Key]; found {
			return v, true, nil
		}
		if optional(ref.Optional) {
			return "", false, nil
		}
		return "", false, fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", ref.Key, pod.Namespace, ref.Name)
	case src.SecretKeyRef != nil:
		ref := src.SecretKeyRef
		secret, found := view.Get[*corev1.Secret](f.Snapshot, kind.Secrets, pod.Namespace, ref.Name)
		if !found {
			if optional(ref.Optional) {
				return "", false, nil
			}
			return "", false, fmt.Errorf("secret %q not found", ref.Name)
		}
		if v, found := secret.Data[ref.Key]; found {
			return string(v), true, nil
		}
		if optional(ref.Optional) {
			return "", false, nil
		}
		return "", false, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key, pod.Namespace, ref.Name)
	}
	return "", false, fmt.Errorf("the environment variable's source is not supported")
}

// Field resolves a reference to a field of the pod, as the downward API offers them.
func Field(pod *corev1.Pod, ref *corev1.ObjectFieldSelector, f Facts) (string, error) {
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	switch ref.FieldPath {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return first(f.HostIPs), nil
	case "status.hostIPs":
		return strings.Join(f.HostIPs, ","), nil
	case "status.podIP":
		return first(f.PodIPs), nil
	case "status.podIPs":
		return strings.Join(f.PodIPs, ","), nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, ref.FieldPath)
}

// Resource resolves a reference to a container's requests or limits. ref may name another container of the pod.
func Resource(pod *corev1.Pod, c *corev1.Container, ref *corev1.ResourceFieldSelector, f Facts) (string, error) {
	if ref.ContainerName != "" && (c == nil || ref.ContainerName != c.Name) {
		c = nil
		for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
			for i := range list {
				if list[i].Name == ref.ContainerName {
					c = &list[i]
				}
			}
		}
	}
	if c == nil {
		return "", fmt.Errorf("container %s not found", ref.ContainerName)
	}
	// A limit that is not set means all that the node has.
	c = c.DeepCopy()
	if c.Resources.Limits == nil {
		c.Resources.Limits = corev1.ResourceList{}
	}
	for name, q := range f.Allocatable {
		if limit, ok := c.Resources.Limits[name]; !ok || limit.IsZero() {
			c.Resources.Limits[name] = q
		}
	}
	return resource.ExtractContainerResourceValue(ref, c)
}

// serviceEnv returns the variables that describe Services.
func serviceEnv(pod *corev1.Pod, snap *view.Snapshot) environment {
	e := environment{values: map[string]string{}}
	add := func(svc *corev1.Service) {
		if svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone || len(svc.Spec.Ports) == 0 {
			return
		}
		name := strings.ToUpper(strings.ReplaceAll(svc.Name, "-", "_"))
		ip := svc.Spec.ClusterIP
		e.set(name+"_SERVICE_HOST", ip)
		for i, p := range svc.Spec.Ports {
			port, proto := strconv.Itoa(int(p.Port)), string(p.Protocol)
			if proto == "" {
				proto = "TCP"
			}
			host := ip
			if strings.Contains(ip, ":") {
				host = "[" + ip + "]"
			}
			url := strings.ToLower(proto) + "://" + host + ":" + port
			if i == 0 {
				e.set(name+"_SERVICE_PORT", port)
				e.set(name+"_PORT", url)
			}
			if p.Name != "" {
				e.set(name+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), port)
			}
			prefix := name + "_PORT_" + port + "_" + strings.ToUpper(proto)
			e.set(prefix, url)
			e.set(prefix+"_PROTO", strings.ToLower(proto))
			e.set(prefix+"_PORT", port)
			e.set(prefix+"_ADDR", ip)
		}
	}
	if svc, ok := view.Get[*corev1.Service](snap, kind.Services, corev1.NamespaceDefault, "kubernetes"); ok {
		add(svc)
	}
	if links := pod.Spec.EnableServiceLinks; links == nil || *links {
		for svc := range view.All[*corev1.Service](snap, kind.Services, pod.Namespace) {
			add(svc)
		}
	}
	return e
}

func optional(b *bool) bool { return b != nil && *b }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
