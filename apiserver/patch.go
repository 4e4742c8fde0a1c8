package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	dry, err := dryRun(opts.DryRun, "PatchOptions")
	if err != nil {
		return nil, err
	}
	switch pt {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType:
	default:
		return nil, patch.ErrUnsupported()
	}
	if r.subresource == "scale" {
		return s.modifyScale(ctx, r, dry, func(cur runtime.Object, next runtime.Object) error {
			return applyPatch(r, pt, data, opts.FieldValidation, cur, next)
		})
	}
	return s.modify(ctx, r, dry, func(cur kind.Object) (kind.Object, error) {
		next := r.kind.New()
		if err := applyPatch(r, pt, data, opts.FieldValidation, cur, next); err != nil {
			return nil, err
		}
		if next.GetUID() != cur.GetUID() && next.GetUID() != "" {
			return nil, r.conflict(fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", next.GetUID(), cur.GetUID()))
		}
		if rv := next.GetResourceVersion(); rv != "" && rv != cur.GetResourceVersion() {
			return nil, r.conflict(errModified)
		}
		return next, nil
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
		for _, e := range strict {
			r.warning(e.Error())
		}
	}
	return nil
}
