package openapi

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resource is a served resource, as the documents show it.
type Resource struct {
	GVK          schema.GroupVersionKind
	Name         string // plural
	Namespaced   bool
	Type, List   reflect.Type // of the object and its list, without the pointer; no list: it can be created only
	Subresources []Subresource

	ReturnDeleted bool // a deletion is answered with the object, not with a Status
}

// Subresource is a subresource of a [Resource].
type Subresource struct {
	Name  string
	GVK   schema.GroupVersionKind
	Type  reflect.Type // of what is sent and answered; nil for a stream
	Verbs []string     // "get", "create", "update", "patch"
}

// operation is one method of one path.
type operation struct {
	method string
	action string // as x-kubernetes-action names it
	gvk    schema.GroupVersionKind
	id     string
	body   reflect.Type // nil: none
	answer reflect.Type // nil: a stream
	query  []parameter
}

// parameter is one query parameter.
type parameter struct{ name, typ, text string }

func writeParameters() []parameter {
	return []parameter{
		{"dryRun", "string", `"All" goes through every step of the request, but stores nothing.`},
		{"fieldManager", "string", "The name of the one who makes the change."},
		{"fieldValidation", "string", "What to do with unknown and duplicate fields: Ignore, Warn (the default) or Strict."},
	}
}

func listParameters() []parameter {
	return []parameter{
		{"allowWatchBookmarks", "boolean", "Asks a watch for events that only tell the resource version."},
		{"continue", "string", "The token of the page before."},
		{"fieldSelector", "string", "Selects objects by their fields."},
		{"labelSelector", "string", "Selects objects by their labels."},
		{"limit", "integer", "The largest number of objects in the answer."},
		{"resourceVersion", "string", "The version that the answer must show, or from which a watch begins."},
		{"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
		{"sendInitialEvents", "boolean", "Makes a watch begin with the objects that exist."},
		{"timeoutSeconds", "integer", "Ends the request after this time."},
		{"watch", "boolean", "Follows changes instead of listing."},
	}
}

func deleteParameters() []parameter {
	return []parameter{
		{"dryRun", "string", `"All" goes through every step of the request, but stores nothing.`},
		{"gracePeriodSeconds", "integer", "The time that the object is given to end."},
		{"propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."},
	}
}

// versionPath returns the path of a group version.
func versionPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.Group + "/" + gv.Version
}

// operations returns what can be done with a resource, by path.
func operations(r Resource) map[string][]operation {
	base := versionPath(r.GVK.GroupVersion())
	scope := ""
	all := base + "/" + r.Name
	collection := all
	if r.Namespaced {
		collection = base + "/namespaces/{namespace}/" + r.Name
		scope = "Namespaced"
	}
	id := func(verb string) string {
		group := r.GVK.Group
		if group == "" {
			group = "core"
		}
		group, _, _ = strings.Cut(group, ".")
		return verb + title(group) + title(r.GVK.Version) + scope + r.GVK.Kind
	}
	patch := append(writeParameters(), parameter{"force", "boolean", "Takes fields over from their managers; for apply patches."})
	if r.List == nil {
		return map[string][]operation{collection: {{"post", "post", r.GVK, id("create"), r.Type, r.Type, writeParameters()}}}
	}
	deleted := statusType
	if r.ReturnDeleted {
		deleted = r.Type
	}
	out := map[string][]operation{
		collection: {
			{"get", "list", r.GVK, id("list"), nil, r.List, listParameters()},
			{"post", "post", r.GVK, id("create"), r.Type, r.Type, writeParameters()},
			{"delete", "deletecollection", r.GVK, id("deleteCollection"), deleteOptionsType, statusType, append(deleteParameters(), listParameters()...)},
		},
		collection + "/{name}": {
			{"get", "get", r.GVK, id("read"), nil, r.Type, nil},
			{"put", "put", r.GVK, id("replace"), r.Type, r.Type, writeParameters()},
			{"patch", "patch", r.GVK, id("patch"), patchType, r.Type, patch},
			{"delete", "delete", r.GVK, id("delete"), deleteOptionsType, deleted, deleteParameters()},
		},
	}
	if r.Namespaced {
		out[all] = []operation{{"get", "list", r.GVK, id("list") + "ForAllNamespaces", nil, r.List, listParameters()}}
	}
	for _, sub := range r.Subresources {
		var ops []operation
		for _, verb := range sub.Verbs {
			name := id(verb) + title(sub.Name)
			switch {
			case sub.Type == nil && verb == "get":
				ops = append(ops, operation{"get", "connect", sub.GVK, name, nil, nil, nil})
			case sub.Type == nil:
				ops = append(ops, operation{"post", "connect", sub.GVK, name, nil, nil, nil})
			case verb == "get":
				ops = append(ops, operation{"get", "get", sub.GVK, name, nil, sub.Type, nil})
			case verb == "create":
				ops = append(ops, operation{"post", "post", sub.GVK, name, sub.Type, sub.Type, writeParameters()})
			case verb == "update":
				ops = append(ops, operation{"put", "put", sub.GVK, name, sub.Type, sub.Type, writeParameters()})
			case verb == "patch":
				ops = append(ops, operation{"patch", "patch", sub.GVK, name, patchType, sub.Type, patch})
			}
		}
		out[collection+"/{name}/"+sub.Name] = ops
	}
	return out
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
