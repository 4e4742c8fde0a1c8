package apiserver

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"sampan/kind"
)

// negotiated returns the form of the response.
func (x *exchange) negotiated(streaming bool, shapes ...string) (accepted, error) {
	return negotiate(x.r.Header.Get("Accept"), streaming, shapes...)
}

// read decodes the body into obj.
func (x *exchange) read(gvk schema.GroupVersionKind, obj runtime.Object) error {
	media, err := contentType(x.r)
	if err != nil {
		return err
	}
	data, err := readBody(x.w, x.r)
	if err != nil {
		return err
	}
	validation, err := x.fieldValidation()
	if err != nil {
		return err
	}
	return decodeBody(media, data, gvk, obj, validation, x.warning)
}

// fieldValidation returns the query's wish about unknown fields.
func (x *exchange) fieldValidation() (string, error) {
	switch v := x.query.Get("fieldValidation"); v {
	case metav1.FieldValidationIgnore, metav1.FieldValidationStrict, metav1.FieldValidationWarn:
		return v, nil
	case "":
		return metav1.FieldValidationWarn, nil
	default:
		return "", apierrors.NewBadRequest(fmt.Sprintf(`fieldValidation: Unsupported value: %q: supported values: "Ignore", "Strict", "Warn"`, v))
	}
}

func (x *exchange) dryRun() []string { return x.query["dryRun"] }

func (x *exchange) get() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	obj, err := x.server.get(x.req.key)
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
	obj := x.req.kind.New()
	if err := x.read(x.req.kind.GVK, obj); err != nil {
		return err
	}
	created, err := x.server.create(x.r.Context(), x.req, obj, metav1.CreateOptions{DryRun: x.dryRun()})
	if err != nil {
		return err
	}
	return x.writeObject(http.StatusCreated, a, created, len(x.dryRun()) == 0)
}

func (x *exchange) update() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	obj := x.req.kind.New()
	if err := x.read(x.req.kind.GVK, obj); err != nil {
		return err
	}
	result, created, err := x.server.put(x.r.Context(), x.req, obj, metav1.UpdateOptions{DryRun: x.dryRun()})
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
	opts := metav1.PatchOptions{DryRun: x.dryRun()}
	pt, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil {
		pt = x.r.Header.Get("Content-Type") // refused as a type that is not served
	}
	if opts.FieldValidation, err = x.fieldValidation(); err != nil {
		return "", nil, opts, err
	}
	data, err := readBody(x.w, x.r)
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
	result, err := x.server.patch(x.r.Context(), x.req, pt, data, opts)
	if err != nil {
		return err
	}
	return x.writeObject(http.StatusOK, a, result, len(opts.DryRun) == 0)
}

// deleteOptions reads the options of a deletion from the body, or from the query if there is no body.
func (x *exchange) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	media, err := contentType(x.r)
	if err != nil {
		return opts, err
	}
	data, err := readBody(x.w, x.r)
	if err != nil {
		return opts, err
	}
	if len(data) == 0 {
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(&x.query, &opts, nil); err != nil {
			return opts, apierrors.NewBadRequest(err.Error())
		}
		return opts, nil
	}
	// DeleteOptions are the same in every API group, and clients name any of them.
	want := schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"}
	var sent metav1.TypeMeta
	if media == mediaProto && len(data) > len(protoMagic) {
		var u runtime.Unknown
		if u.Unmarshal(data[len(protoMagic):]) == nil {
			sent = metav1.TypeMeta{APIVersion: u.APIVersion, Kind: u.Kind}
		}
	} else if err := yaml.Unmarshal(data, &sent); err != nil {
		return opts, unrecognized(want, err, data)
	}
	if sent.APIVersion != "" {
		want.Group, want.Version = sent.GroupVersionKind().Group, sent.GroupVersionKind().Version
	}
	return opts, decodeBody(media, data, want, &opts, metav1.FieldValidationIgnore, x.warning)
}

func (x *exchange) delete() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	opts, err := x.deleteOptions()
	if err != nil {
		return err
	}
	obj, removed, err := x.server.delete(x.r.Context(), x.req, opts)
	if err != nil {
		return err
	}
	if removed && x.req.kind.GracePeriod == nil {
		gr := x.req.kind.GroupResource()
		writeRuntimeObject(x.w, x.r, http.StatusOK, a, statusGVK, &metav1.Status{
			Status:  metav1.StatusSuccess,
			Details: &metav1.StatusDetails{Name: obj.GetName(), Group: gr.Group, Kind: gr.Resource, UID: obj.GetUID()},
		})
		return nil
	}
	code := http.StatusOK
	if !removed && opts.OrphanDependents != nil && !*opts.OrphanDependents {
		code = http.StatusAccepted // deletion in the foreground, as the old option asks for it
	}
	return x.writeObject(code, a, obj, false)
}

func (x *exchange) deleteCollection() error {
	a, err := x.negotiated(false, asTable, asList)
	if err != nil {
		return err
	}
	sel, err := newSelection(x.req.kind, x.query.Get("labelSelector"), x.query.Get("fieldSelector"))
	if err != nil {
		return err
	}
	opts, err := x.deleteOptions()
	if err != nil {
		return err
	}
	items, err := x.server.deleteCollection(x.r.Context(), x.req, sel, opts)
	if err != nil {
		return err
	}
	return x.writeList(a, listed{items: items, revision: x.server.cache.snapshot().Revision()})
}

func (x *exchange) scale() error {
	a, err := x.negotiated(false)
	if err != nil {
		return err
	}
	var obj kind.Object
	switch x.route.verb {
	case "get":
		obj, err = x.server.get(x.req.key)
	case "update":
		scale := new(autoscalingv1.Scale)
		if err := x.read(scaleGVK, scale); err != nil {
			return err
		}
		obj, err = x.server.updateScale(x.r.Context(), x.req, scale, metav1.UpdateOptions{DryRun: x.dryRun()})
	case "patch":
		pt, data, opts, bodyErr := x.patchBody()
		if bodyErr != nil {
			return bodyErr
		}
		obj, err = x.server.patch(x.r.Context(), x.req, pt, data, opts)
	default:
		return errMethod(x)
	}
	if err != nil {
		return err
	}
	writeRuntimeObject(x.w, x.r, http.StatusOK, a, scaleGVK, scaleOf(x.req.kind, obj))
	return nil
}

// special serves the subresources that only one kind has.
func (x *exchange) special() error {
	switch name := string(x.req.kind.ID) + "/" + x.route.subresource; {
	case name == "pods/binding" && x.route.verb == "create":
		return x.binding(x.route.name)
	case name == "pods/eviction" && x.route.verb == "create":
		return x.eviction()
	case name == "namespaces/finalize" && x.route.verb == "update":
		return x.update()
	}
	return errNoPath(x.r)
}

// legacyBinding is POST …/bindings, where the body names the pod.
func (x *exchange) legacyBinding() error {
	k := x.server.cfg.Kinds.ByID(kind.Pods)
	if k == nil || x.route.namespace == "" {
		return errNoPath(x.r)
	}
	x.req = request{user: x.user, kind: k, subresource: "binding", warn: x.warning}
	x.req.key.Kind, x.req.key.Namespace = k.ID, x.route.namespace
	return x.binding("")
}

func (x *exchange) binding(name string) error {
	a, err := x.negotiated(false)
	if err != nil {
		return err
	}
	body := new(corev1.Binding)
	if err := x.read(corev1.SchemeGroupVersion.WithKind("Binding"), body); err != nil {
		return err
	}
	if name == "" {
		name = body.Name
	} else if body.Name != "" && body.Name != name {
		return apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	x.req.key.Name = name
	b, err := bindingOf(body)
	if err != nil {
		return err
	}
	if b.dry, err = dryRun(x.dryRun(), "CreateOptions"); err != nil {
		return err
	}
	if err := x.server.bind(x.r.Context(), x.req, b); err != nil {
		return err
	}
	x.writeSuccess(a, http.StatusCreated)
	return nil
}

func (x *exchange) eviction() error {
	a, err := x.negotiated(false)
	if err != nil {
		return err
	}
	body := new(policyv1.Eviction)
	if err := x.read(policyv1.SchemeGroupVersion.WithKind("Eviction"), body); err != nil {
		return err
	}
	if body.Name != "" && body.Name != x.route.name {
		return apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	var opts metav1.DeleteOptions
	if body.DeleteOptions != nil {
		opts = *body.DeleteOptions
	}
	opts.DryRun = append(opts.DryRun, x.dryRun()...)
	if err := x.server.evict(x.r.Context(), x.req, opts); err != nil {
		return err
	}
	x.writeSuccess(a, http.StatusCreated)
	return nil
}

func (x *exchange) writeSuccess(a accepted, code int) {
	writeRuntimeObject(x.w, x.r, code, a, statusGVK, &metav1.Status{Status: metav1.StatusSuccess, Code: int32(code)})
}

func (x *exchange) list() error {
	a, err := x.negotiated(false, asTable, asList)
	if err != nil {
		return err
	}
	opts := listOptions{
		continu:  x.query.Get("continue"),
		revision: x.query.Get("resourceVersion"),
		match:    metav1.ResourceVersionMatch(x.query.Get("resourceVersionMatch")),
	}
	if err := x.checkMatch(opts.revision, opts.match, opts.continu, false); err != nil {
		return err
	}
	if limit := x.query.Get("limit"); limit != "" {
		if opts.limit, err = strconv.ParseInt(limit, 10, 64); err != nil || opts.limit < 0 {
			return apierrors.NewBadRequest(fmt.Sprintf("limit: Invalid value: %q: must be a number that is not negative", limit))
		}
	}
	if opts.sel, err = newSelection(x.req.kind, x.query.Get("labelSelector"), x.query.Get("fieldSelector")); err != nil {
		return err
	}
	l, err := x.server.list(x.r.Context(), x.req, opts)
	if err != nil {
		return err
	}
	return x.writeList(a, l)
}

// checkMatch refuses combinations of resourceVersion and resourceVersionMatch that mean nothing.
func (x *exchange) checkMatch(revision string, match metav1.ResourceVersionMatch, continu string, watching bool) error {
	var why string
	switch {
	case match == "":
		return nil
	case match != metav1.ResourceVersionMatchExact && match != metav1.ResourceVersionMatchNotOlderThan:
		why = fmt.Sprintf("resourceVersionMatch: Unsupported value: %q: supported values: %q, %q, %q", match, metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan, "")
	case watching:
		return nil
	case revision == "":
		why = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
	case continu != "":
		why = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
	case match == metav1.ResourceVersionMatchExact && revision == "0":
		why = `resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"`
	default:
		return nil
	}
	return invalidListOptions(why)
}

func invalidListOptions(why string) error {
	err := apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", nil)
	err.ErrStatus.Message = "ListOptions.meta.k8s.io \"\" is invalid: " + why
	return err
}
