package apiserver

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
)

// negotiated returns the form of the response.
func (x *exchange) negotiated(streaming bool, shapes ...string) (accepted, error) {
	a, err := negotiate(x.r.Header.Get("Accept"), streaming, shapes...)
	if err != nil || a.as != asTable {
		return a, err
	}
	options := metav1.TableOptions{IncludeObject: metav1.IncludeObjectPolicy(x.query.Get("includeObject"))}
	if errs := validation.ValidateTableOptions(&options); len(errs) > 0 {
		return a, apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: %v", errs.ToAggregate()))
	}
	return a, nil
}

// read decodes the body into obj.
func (x *exchange) read(gvk schema.GroupVersionKind, obj runtime.Object) error {
	media, err := contentType(x.r)
	if err != nil {
		return err
	}
	unknownFields, err := x.fieldValidation()
	if err != nil {
		return err
	}
	data, err := readBody(x.w, x.r)
	if err != nil {
		return err
	}
	if err := decodeBody(media, data, gvk, obj, unknownFields, x.warning); err != nil {
		return err
	}
	x.audit.request(gvk, obj)
	return nil
}

// readPosted decodes the body of what is posted and not stored: an order, such as to evict a pod, or a question. It
// gets the request's namespace, as a stored object does, and loses what only the server sets.
func (x *exchange) readPosted(gvk schema.GroupVersionKind, obj kind.Object) error {
	if err := x.read(gvk, obj); err != nil {
		return err
	}
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	switch obj.(type) {
	case *authenticationv1.TokenRequest: // whose UID is the account's
	case *corev1.Binding: // whose UID is the pod's, below the pod's path
		if x.route.subresource == "" {
			obj.SetUID("")
		}
	default:
		obj.SetUID("")
	}
	return namespaceOf(x.route.namespace, obj)
}

// fieldValidation returns the query's wish about unknown fields. It refuses what the query says wrongly about a write,
// so that nobody has to wait for the end of the body to hear of it. Create and update have the same options.
func (x *exchange) fieldValidation() (string, error) {
	name := "CreateOptions"
	if x.route.verb == "update" {
		name = "UpdateOptions"
	}
	opts := metav1.CreateOptions{DryRun: x.dryRun(), FieldManager: x.query.Get("fieldManager"), FieldValidation: x.query.Get("fieldValidation")}
	if err := invalidOptions(name, validation.ValidateCreateOptions(&opts)); err != nil {
		return "", err
	}
	return cmp.Or(opts.FieldValidation, metav1.FieldValidationWarn), nil
}

func (x *exchange) dryRun() []string { return x.query["dryRun"] }

func (x *exchange) get() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	if isSet(x.query, "export") {
		return apierrors.NewBadRequest("the export parameter, deprecated since v1.14, is no longer supported")
	}
	if err := x.server.reach(x.r.Context(), x.query.Get("resourceVersion")); err != nil {
		return err
	}
	obj, err := x.server.get(x.req.key)
	if apierrors.IsNotFound(err) {
		return x.req.notFound()
	}
	if err != nil {
		return err
	}
	return x.writeObject(http.StatusOK, a, obj, true)
}

func (x *exchange) create() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	obj := x.req.newSent()
	if err := x.read(x.req.sentAs(), obj); err != nil {
		return err
	}
	if obj, err = x.req.storedNew(obj); err != nil {
		return err
	}
	created, err := x.server.create(x.r.Context(), x.req, obj, metav1.CreateOptions{DryRun: x.dryRun(), FieldManager: x.query.Get("fieldManager")})
	if err != nil {
		return err
	}
	x.audit.created(created.GetName())
	return x.writeObject(http.StatusCreated, a, created, len(x.dryRun()) == 0)
}

func (x *exchange) update() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	obj := x.req.newSent()
	if err := x.read(x.req.sentAs(), obj); err != nil {
		return err
	}
	x.req.mayCreate = func() error {
		if err := x.authorizeVerb("create"); err != nil {
			return err
		}
		return x.req.checkNew(obj)
	}
	result, created, err := x.server.put(x.r.Context(), x.req, x.req.stored(obj), metav1.UpdateOptions{DryRun: x.dryRun(), FieldManager: x.query.Get("fieldManager")})
	if err != nil {
		return err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	return x.writeObject(code, a, result, len(x.dryRun()) == 0)
}

// patchBody reads a patch and its type.
func (x *exchange) patchBody() (types.PatchType, []byte, metav1.PatchOptions, error) {
	opts := metav1.PatchOptions{
		DryRun: x.dryRun(), FieldManager: x.query.Get("fieldManager"), FieldValidation: x.query.Get("fieldValidation"),
		Force: flag(x.query, "force"),
	}
	pt, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil {
		pt = x.r.Header.Get("Content-Type") // refused as a type that is not served
	}
	data, err := readBody(x.w, x.r)
	if err == nil {
		x.audit.patch(data)
	}
	return types.PatchType(pt), data, opts, err
}

func (x *exchange) patch() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	pt, data, opts, err := x.patchBody()
	if err != nil {
		return err
	}
	x.req.mayCreate = func() error { return x.authorizeVerb("create") }
	result, created, err := x.server.patchOrApply(x.r.Context(), x.req, pt, data, opts)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	return x.writeObject(code, a, result, len(opts.DryRun) == 0)
}
