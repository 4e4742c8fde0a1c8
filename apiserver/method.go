package apiserver

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// errMethod is the answer to a method that the path does not have. It names those that it has, as RFC 9110 (15.5.6) demands.
func (x *exchange) errMethod() error {
	allowed := methods(verbsAt(x.req.kind, x.route))
	if !connects(x.req.kind.ID, x.route.subresource) && slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	x.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, "", schema.GroupResource{}, "", "", 0, false)
}

// verbsAt returns the verbs that are served at the path of a route, which leads to the kind.
func verbsAt(k *kind.Kind, rt route) []string {
	if rt.subresource != "" {
		sub, _ := subresourceOf(k, rt.subresource)
		return sub.verbs
	}
	at := []string{"create", "deletecollection", "list", "watch"}
	switch {
	case rt.name != "":
		at = []string{"delete", "get", "patch", "update"}
	case k.Namespaced && rt.namespace == "":
		at = []string{"list", "watch"}
	}
	return slices.DeleteFunc(at, func(verb string) bool { return !slices.Contains(objectVerbs(k), verb) })
}

// methods returns the HTTP methods by which verbs are asked for, each once.
func methods(verbs []string) []string {
	var out []string
	for _, verb := range verbs {
		switch verb {
		case "get", "list", "watch":
			out = append(out, http.MethodGet)
		case "create":
			out = append(out, http.MethodPost)
		case "update":
			out = append(out, http.MethodPut)
		case "patch":
			out = append(out, http.MethodPatch)
		case "delete", "deletecollection":
			out = append(out, http.MethodDelete)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
