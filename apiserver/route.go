package apiserver

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// route is what the path, method and query of a request for a resource mean.
type route struct {
	verb        string // as authorization names it
	gv          schema.GroupVersion
	resource    string
	namespace   string
	name        string
	subresource string
	rest        string // of the path, behind the subresource
}

// parseRoute reads a path below /api/v1 or /apis/G/V. ok is false if the path is none of a resource.
func parseRoute(r *http.Request, query url.Values) (rt route, ok bool) {
	path := r.URL.Path
	var parts []string
	switch {
	case strings.HasPrefix(path, "/api/"):
		parts = strings.Split(strings.Trim(path[len("/api/"):], "/"), "/")
		if len(parts) < 2 {
			return rt, false
		}
		rt.gv = schema.GroupVersion{Version: parts[0]}
		parts = parts[1:]
	case strings.HasPrefix(path, "/apis/"):
		parts = strings.Split(strings.Trim(path[len("/apis/"):], "/"), "/")
		if len(parts) < 3 {
			return rt, false
		}
		rt.gv = schema.GroupVersion{Group: parts[0], Version: parts[1]}
		parts = parts[2:]
	default:
		return rt, false
	}
	watching := false
	if parts[0] == "watch" && len(parts) > 1 { // the old form of a watch
		watching = true
		parts = parts[1:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 && !(len(parts) == 3 && (parts[2] == "status" || parts[2] == "finalize")) {
		rt.namespace = parts[1]
		parts = parts[2:]
	}
	rt.resource = parts[0]
	if len(parts) > 1 {
		rt.name = parts[1]
	}
	if len(parts) > 2 {
		rt.subresource = parts[2]
	}
	if len(parts) > 3 {
		rt.rest = strings.Join(parts[3:], "/")
	}
	if len(parts) > 1 && rt.name == "" {
		return rt, false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watching || rt.name == "" && isSet(query, "watch"): // of one object only in the old form
			rt.verb = "watch"
		case rt.name == "":
			rt.verb = "list"
		default:
			rt.verb = "get"
		}
	case http.MethodPost:
		rt.verb = "create"
	case http.MethodPut:
		rt.verb = "update"
	case http.MethodPatch:
		rt.verb = "patch"
	case http.MethodDelete:
		rt.verb = "delete"
		if rt.name == "" {
			rt.verb = "deletecollection"
		}
	}
	return rt, true
}

// kindOf returns the kind that the route leads to, or nil.
func (s *Server) kindOf(rt route) *kind.Kind {
	k, _ := s.servedAs(rt)
	return k
}

// servedAs returns the kind that the route leads to, and the version (nil: the stored one); or nil.
func (s *Server) servedAs(rt route) (*kind.Kind, *kind.Version) {
	k, version := s.cfg.Kinds.ByGVR(rt.gv.WithResource(rt.resource))
	if k == nil || !k.Namespaced && rt.namespace != "" {
		return nil, nil
	}
	return k, version
}

// flag returns what the query says about a yes or no; nil if it says nothing. As in upstream, everything is a yes but
// "false" and "0".
func flag(query url.Values, name string) *bool {
	values, ok := query[name]
	if !ok {
		return nil
	}
	return new(!strings.EqualFold(values[0], "false") && values[0] != "0")
}

// isSet reports whether the query says yes.
func isSet(query url.Values, name string) bool {
	yes := flag(query, name)
	return yes != nil && *yes
}
