package apiserver

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/patch"
	"sampan/kind"
)

// patch applies a patch to an object or its subresource. A patch that names a resourceVersion or a UID is applied
// to that object only; any other is applied again when another writer was faster.
func (s *Server) patch(ctx context.Context, r request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (kind.Object, error) {
	obj, _, err := s.patchOrApply(ctx, r, pt, data, opts)
	return obj, err
}

// patchOrApply is patch, and says whether the object was created by an apply.
func (s *Server) patchOrApply(ctx context.Context, r request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (result kind.Object, created bool, err error) {
	switch pt {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType:
	default:
		return nil, false, patch.ErrUnsupported()
	}
	if err := invalidOptions("PatchOptions", validation.ValidatePatchOptions(&opts, pt)); err != nil {
		return nil, false, err
	}
	r = r.managedBy(opts.FieldManager)
	if pt == types.ApplyYAMLPatchType {
		return s.apply(ctx, r, data, opts, len(opts.DryRun) > 0)
	}
	result, err = s.patchWith(ctx, r, pt, data, opts, len(opts.DryRun) > 0)
	return result, false, err
}

func (s *Server) patchWith(ctx context.Context, r request, pt types.PatchType, data []byte, opts metav1.PatchOptions, dry bool) (kind.Object, error) {
	if r.subresource == "scale" {
		return s.modifyScale(ctx, r, dry, func(cur runtime.Object, next runtime.Object) error {
			return applyPatch(r, pt, data, opts.FieldValidation, cur, next)
		})
	}
	return s.modify(ctx, r, dry, func(cur kind.Object) (kind.Object, error) {
		next := r.newSent()
		if err := applyPatch(r, pt, data, opts.FieldValidation, r.shown(cur), next); err != nil {
			return nil, err
		}
		next = r.stored(next)
		return next, checkSame(r, next, cur)
	})
}

// applyPatch makes next of cur and treats unknown fields as fieldValidation says.
func applyPatch(r request, pt types.PatchType, data []byte, fieldValidation string, cur, next runtime.Object) error {
	strict, err := patch.Apply(pt, data, cur, next)
	if err != nil || len(strict) == 0 {
		return err
	}
	switch fieldValidation {
	case metav1.FieldValidationStrict:
		return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
			field.Invalid(field.NewPath("patch"), string(data), runtime.NewStrictDecodingError(strict).Error())})
	case metav1.FieldValidationIgnore:
	default: // Warn is the API's default
		warnOf(strict, r.warning)
	}
	return nil
}
