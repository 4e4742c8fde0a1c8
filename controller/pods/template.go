package pods

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
)

// FromTemplate makes a pod of an owner's template. The caller may change it.
func FromTemplate(t *corev1.PodTemplateSpec, owner metav1.Object, gvk schema.GroupVersionKind, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:            name,
			Namespace:       owner.GetNamespace(),
			Labels:          maps.Clone(t.Labels),
			Annotations:     maps.Clone(t.Annotations),
			Finalizers:      slices.Clone(t.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, gvk)},
		},
		Spec: *t.Spec.DeepCopy(),
	}
}

// TemplateHash returns a short name for a template, in the safe alphabet of generated names. Equal templates
// have equal hashes; collisions, from 0, leads to another hash when two different templates had one.
func TemplateHash(t *corev1.PodTemplateSpec, collisions *int32) string {
	data, err := json.Marshal(t) // the canonical form: maps are ordered by key
	if err != nil {
		panic(fmt.Sprintf("encode pod template: %v", err)) // of Go structs that came out of JSON
	}
	return Hash(data, collisions)
}

// Hash is TemplateHash of data.
func Hash(data []byte, collisions *int32) string {
	h := fnv.New32a()
	h.Write(data)
	if collisions != nil {
		fmt.Fprint(h, *collisions)
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}
