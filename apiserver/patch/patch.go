// Package patch computes what a patch makes of an object: JSON patch (RFC 6902), merge patch (RFC 7386) and
// Kubernetes' strategic merge patch. It is pure; the API server calls it once per attempt to write.
//
// The current object is read-only. Errors are *errors.StatusError of k8s.io/apimachinery with upstream's codes:
// 400 for a patch that is malformed, 422 for one that cannot be applied or whose result is no such object, 413
// for one that is too big, 415 for a type that is not served, 500 for what the strategic merge has other words for.
package patch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// maxOperations is how many operations a JSON patch may have, as in upstream.
const maxOperations = 10000

// maxCopied bounds what the "copy" operations of one JSON patch may add, so that a small patch cannot double a
// document a hundred times.
const maxCopied = 3 << 20

func init() { jsonpatch.AccumulatedCopySizeLimit = maxCopied }

// Apply applies a patch to cur and decodes the result into next, a new object of the same type. What a strict
// decoder would refuse (unknown and duplicate fields, in patch and result) is returned as strict; the caller
// refuses, warns or ignores, as the request's fieldValidation says.
func Apply(pt types.PatchType, data []byte, cur, next runtime.Object) (strict []error, err error) {
	// The merge libraries panic on some directives of the wrong type (fuzzing found {"$retainKeys":[{}]}).
	defer func() {
		if p := recover(); p != nil {
			strict, err = nil, apierrors.NewBadRequest(fmt.Sprintf("the patch cannot be applied: %v", p))
		}
	}()
	switch pt {
	case types.JSONPatchType, types.MergePatchType:
		return applyJSON(pt, data, cur, next)
	case types.StrategicMergePatchType:
		return applyStrategic(data, cur, next)
	}
	return nil, ErrUnsupported()
}

// ErrUnsupported is the answer to a type of patch that is not served.
func ErrUnsupported() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure,
		Code:   http.StatusUnsupportedMediaType,
		Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s, %s, %s, %s",
			types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType),
	}}
}

func applyJSON(pt types.PatchType, data []byte, cur, next runtime.Object) (strict []error, err error) {
	doc, err := json.Marshal(cur)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("encode the object to patch: %w", err))
	}
	var patched []byte
	if pt == types.JSONPatchType {
		patched, strict, err = jsonPatch(doc, data)
	} else {
		patched, strict, err = mergePatch(doc, data)
	}
	if err != nil {
		return nil, err
	}
	more, err := kjson.UnmarshalStrict(patched, next)
	if err == nil {
		err = sameKind(cur, next)
	}
	if err != nil {
		return nil, invalid(string(patched), err)
	}
	return append(strict, more...), nil
}

// sameKind refuses a patched document that says that it is another kind of object. A strategic merge is not asked: its
// result is decoded by its Go type.
func sameKind(cur, next runtime.Object) error {
	have, want := next.GetObjectKind().GroupVersionKind(), cur.GetObjectKind().GroupVersionKind()
	if have == want {
		return nil
	}
	return fmt.Errorf("the kind of an object cannot be changed from %s to %s", want, have)
}

// operation is one operation of a JSON patch, to find what a strict decoder would refuse.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

func jsonPatch(doc, data []byte) (patched []byte, strict []error, err error) {
	var ops []operation
	strict, err = kjson.UnmarshalStrict(data, &ops)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	for i, e := range strict {
		strict[i] = fmt.Errorf("json patch %v", e)
	}
	if len(ops) > maxOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(
			fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(ops)))
	}
	if err := CheckItems(data, ItemsMax); err != nil {
		return nil, nil, err
	}
	p, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	patched, err = p.Apply(doc)
	if err != nil {
		return nil, nil, unprocessable(err)
	}
	return patched, strict, nil
}

func mergePatch(doc, data []byte) (patched []byte, strict []error, err error) {
	if err := CheckItems(data, ItemsMax); err != nil {
		return nil, nil, err
	}
	strict, err = kjson.UnmarshalStrict(data, &map[string]any{})
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	patched, err = jsonpatch.MergePatch(doc, data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return patched, strict, nil
}

func applyStrategic(data []byte, cur, next runtime.Object) (strict []error, err error) {
	change := map[string]any{}
	if err := CheckItems(data, strategicMax); err != nil {
		return nil, err
	}
	strict, err = kjson.UnmarshalStrict(data, &change)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cur)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("convert the object to patch: %w", err))
	}
	patched, err := strategicpatch.StrategicMergeMapPatch(doc, change, next)
	if err != nil {
		return nil, strategicError(err)
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, next, true)
	if unknown, ok := runtime.AsStrictDecodingError(err); ok {
		return append(strict, unknown.Errors()...), nil
	}
	if err != nil {
		return nil, invalid(fmt.Sprintf("%+v", change), err)
	}
	return strict, nil
}

// strategicError maps the errors of a strategic merge to status codes, as upstream does. What it has no code for, such
// as an item without its merge key, is told in the library's words with code 500.
func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return unprocessable(err)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error(),
	}}
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}

func invalid(value string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), value, err.Error())})
}
