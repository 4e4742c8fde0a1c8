package apiserver

import (
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

func (x *exchange) scale() error {
	a, err := x.negotiated(false, asTable, asPartial)
	if err != nil {
		return err
	}
	var obj kind.Object
	switch x.route.verb {
	case "get":
		if err := x.server.reach(x.r.Context(), x.query.Get("resourceVersion")); err != nil {
			return err
		}
		obj, err = x.server.get(x.req.key)
	case "update":
		scale := new(autoscalingv1.Scale)
		if err := x.read(scaleGVK, scale); err != nil {
			return err
		}
		obj, err = x.server.updateScale(x.r.Context(), x.req, scale, metav1.UpdateOptions{DryRun: x.dryRun(), FieldManager: x.query.Get("fieldManager")})
	case "patch":
		pt, data, opts, bodyErr := x.patchBody()
		if bodyErr != nil {
			return bodyErr
		}
		obj, err = x.server.patch(x.r.Context(), x.req, pt, data, opts)
	default:
		return x.errMethod()
	}
	if err != nil {
		return err
	}
	v := x.viewer(a)
	v.kind, v.version, v.keep = scaleKind, nil, false
	return x.writeView(http.StatusOK, v, scaleOf(x.req.kind, obj))
}

// special serves the subresources that only one kind has.
func (x *exchange) special() error {
	switch name := string(x.req.kind.ID) + "/" + x.route.subresource; {
	case name == "pods/binding" && x.route.verb == "create":
		return x.binding(x.route.name)
	case name == "pods/eviction" && x.route.verb == "create":
		return x.eviction()
	case name == "serviceaccounts/token" && x.route.verb == "create":
		return x.token()
	case name == "namespaces/finalize" && x.route.verb == "update":
		return x.update()
	}
	if _, ok := subresourceOf(x.req.kind, x.route.subresource); ok {
		return x.errMethod()
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
	if err := x.readPosted(corev1.SchemeGroupVersion.WithKind("Binding"), body); err != nil {
		return err
	}
	if name == "" {
		name = body.Name
	} else if body.Name != name {
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
	if err := x.readPosted(policyv1.SchemeGroupVersion.WithKind("Eviction"), body); err != nil {
		return err
	}
	if body.Name != x.route.name {
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
