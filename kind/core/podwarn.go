package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodTemplateWarnings returns what is valid in the pod template at path but hardly meant: the Warning headers that
// kubectl prints.
func PodTemplateWarnings(template *corev1.PodTemplateSpec, path *field.Path) []string {
	return podWarnings(&template.Spec, path.Child("spec"))
}

func podWarnings(spec *corev1.PodSpec, path *field.Path) []string {
	var warnings []string
	warn := func(p *field.Path, format string, args ...any) {
		warnings = append(warnings, p.String()+": "+fmt.Sprintf(format, args...))
	}
	if s := spec.TerminationGracePeriodSeconds; s != nil && *s < 0 {
		warn(path.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	warnings = append(warnings, NodeSelectorWarnings(spec.NodeSelector, path.Child("nodeSelector").Key)...)
	for i := range spec.InitContainers {
		containerWarnings(&spec.InitContainers[i], path.Child("initContainers").Index(i), warn)
	}
	for i := range spec.Containers {
		containerWarnings(&spec.Containers[i], path.Child("containers").Index(i), warn)
	}
	return warnings
}

func containerWarnings(c *corev1.Container, path *field.Path, warn func(p *field.Path, format string, args ...any)) {
	// Merge patches know variables and ports by name and number, so a second one gets lost on the next apply.
	variables := make(map[string]bool, len(c.Env))
	for i, v := range c.Env {
		if variables[v.Name] {
			warn(path.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", v.Name)
		}
		variables[v.Name] = true
	}
	for i, p := range c.Ports {
		for j, q := range c.Ports[:i] {
			if p.ContainerPort == q.ContainerPort && p.Protocol == q.Protocol && p.HostPort == q.HostPort && p.HostIP == q.HostIP {
				warn(path.Child("ports").Index(i), "duplicate port definition with %s", path.Child("ports").Index(j))
				break
			}
		}
	}
	for _, list := range []struct {
		name      string
		resources corev1.ResourceList
	}{{"limits", c.Resources.Limits}, {"requests", c.Resources.Requests}} {
		for _, name := range []corev1.ResourceName{corev1.ResourceEphemeralStorage, corev1.ResourceMemory} {
			if q, ok := list.resources[name]; ok && q.MilliValue()%1000 != 0 {
				warn(path.Child("resources", list.name).Key(string(name)), "fractional byte value %q is invalid, must be an integer", q.String())
			}
		}
	}
}
