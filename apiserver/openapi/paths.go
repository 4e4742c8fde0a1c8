package openapi

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// Resource is a served resource, as the documents show it.
type Resource struct {
	GVK          schema.GroupVersionKind
	Name         string // plural
	Namespaced   bool
	Type, List   reflect.Type // of the object and its list, without the pointer; no list: it can be created only
	Subresources []Subresource

	ReturnDeleted      bool // a deletion is answered with the object, not with a Status
	NoDeleteCollection bool // objects are deleted one by one only
}

// Subresource is a subresource of a [Resource].
type Subresource struct {
	Name  string
	GVK   schema.GroupVersionKind
	Type  reflect.Type // of what is sent and answered; nil for a stream
	Verbs []string     // "get", "create", "update", "patch", "delete"

	Options  reflect.Type // of what the query of a stream says
	WithPath bool         // every method of HTTP is handed on, with what stands behind the name of the subresource
}

// operation is one method of one path.
type operation struct {
	method string
	action string // as x-kubernetes-action names it
	gvk    schema.GroupVersionKind
	id     string
	body   reflect.Type // nil: none
	answer reflect.Type // textType: a stream, or the text of a log
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
	scoped := r.GVK.Kind
	all := base + "/" + r.Name
	collection := all
	if r.Namespaced {
		collection = base + "/namespaces/{namespace}/" + r.Name
		scoped = "Namespaced" + r.GVK.Kind
	}
	gv := title(groupName(r.GVK.Group)) + title(r.GVK.Version)
	id := func(verb string) string { return verb + gv + scoped }
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
		},
		collection + "/{name}": {
			{"get", "get", r.GVK, id("read"), nil, r.Type, nil},
			{"put", "put", r.GVK, id("replace"), r.Type, r.Type, writeParameters()},
			{"patch", "patch", r.GVK, id("patch"), patchType, r.Type, patch},
			{"delete", "delete", r.GVK, id("delete"), deleteOptionsType, deleted, deleteParameters()},
		},
	}
	if !r.NoDeleteCollection {
		out[collection] = append(out[collection], operation{"delete", "deletecollection", r.GVK, "delete" + gv + "Collection" + scoped, deleteOptionsType, statusType, append(deleteParameters(), listParameters()...)})
	}
	if r.Namespaced {
		out[all] = []operation{{"get", "list", r.GVK, "list" + gv + r.GVK.Kind + "ForAllNamespaces", nil, r.List, listParameters()}}
	}
	for _, sub := range r.Subresources {
		if sub.WithPath {
			at, name := collection+"/{name}/"+sub.Name, scoped+title(sub.Name)
			out[at] = handedOn(sub, "connect"+gv, name, optionsOf(sub.Options))
			out[at+"/{path}"] = handedOn(sub, "connect"+gv, name+"WithPath", optionsOf(sub.Options))
			continue
		}
		var ops []operation
		for _, verb := range sub.Verbs {
			name := title(sub.Name)
			switch {
			case sub.Type == nil && sub.Name == "log":
				ops = append(ops, operation{"get", "get", sub.GVK, id("read") + name, nil, textType, optionsOf(sub.Options)})
			case sub.Type == nil:
				method := map[string]string{"get": "get", "create": "post"}[verb]
				ops = append(ops, operation{method, "connect", sub.GVK, "connect" + gv + title(method) + scoped + name, nil, textType, optionsOf(sub.Options)})
			case verb == "get":
				ops = append(ops, operation{"get", "get", sub.GVK, id("read") + name, nil, sub.Type, nil})
			case verb == "create":
				ops = append(ops, operation{"post", "post", sub.GVK, id("create") + name, sub.Type, sub.Type, writeParameters()})
			case verb == "update":
				ops = append(ops, operation{"put", "put", sub.GVK, id("replace") + name, sub.Type, sub.Type, writeParameters()})
			case verb == "patch":
				ops = append(ops, operation{"patch", "patch", sub.GVK, id("patch") + name, patchType, sub.Type, patch})
			}
		}
		out[collection+"/{name}/"+sub.Name] = ops
	}
	return out
}

// handedOn returns the operations of a subresource that hands all methods on.
func handedOn(sub Subresource, prefix, name string, query []parameter) []operation {
	var out []operation
	for _, method := range []string{"delete", "get", "head", "options", "patch", "post", "put"} {
		out = append(out, operation{method, "connect", sub.GVK, prefix + title(method) + name, nil, textType, query})
	}
	return out
}

// discovery returns the operations that tell what is served, by path; of all groups and the server, if whole.
func discovery(resources []Resource, whole bool) map[string]operation {
	out := map[string]operation{}
	get := func(path, id string, answer reflect.Type) {
		out[path] = operation{method: "get", id: "get" + id, answer: answer}
	}
	for _, r := range resources {
		group := title(groupName(r.GVK.Group))
		get(versionPath(r.GVK.GroupVersion())+"/", group+title(r.GVK.Version)+"APIResources", reflect.TypeFor[metav1.APIResourceList]())
		if whole && r.GVK.Group != "" {
			get("/apis/"+r.GVK.Group+"/", group+"APIGroup", reflect.TypeFor[metav1.APIGroup]())
		}
	}
	if whole {
		get("/api/", "CoreAPIVersions", reflect.TypeFor[metav1.APIVersions]())
		get("/apis/", "APIVersions", reflect.TypeFor[metav1.APIGroupList]())
		get("/version/", "CodeVersion", reflect.TypeFor[version.Info]())
	}
	return out
}

// optionsOf returns the parameters of a query that is read into a type; of a list, those of its items.
func optionsOf(t reflect.Type) []parameter {
	var out []parameter
	texts := docs(t)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" {
			continue // the kind of the options
		}
		of := t.Field(i).Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		typ := "string"
		switch of.Kind() {
		case reflect.Bool:
			typ = "boolean"
		case reflect.Int32, reflect.Int64:
			typ = "integer"
		}
		out = append(out, parameter{name, typ, texts[name]})
	}
	return out
}

// groupName returns the name of an API group as operations have it: "rbacAuthorization" of rbac.authorization.k8s.io.
func groupName(group string) string {
	if group == "" {
		return "core"
	}
	first, rest, _ := strings.Cut(strings.TrimSuffix(group, ".k8s.io"), ".")
	return first + title(rest)
}

// tagOf returns the tag of a path. Clients are made with a class per tag.
func tagOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if parts[0] == "api" {
		parts = append([]string{"apis", ""}, parts[1:]...)
	}
	switch {
	case parts[0] != "apis" || len(parts) == 1:
		return parts[0]
	case len(parts) == 2:
		return groupName(parts[1])
	}
	return groupName(parts[1]) + "_" + parts[2]
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
