package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodTemplateWarnings returns what is valid in the pod template at path but hardly meant: the Warning headers that
// kubectl prints.
func PodTemplateWarnings(template *corev1.PodTemplateSpec, path *field.Path) []string {
	return podWarnings(&template.Spec, &template.ObjectMeta, path)
}

func newPodWarnings(pod *corev1.Pod) []string {
	var warnings []string
	if msgs := validation.IsDNS1123Label(pod.Name); len(msgs) > 0 {
		warnings = append(warnings, fmt.Sprintf("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: %v", msgs))
	}
	return append(warnings, podWarnings(&pod.Spec, &pod.ObjectMeta, nil)...)
}

// podStatusWarnings says which addresses that a node reports are written oddly.
func podStatusWarnings(pod, _ *corev1.Pod) []string {
	path := field.NewPath("status")
	var warnings []string
	for i, ip := range pod.Status.PodIPs {
		warnings = append(warnings, validation.GetWarningsForIP(path.Child("podIPs").Index(i).Child("ip"), ip.IP)...)
	}
	for i, ip := range pod.Status.HostIPs {
		warnings = append(warnings, validation.GetWarningsForIP(path.Child("hostIPs").Index(i).Child("ip"), ip.IP)...)
	}
	return warnings
}

// warner collects warnings about fields.
type warner struct{ warnings []string }

func (w *warner) warn(p *field.Path, format string, args ...any) {
	w.warnings = append(w.warnings, p.String()+": "+fmt.Sprintf(format, args...))
}

// podWarnings returns the warnings about a pod, or about the template at path.
func podWarnings(spec *corev1.PodSpec, meta *metav1.ObjectMeta, path *field.Path) []string {
	w := &warner{}
	p := path.Child("spec")
	w.placement(spec, p)
	w.annotations(spec, meta, path)
	for i := range spec.Volumes {
		w.volume(&spec.Volumes[i], p.Child("volumes").Index(i))
	}
	w.overlaps(spec.Volumes)
	w.tokenPaths(spec.Volumes, p)
	w.duplicates(spec, p)
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.fraction(spec.Overhead, name, p.Child("overhead"))
	}
	eachContainer(spec, p, func(c *corev1.Container, at containerAt) { w.container(c, meta, path, at) })
	w.ports(spec, p)
	if s := spec.TerminationGracePeriodSeconds; s != nil && *s < 0 {
		w.warn(p.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	w.podTerms(spec, p)
	return w.warnings
}

// annotations warns of annotations that have had their time.
func (w *warner) annotations(spec *corev1.PodSpec, meta *metav1.ObjectMeta, path *field.Path) {
	if len(meta.Annotations) == 0 {
		return
	}
	p := path.Child("metadata", "annotations")
	for _, old := range []struct{ key, message string }{
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, ok := meta.Annotations[old.key]; ok {
			w.warn(p.Key(old.key), "%s", old.message)
		}
	}
	if _, ok := meta.Annotations[corev1.SeccompPodAnnotationKey]; ok && (spec.SecurityContext == nil || spec.SecurityContext.SeccompProfile == nil) {
		w.warn(p.Key(corev1.SeccompPodAnnotationKey), `non-functional in v1.27+; use the "seccompProfile" field instead`)
	}
	appArmor := spec.SecurityContext != nil && spec.SecurityContext.AppArmorProfile != nil
	eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) {
		key := corev1.SeccompContainerAnnotationKeyPrefix + c.Name
		if _, ok := meta.Annotations[key]; ok && (c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil) {
			w.warn(p.Key(key), `non-functional in v1.27+; use the "seccompProfile" field instead`)
		}
		// A pod's field was filled from the annotation by now, so there the annotation alone is warned of.
		key = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
		byField := path != nil && (appArmor || (c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil))
		if _, ok := meta.Annotations[key]; ok && !byField {
			w.warn(p.Key(key), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	})
}

// duplicates warns of items that hide each other.
func (w *warner) duplicates(spec *corev1.PodSpec, path *field.Path) {
	seen := make(map[string]bool)
	for i, alias := range spec.HostAliases {
		if seen[alias.IP] {
			w.warn(path.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", alias.IP)
		}
		seen[alias.IP] = true
	}
	clear(seen)
	for i, secret := range spec.ImagePullSecrets {
		if seen[secret.Name] {
			w.warn(path.Child("imagePullSecrets").Index(i).Child("name"), "duplicate name %q", secret.Name)
		}
		seen[secret.Name] = true
	}
	for i, secret := range spec.ImagePullSecrets {
		if secret.Name == "" {
			w.warn(path.Child("imagePullSecrets").Index(i).Child("name"), "invalid empty name %q", "")
		}
	}
}

// fraction warns of a part of a byte.
func (w *warner) fraction(list corev1.ResourceList, name corev1.ResourceName, path *field.Path) {
	if q, ok := list[name]; ok && q.MilliValue()%1000 != 0 {
		w.warn(path.Key(string(name)), "fractional byte value %q is invalid, must be an integer", q.String())
	}
}

func (w *warner) container(c *corev1.Container, meta *metav1.ObjectMeta, path *field.Path, at containerAt) {
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		for _, list := range []struct {
			name      string
			resources corev1.ResourceList
		}{{"limits", c.Resources.Limits}, {"requests", c.Resources.Requests}} {
			if len(list.resources) > 0 {
				w.fraction(list.resources, name, at.path().Child("resources", list.name))
			}
		}
	}
	if len(c.Env) < 2 {
		return
	}
	// Merge patches know variables by name, so a second one gets lost on the next apply. It is meant if it is made
	// from the first.
	seen := make(map[string]bool, len(c.Env))
	for i, v := range c.Env {
		ref := "$(" + v.Name + ")"
		if seen[v.Name] && (v.ValueFrom != nil || v.Value == ref || !strings.Contains(v.Value, ref)) {
			w.warn(at.path().Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", v.Name)
		}
		seen[v.Name] = true
	}
}

// ports warns of ports that stand for the same, in one container or in several.
func (w *warner) ports(spec *corev1.PodSpec, path *field.Path) {
	type key struct {
		port     int32
		protocol corev1.Protocol
	}
	type place struct {
		at   containerAt
		i    int
		port *corev1.ContainerPort
	}
	where := func(l place) *field.Path { return l.at.path().Child("ports").Index(l.i) }
	const most = 10 // of the same number are looked at, and one is reported, so that a long list does not take long
	var all map[key][]place
	eachContainer(spec, path, func(c *corev1.Container, at containerAt) {
		for i := range c.Ports {
			port := &c.Ports[i]
			here := place{at, i, port}
			if port.HostIP != "" && port.HostPort == 0 {
				w.warn(where(here), "hostIP set without hostPort: %+v", *port)
			}
			k := key{port.ContainerPort, port.Protocol}
			for _, other := range all[k] {
				if what := portOverlap(port, other.port); what != "" {
					w.warn(where(here), "%s port definition with %s", what, where(other))
					break
				}
			}
			if all == nil {
				all = make(map[key][]place)
			}
			if len(all[k]) < most {
				all[k] = append(all[k], here)
			}
		}
	})
}

// portOverlap says in what way two ports of a number and protocol are one. Host ports without an address are on all.
func portOverlap(a, b *corev1.ContainerPort) string {
	switch {
	case a.HostIP == b.HostIP && a.HostPort == b.HostPort:
		return "duplicate"
	case a.HostPort == 0 || b.HostPort == 0:
		return "overlapping"
	case a.HostPort == b.HostPort && (a.HostIP == "") != (b.HostIP == ""):
		return "dangerously ambiguous"
	}
	return ""
}

// placement warns of old labels, and of what selects nothing.
func (w *warner) placement(spec *corev1.PodSpec, path *field.Path) {
	w.warnings = append(w.warnings, NodeSelectorWarnings(spec.NodeSelector, path.Child("nodeSelector").Key)...)
	if n := nodeAffinityOf(spec); n != nil {
		p := path.Child("affinity", "nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			for i := range r.NodeSelectorTerms {
				w.nodeTerm(&r.NodeSelectorTerms[i], false, p.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i))
			}
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			w.nodeTerm(&n.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference, true,
				p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))
		}
	}
	for i, c := range spec.TopologySpreadConstraints {
		p := path.Child("topologySpreadConstraints").Index(i)
		if msg := NodeLabelDeprecated(c.TopologyKey); msg != "" {
			w.warn(p.Child("topologyKey"), "%s is %s", c.TopologyKey, msg)
		}
		w.selectsNothing(c.LabelSelector, p)
	}
}

func (w *warner) nodeTerm(term *corev1.NodeSelectorTerm, values bool, path *field.Path) {
	for i, r := range term.MatchExpressions {
		p := path.Child("matchExpressions").Index(i)
		if msg := NodeLabelDeprecated(r.Key); msg != "" {
			w.warn(p.Child("key"), "%s is %s", r.Key, msg)
		}
		if !values {
			continue
		}
		for j, value := range r.Values {
			for _, msg := range validation.IsValidLabelValue(value) {
				w.warn(p.Child("values").Index(j), "%s is invalid, %s", value, msg)
			}
		}
	}
}

// podTerms warns of affinity to no pod.
func (w *warner) podTerms(spec *corev1.PodSpec, path *field.Path) {
	if spec.Affinity == nil {
		return
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, p *field.Path) {
		for i := range required {
			w.selectsNothing(required[i].LabelSelector, p.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))
		}
		for i := range preferred {
			w.selectsNothing(preferred[i].PodAffinityTerm.LabelSelector, p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm"))
		}
	}
	if a := spec.Affinity.PodAffinity; a != nil {
		terms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("affinity", "podAffinity"))
	}
	if a := spec.Affinity.PodAntiAffinity; a != nil {
		terms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("affinity", "podAntiAffinity"))
	}
}

func (w *warner) selectsNothing(selector *metav1.LabelSelector, path *field.Path) {
	if selector == nil {
		w.warn(path.Child("labelSelector"), "a null labelSelector results in matching no pod")
	}
}
