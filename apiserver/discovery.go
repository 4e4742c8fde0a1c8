package apiserver

import (
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// subresource is one subresource of a kind, as discovery shows it.
type subresource struct {
	name  string
	gvk   schema.GroupVersionKind // what is sent and answered
	verbs []string
}

// deletesCollections reports whether all objects of a kind can be deleted by one request. Namespaces cannot, as in
// upstream: too much hangs on each.
func deletesCollections(k *kind.Kind) bool { return k.ID != kind.Namespaces }

func objectVerbs(k *kind.Kind) []string {
	if !deletesCollections(k) {
		return []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	}
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// subresourcesOf returns the subresources of a kind, by name.
func subresourcesOf(k *kind.Kind) []subresource {
	var out []subresource
	change := []string{"get", "patch", "update"}
	switch k.ID {
	case kind.Pods:
		connect := []string{"create", "get"}
		out = append(out,
			subresource{"attach", k.GVK.GroupVersion().WithKind("PodAttachOptions"), connect},
			subresource{"binding", k.GVK.GroupVersion().WithKind("Binding"), []string{"create"}},
			subresource{"eviction", schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}, []string{"create"}},
			subresource{"exec", k.GVK.GroupVersion().WithKind("PodExecOptions"), connect},
			subresource{"log", k.GVK, []string{"get"}},
			subresource{"portforward", k.GVK.GroupVersion().WithKind("PodPortForwardOptions"), connect})
	case kind.ServiceAccounts:
		out = append(out, subresource{"token", tokenRequestGVK(), []string{"create"}})
	case kind.Namespaces:
		out = append(out, subresource{"finalize", k.GVK, []string{"update"}})
	}
	if connects(k.ID, proxySubresource) {
		verbs := []string{"create", "delete", "get", "patch", "update"}
		out = append(out, subresource{proxySubresource, k.GVK.GroupVersion().WithKind(k.GVK.Kind + "ProxyOptions"), verbs})
	}
	for _, part := range k.Parts {
		out = append(out, subresource{part.Name, k.GVK, change})
	}
	if k.Scale != nil {
		out = append(out, subresource{"scale", scaleGVK, change})
	}
	if k.Status != nil {
		out = append(out, subresource{"status", k.GVK, change})
	}
	return out
}

// subresourceOf returns a subresource of a kind.
func subresourceOf(k *kind.Kind, name string) (sub subresource, ok bool) {
	all := subresourcesOf(k)
	i := slices.IndexFunc(all, func(s subresource) bool { return s.name == name })
	if i < 0 {
		return subresource{}, false
	}
	return all[i], true
}

// groupVersions returns the versions that are served, in the order of the registry.
func groupVersions(kinds *kind.Registry) []schema.GroupVersion {
	var out []schema.GroupVersion
	for _, k := range kinds.Served() {
		if gv := k.GVK.GroupVersion(); !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	for _, u := range unstoredKinds(kinds) {
		if gv := u.gvk.GroupVersion(); !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	return out
}

// groups returns the API groups that are served, without the core group.
func groups(kinds *kind.Registry) *metav1.APIGroupList {
	list := &metav1.APIGroupList{Groups: []metav1.APIGroup{}}
	for _, gv := range groupVersions(kinds) {
		if gv.Group == "" {
			continue
		}
		v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		i := slices.IndexFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == gv.Group })
		if i >= 0 {
			list.Groups[i].Versions = append(list.Groups[i].Versions, v)
			continue
		}
		list.Groups = append(list.Groups, metav1.APIGroup{
			Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v,
		})
	}
	return list
}

// resources returns the resources of a version in the old form of discovery, where subresources stand beside their
// parents.
func resources(kinds *kind.Registry, gv schema.GroupVersion) *metav1.APIResourceList {
	list := &metav1.APIResourceList{GroupVersion: gv.String(), APIResources: []metav1.APIResource{}}
	for _, u := range unstoredKinds(kinds) {
		if u.gvk.GroupVersion() == gv {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: u.resource, SingularName: u.singular(), Namespaced: u.namespaced, Kind: u.gvk.Kind, Verbs: []string{"create"},
			})
		}
	}
	for _, k := range kinds.Served() {
		if k.GVK.GroupVersion() != gv {
			continue
		}
		resource := k.GroupResource().Resource
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: resource, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.GVK.Kind,
			Verbs: objectVerbs(k), ShortNames: k.ShortNames, Categories: k.Categories,
		})
		for _, sub := range subresourcesOf(k) {
			r := metav1.APIResource{Name: resource + "/" + sub.name, Namespaced: k.Namespaced, Kind: sub.gvk.Kind, Verbs: sub.verbs}
			if sub.gvk.GroupVersion() != gv {
				r.Group, r.Version = sub.gvk.Group, sub.gvk.Version
			}
			list.APIResources = append(list.APIResources, r)
		}
	}
	slices.SortFunc(list.APIResources, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// aggregated returns everything about the core group, or about all other groups, in the one document of the new
// form of discovery. The versions v2 and v2beta1 of that form have the same fields.
func aggregated(kinds *kind.Registry, core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	list := &apidiscoveryv2.APIGroupDiscoveryList{Items: []apidiscoveryv2.APIGroupDiscovery{}}
	for _, gv := range groupVersions(kinds) {
		if (gv.Group == "") != core {
			continue
		}
		v := apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
		for _, u := range unstoredKinds(kinds) {
			if u.gvk.GroupVersion() != gv {
				continue
			}
			r := apidiscoveryv2.APIResourceDiscovery{
				Resource: u.resource, SingularResource: u.singular(), Scope: apidiscoveryv2.ScopeCluster,
				ResponseKind: responseKind(u.gvk, gv), Verbs: []string{"create"},
			}
			if u.namespaced {
				r.Scope = apidiscoveryv2.ScopeNamespace
			}
			v.Resources = append(v.Resources, r)
		}
		for _, k := range kinds.Served() {
			if k.GVK.GroupVersion() == gv {
				v.Resources = append(v.Resources, aggregatedResource(k))
			}
		}
		slices.SortFunc(v.Resources, func(a, b apidiscoveryv2.APIResourceDiscovery) int { return strings.Compare(a.Resource, b.Resource) })
		i := slices.IndexFunc(list.Items, func(g apidiscoveryv2.APIGroupDiscovery) bool { return g.Name == gv.Group })
		if i < 0 {
			i = len(list.Items)
			list.Items = append(list.Items, apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: gv.Group}})
		}
		list.Items[i].Versions = append(list.Items[i].Versions, v)
	}
	return list
}

func aggregatedResource(k *kind.Kind) apidiscoveryv2.APIResourceDiscovery {
	gv := k.GVK.GroupVersion()
	r := apidiscoveryv2.APIResourceDiscovery{
		Resource: k.GroupResource().Resource, SingularResource: k.Singular, Scope: apidiscoveryv2.ScopeCluster,
		ResponseKind: responseKind(k.GVK, gv), Verbs: objectVerbs(k), ShortNames: k.ShortNames, Categories: k.Categories,
	}
	if k.Namespaced {
		r.Scope = apidiscoveryv2.ScopeNamespace
	}
	for _, sub := range subresourcesOf(k) {
		r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.name, ResponseKind: responseKind(sub.gvk, gv), Verbs: sub.verbs,
		})
	}
	return r
}

// responseKind returns a kind as aggregated discovery writes it: without group and version where they are those of
// the document's place.
func responseKind(gvk schema.GroupVersionKind, in schema.GroupVersion) *metav1.GroupVersionKind {
	out := &metav1.GroupVersionKind{Kind: gvk.Kind}
	if gvk.GroupVersion() != in {
		out.Group, out.Version = gvk.Group, gvk.Version
	}
	return out
}
