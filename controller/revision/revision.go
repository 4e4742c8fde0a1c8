// Package revision keeps the history of a pod template as ControllerRevisions, for controllers that own
// their pods directly. All of it is pure.
package revision

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// HashLabel is the label of a ControllerRevision that holds its hash.
const HashLabel = "controller.kubernetes.io/hash"

// Owner is what a revision is made for.
type Owner struct {
	Object     metav1.Object
	GVK        schema.GroupVersionKind
	Template   *corev1.PodTemplateSpec
	Collisions *int32 // status.collisionCount
}

// Sort orders revisions, oldest first.
func Sort(revisions []*appsv1.ControllerRevision) {
	slices.SortFunc(revisions, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// Patch encodes a template as the strategic merge patch that brings the owner back to it, which is what
// kubectl rollout undo sends.
func Patch(t *corev1.PodTemplateSpec) []byte {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(t)
	if err == nil {
		content["$patch"] = "replace"
		var data []byte
		if data, err = json.Marshal(map[string]any{"spec": map[string]any{"template": content}}); err == nil {
			return data
		}
	}
	panic(fmt.Sprintf("encode pod template: %v", err)) // of Go structs that came out of JSON
}

// Template decodes the template of a revision.
func Template(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var patch struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &patch); err != nil {
		return nil, fmt.Errorf("decode template of revision %s: %w", r.Name, err)
	}
	return &patch.Spec.Template, nil
}

// New makes the revision of the owner's template, with a number.
func New(o Owner, number int64) *appsv1.ControllerRevision {
	data := Patch(o.Template)
	hash := pods.Hash(data, o.Collisions)
	labels := maps.Clone(o.Template.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels[HashLabel] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name:            Name(o.Object.GetName(), hash),
			Namespace:       o.Object.GetNamespace(),
			Labels:          labels,
			Annotations:     maps.Clone(o.Object.GetAnnotations()),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.Object, o.GVK)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}
}

// Name is the name of an owner's revision.
func Name(owner, hash string) string {
	if len(owner) > 223 { // a name has at most 253 characters
		owner = owner[:223]
	}
	return owner + "-" + hash
}

// Same reports whether a revision is of the template that the patch encodes.
func Same(r *appsv1.ControllerRevision, patch []byte) bool { return bytes.Equal(r.Data.Raw, patch) }

// Current finds or makes the revision of the owner's template among its sorted revisions, and puts what is to
// be written into the plan: a new revision is created, one that was brought back gets the highest number.
func Current(p *plan.Plan, o Owner, sorted []*appsv1.ControllerRevision) *appsv1.ControllerRevision {
	patch := Patch(o.Template)
	var next int64 = 1
	var same *appsv1.ControllerRevision
	for _, r := range sorted {
		next = max(next, r.Revision+1)
		if Same(r, patch) {
			same = r
		}
	}
	switch {
	case same == nil:
		r := New(o, next)
		p.Do(plan.Create{Object: r})
		return r
	case same.Revision != next-1:
		same = same.DeepCopy()
		same.Revision = next
		p.Do(plan.Update{Object: same})
	}
	return same
}

// Truncate deletes the oldest revisions that are not live, beyond the limit.
func Truncate(p *plan.Plan, sorted []*appsv1.ControllerRevision, live map[string]bool, limit int32) {
	var dead []*appsv1.ControllerRevision
	for _, r := range sorted {
		if !live[r.Name] && r.DeletionTimestamp == nil {
			dead = append(dead, r)
		}
	}
	for _, r := range dead[:max(0, len(dead)-int(limit))] {
		p.Do(plan.Delete{Key: view.KeyOf(kind.ControllerRevisions, r), UID: r.UID})
	}
}
