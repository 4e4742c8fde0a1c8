package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podRules is a pod's spec, and what the rules of its parts need to know of the whole.
type podRules struct {
	*corev1.PodSpec
	meta    *metav1.ObjectMeta              // nil for a template, whose pods' names are not known
	volumes map[string]*corev1.VolumeSource // what containers may mount, by name
	claims  map[string]bool                 // the names of the resource claims
}

// hostUsers says whether the pod shares the user namespace of its node, which is what a spec without a word on it means.
func (pod *podRules) hostUsers() bool { return pod.HostUsers == nil || *pod.HostUsers }

func (pod *podRules) windows() bool { return pod.OS != nil && pod.OS.Name == corev1.Windows }

// containerAt is the place of a container in a spec. Its path is made when there is an error to report: most
// containers have none.
type containerAt struct {
	spec *field.Path
	list string
	i    int
}

func (at containerAt) path() *field.Path { return at.spec.Child(at.list).Index(at.i) }

// eachContainer calls visit with every container of a pod, in the order in which they start.
func eachContainer(spec *corev1.PodSpec, path *field.Path, visit func(c *corev1.Container, at containerAt)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i], containerAt{path, "initContainers", i})
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i], containerAt{path, "containers", i})
	}
	for i := range spec.EphemeralContainers {
		visit((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), containerAt{path, "ephemeralContainers", i})
	}
}

// nameIn checks a required name of parent's child, a DNS label.
func nameIn(parent *field.Path, child, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(parent.Child(child), "")}
	}
	return labelIn(parent, child, name)
}

func labelIn(parent *field.Path, child, name string) field.ErrorList {
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
		return invalids(parent.Child(child), name, msgs)
	}
	return nil
}

func subdomainIn(parent *field.Path, child, name string) field.ErrorList {
	if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 {
		return invalids(parent.Child(child), name, msgs)
	}
	return nil
}

// legacyIP checks an address in a field that is older than the strict rules: it need not be in canonical form.
func legacyIP(path *field.Path, ip string, known ...string) field.ErrorList {
	return validation.IsValidIPForLegacyField(path, ip, true, known)
}

func isTrue(b *bool) bool { return b != nil && *b }
