package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/patch"
	"sampan/kind"
)

// apply is the patch of server-side apply: data says all that its manager wants of the object. What others own is
// kept, or refused as a conflict unless it is forced; what the manager wanted before and does not say any more goes
// away unless another owns it too. An object that is not there is created.
func (s *Server) apply(ctx context.Context, r request, data []byte, opts metav1.PatchOptions, dry bool) (result kind.Object, created bool, err error) {
	wanted, err := decodeApply(data, opts.FieldValidation, r.warning)
	if err != nil {
		return nil, false, err
	}
	force := opts.Force != nil && *opts.Force
	r.applied = true
	if r.subresource == "scale" {
		result, err := s.modifyScale(ctx, r, dry, func(cur, next runtime.Object) error {
			merged, err := s.mergeApplied(r, scaleGVK, cur, wanted, force)
			if err == nil {
				merged.(*autoscalingv1.Scale).DeepCopyInto(next.(*autoscalingv1.Scale))
			}
			return err
		})
		return result, false, err
	}
	if r.subresource == "" && s.cache.snapshot().Get(r.key) == nil {
		result, err := s.applyNew(ctx, r, wanted, opts)
		if !apierrors.IsAlreadyExists(err) {
			return result, true, err
		}
	}
	result, err = s.modify(ctx, r, dry, func(cur kind.Object) (kind.Object, error) {
		next, err := s.mergedInto(r, cur, wanted, force)
		if err != nil {
			return nil, err
		}
		return next, checkSame(r, next, cur)
	})
	return result, false, err
}

// applyNew creates the object that is wanted.
func (s *Server) applyNew(ctx context.Context, r request, wanted *unstructured.Unstructured, opts metav1.PatchOptions) (kind.Object, error) {
	if uid := wanted.GetUID(); uid != "" {
		return nil, r.conflict(fmt.Sprintf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	if r.mayCreate != nil {
		if err := r.mayCreate(); err != nil {
			return nil, err
		}
	}
	empty := r.kind.New()
	setGVK(empty, r.kind.GVK)
	obj, err := s.mergedInto(r, empty, wanted, false)
	if err != nil {
		return nil, err
	}
	if err := r.checkNew(r.shown(obj)); err != nil {
		return nil, err
	}
	if err := checkNamed(r, obj); err != nil {
		return nil, err
	}
	return s.create(ctx, r, withoutRevision(obj), metav1.CreateOptions{DryRun: opts.DryRun, FieldManager: opts.FieldManager})
}

// mergedInto returns cur as it is after an apply.
func (s *Server) mergedInto(r request, cur kind.Object, wanted *unstructured.Unstructured, force bool) (kind.Object, error) {
	merged, err := s.mergeApplied(r, r.sentAs(), cur, wanted, force)
	if err != nil {
		return nil, err
	}
	next, ok := merged.(kind.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("the merged object is a %T", merged))
	}
	return next, nil
}

// mergeApplied returns cur, in the stored version, as an apply in version gvk makes it.
func (s *Server) mergeApplied(r request, gvk schema.GroupVersionKind, cur runtime.Object, wanted *unstructured.Unstructured, force bool) (runtime.Object, error) {
	fm, err := s.managers.of(r.kind, gvk, r.subresource)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	next, err := fm.Apply(cur, wanted.DeepCopy(), r.manager, force)
	var known apierrors.APIStatus
	switch {
	case err == nil:
		return next, nil
	case errors.As(err, &known):
		return nil, err
	default:
		return nil, apierrors.NewBadRequest(err.Error()) // what is wanted does not fit the schema
	}
}

// decodeApply reads an applied configuration: YAML, and so JSON too. Keys that stand twice are treated as
// fieldValidation says.
func decodeApply(data []byte, fieldValidation string, warn func(string)) (*unstructured.Unstructured, error) {
	wanted := &unstructured.Unstructured{Object: map[string]any{}}
	switch err := yaml.UnmarshalStrict(data, &wanted.Object); {
	case err == nil:
	case fieldValidation == metav1.FieldValidationStrict:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error strict decoding YAML: %v", err))
	default:
		wanted.Object = map[string]any{}
		if err := yaml.Unmarshal(data, &wanted.Object); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
		}
		if fieldValidation != metav1.FieldValidationIgnore {
			warnOf([]error{err}, warn)
		}
	}
	if len(data) > patch.ItemsMax {
		plain, err := json.Marshal(wanted.Object)
		if err == nil {
			err = patch.CheckItems(plain, patch.ItemsMax)
		}
		if err != nil {
			return nil, err
		}
	}
	// The library reads metadata without looking, so its shape is checked here.
	meta, ok := wanted.Object["metadata"].(map[string]any)
	switch {
	case wanted.Object["metadata"] != nil && !ok:
		return nil, apierrors.NewBadRequest("error decoding YAML: metadata is not an object")
	case meta["managedFields"] != nil:
		return nil, apierrors.NewBadRequest("metadata.managedFields must be nil")
	}
	return wanted, nil
}

// replicasPath is where the kinds that scale keep what their scale subresource sets.
func replicasPath(k *kind.Kind) managedfields.ResourcePathMappings {
	return managedfields.ResourcePathMappings{k.GVK.GroupVersion().String(): fieldpath.MakePathOrDie("spec", "replicas")}
}
