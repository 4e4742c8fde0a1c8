package apiserver

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/admit"
	"sampan/kind"
)

// binding assigns a pod to a node.
type binding struct {
	uid         types.UID // "" for any
	revision    string    // that the pod must have; "" for any
	node        string
	labels      map[string]string // added to the pod's
	annotations map[string]string
	dry         bool
}

// bindingOf reads what a client sent, and refuses what binds to anything but a node.
func bindingOf(b *corev1.Binding) (binding, error) {
	var errs field.ErrorList
	if kind := b.Target.Kind; kind != "" && kind != "Node" {
		errs = append(errs, field.NotSupported(field.NewPath("target", "kind"), kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		errs = append(errs, field.Required(field.NewPath("target", "name"), ""))
	} else {
		for _, msg := range validation.IsDNS1123Subdomain(b.Target.Name) {
			errs = append(errs, field.Invalid(field.NewPath("target", "name"), b.Target.Name, msg))
		}
	}
	if len(errs) > 0 {
		return binding{}, invalid(schema.GroupKind{Kind: "Binding"}, b.Name, errs)
	}
	return binding{uid: b.UID, revision: b.ResourceVersion, node: b.Target.Name, labels: b.Labels, annotations: b.Annotations}, nil
}

// bind assigns the pod of the request to a node, and marks it scheduled.
func (s *Server) bind(ctx context.Context, r request, b binding) error {
	if r.kind.ID != kind.Pods {
		return errNoSubresource(r)
	}
	r.subresource = "binding"
	now := apiTime(s.cfg.Now())
	_, err := s.modify(ctx, r, b.dry, func(cur kind.Object) (kind.Object, error) {
		pod := cur.(*corev1.Pod)
		switch {
		case b.uid != "" && b.uid != pod.UID:
			return nil, r.wrongUID(b.uid, pod.UID)
		case b.revision != "" && b.revision != pod.ResourceVersion:
			return nil, r.conflict(fmt.Sprintf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", b.revision, pod.ResourceVersion))
		case pod.DeletionTimestamp != nil:
			return nil, bindConflict(r, fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name))
		case pod.Spec.NodeName != "":
			return nil, bindConflict(r, fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName))
		case len(pod.Spec.SchedulingGates) != 0:
			return nil, bindConflict(r, fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name))
		}
		next := pod.DeepCopy()
		next.Spec.NodeName = b.node
		next.Status.NominatedNodeName = "" // the hint has served
		labels := merged(b.labels, admit.TopologyLabels(s.cache.snapshot(), b.node))
		if len(labels) > 0 {
			next.Labels = merged(next.Labels, labels)
		}
		if len(b.annotations) > 0 {
			next.Annotations = merged(next.Annotations, b.annotations)
		}
		setPodCondition(&next.Status, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionTrue, ObservedGeneration: next.Generation, LastTransitionTime: now,
		})
		return next, nil
	})
	return err
}

// bindConflict is upstream's answer when a pod cannot be bound.
func bindConflict(r request, err error) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, r.key.Name, err)
}

func setPodCondition(status *corev1.PodStatus, c corev1.PodCondition) {
	i := slices.IndexFunc(status.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, c)
		return
	}
	if status.Conditions[i].Status == c.Status {
		c.LastTransitionTime = status.Conditions[i].LastTransitionTime
	}
	status.Conditions[i] = c
}

func merged(base, over map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = make(map[string]string, len(over))
	}
	maps.Copy(out, over)
	return out
}
