package apiserver

import (
	"context"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// scaleGVK is the version in which the scale subresource of every kind is served.
var scaleGVK = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

// scaleKind is how the scale subresource of every kind is shown.
var scaleKind = &kind.Kind{
	GVK: scaleGVK,
	Columns: []metav1.TableColumnDefinition{
		kind.Column("Name", "string", "Name of the scaled object."),
		kind.Column("Desired", "integer", "Replicas wanted."),
		kind.Column("Available", "integer", "Replicas that exist."),
		kind.AgeColumn(),
	},
	Row: func(obj kind.Object, now time.Time) []any {
		scale := obj.(*autoscalingv1.Scale)
		return []any{scale.Name, int64(scale.Spec.Replicas), int64(scale.Status.Replicas), kind.Age(scale, now)}
	},
}

// scaleOf returns an object as its scale subresource shows it.
func scaleOf(k *kind.Kind, obj kind.Object) *autoscalingv1.Scale {
	want, have, selector := k.Scale.Get(obj)
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name:              obj.GetName(),
			Namespace:         obj.GetNamespace(),
			UID:               obj.GetUID(),
			ResourceVersion:   obj.GetResourceVersion(),
			CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: want},
		Status: autoscalingv1.ScaleStatus{Replicas: have, Selector: selector},
	}
	setGVK(scale, scaleGVK)
	return scale
}

func newScale() *autoscalingv1.Scale { return new(autoscalingv1.Scale) }

// updateScale sets the number of replicas. The result is the scaled object.
func (s *Server) updateScale(ctx context.Context, r request, scale *autoscalingv1.Scale, opts metav1.UpdateOptions) (kind.Object, error) {
	if err := invalidOptions("UpdateOptions", validation.ValidateUpdateOptions(&opts)); err != nil {
		return nil, err
	}
	dry := len(opts.DryRun) > 0
	r = r.managedBy(opts.FieldManager)
	return s.modifyScale(ctx, r, dry, func(_, next runtime.Object) error {
		scale.DeepCopyInto(next.(*autoscalingv1.Scale))
		return nil
	})
}

// modifyScale changes an object through its scale: change fills next, an empty Scale, looking at the current one.
func (s *Server) modifyScale(ctx context.Context, r request, dry bool, change func(cur, next runtime.Object) error) (kind.Object, error) {
	if r.kind.Scale == nil {
		return nil, errNoSubresource(r)
	}
	return s.modify(ctx, r, dry, func(cur kind.Object) (kind.Object, error) {
		next := new(autoscalingv1.Scale)
		shown := scaleOf(r.kind, cur)
		records := managedfields.NewScaleHandler(cur.GetManagedFields(), r.kind.GVK.GroupVersion(), replicasPath(r.kind))
		if entries, err := records.ToSubresource(); err == nil {
			shown.ManagedFields = entries
		}
		if err := change(shown, next); err != nil {
			return nil, err
		}
		if uid := next.GetUID(); uid != "" && uid != cur.GetUID() {
			return nil, r.wrongUID(uid, cur.GetUID())
		}
		if err := checkSame(r, next, cur); err != nil {
			return nil, err
		}
		s.trackScale(r, next, shown, cur)
		if n := next.Spec.Replicas; n < 0 {
			return nil, apierrors.NewInvalid(scaleGVK.GroupKind(), r.key.Name, field.ErrorList{
				field.Invalid(field.NewPath("spec", "replicas"), n, "must be greater than or equal to 0")})
		}
		obj := private(cur)
		r.kind.Scale.Set(obj, next.Spec.Replicas)
		if entries, err := records.ToParent(next.ManagedFields); err == nil && len(cur.GetManagedFields()) > 0 {
			obj.SetManagedFields(entries)
		}
		return obj, nil
	})
}
