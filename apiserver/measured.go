package apiserver

import (
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

// measured is a request as metrics name it. The values of its labels come from routes that exist, never from what a
// client makes up.
type measured struct {
	verb, dryRun, group, version, resource, subresource, scope string
}

// measured names the request of the exchange.
func (x *exchange) measured() measured {
	s, r, rt := x.server, x.r, x.route
	m := measured{verb: knownMethod(r.Method)}
	k := s.kindOf(rt)
	if k == nil {
		if rt.resource == "" {
			m.subresource = knownPath(r.URL.Path)
		}
		return m
	}
	switch rt.verb {
	case "list", "watch", "deletecollection":
		m.verb = strings.ToUpper(rt.verb)
	case "patch":
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
			m.verb = "APPLY"
		}
	}
	if connects(k.ID, rt.subresource) {
		m.verb = "CONNECT"
	}
	m.dryRun = knownDryRun(x.dryRun())
	m.group, m.version, m.resource, m.subresource = rt.gv.Group, rt.gv.Version, rt.resource, knownSubresource(k, rt.subresource)
	switch {
	case rt.name != "" || rt.verb == "create":
		m.scope = "resource"
	case rt.namespace != "":
		m.scope = "namespace"
	default:
		m.scope = "cluster"
	}
	return m
}

// knownMethod returns an HTTP method that is served, or "other". HEAD is a GET whose answer has no body.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	case http.MethodHead:
		return http.MethodGet
	}
	return "other"
}

// knownDryRun returns what a query says of a dry run: "" for nothing, "All", or "invalid".
func knownDryRun(options []string) string {
	switch {
	case len(options) == 0:
		return ""
	case slices.ContainsFunc(options, func(o string) bool { return o != metav1.DryRunAll }):
		return "invalid"
	}
	return metav1.DryRunAll
}

// knownSubresource returns the name of a subresource if the kind has such a one.
func knownSubresource(k *kind.Kind, name string) string {
	if name == "" {
		return ""
	}
	sub, _ := subresourceOf(k, name)
	return sub.name
}

// knownPath returns the first element of a path that is no resource's, if there is such a one.
func knownPath(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api", "apis", "healthz", "livez", "readyz", "metrics", "openapi", "sampan", "version":
		return "/" + first
	}
	return ""
}
