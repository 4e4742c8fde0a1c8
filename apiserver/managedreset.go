package apiserver

import (
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"sampan/kind"
)

// writable returns the filter of the fields that a write to a kind or its subresource can change, so that nobody is
// recorded as the owner of what the server puts back; nil lets everything through. The filters are upstream's reset
// fields.
func writable(k *kind.Kind, subresource string) fieldpath.Filter {
	if filter, ok := writableOf[writeTo{k.ID, subresource}]; ok {
		return filter
	}
	switch {
	case subresource == "" && k.Status != nil:
		return allBut(path("status"))
	case subresource == "status":
		return allBut(path("spec"))
	}
	return nil
}

// writeTo is what is written to; the subresource of the object itself is "".
type writeTo struct {
	kind        kind.ID
	subresource string
}

// writableOf is where kinds differ from the rule that the object's own writers have all but its status, and those of the
// status all but the spec.
var writableOf = map[writeTo]fieldpath.Filter{
	{kind.Pods, "status"}:              allBut(path("spec"), path("metadata", "deletionTimestamp"), path("metadata", "ownerReferences")),
	{kind.Pods, "ephemeralcontainers"}: only(fieldpath.MakePrefixMatcherOrDie("spec", "ephemeralContainers")),
	{kind.Pods, "resize"}: only(
		fieldpath.MakePrefixMatcherOrDie("spec", "containers", fieldpath.MatchAnyPathElement(), "resources"),
		fieldpath.MakePrefixMatcherOrDie("spec", "containers", fieldpath.MatchAnyPathElement(), "resizePolicy"),
		fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", fieldpath.MatchAnyPathElement(), "resources"),
		fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", fieldpath.MatchAnyPathElement(), "resizePolicy")),
	{kind.Namespaces, "finalize"}:                 allBut(path("status")),
	{kind.Deployments, "status"}:                  allBut(path("spec"), path("metadata", "labels")),
	{kind.VolumeAttachments, "status"}:            allBut(path("spec"), path("metadata")),
	{kind.CertificateSigningRequests, ""}:         allBut(path("spec"), path("status")),
	{kind.CertificateSigningRequests, "status"}:   allBut(path("spec"), path("status", "conditions")),
	{kind.CertificateSigningRequests, "approval"}: allBut(path("spec"), path("status", "certificate")),
}

func path(parts ...any) fieldpath.Path { return fieldpath.MakePathOrDie(parts...) }

func allBut(paths ...fieldpath.Path) fieldpath.Filter {
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(paths...))
}

func only(fields ...*fieldpath.SetMatcher) fieldpath.Filter {
	return fieldpath.NewIncludeMatcherFilter(fields...)
}
