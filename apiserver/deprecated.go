package apiserver

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/deprecation"

	"sampan/kind"
)

// deprecated is what upstream tells everybody who uses a kind whose days are numbered.
type deprecated struct {
	warning string
	removed string // the release without it, "1.40"; "" if none is named
}

// deprecatedKinds returns the kinds that are deprecated in the version of the API that is served.
func deprecatedKinds(kinds *kind.Registry, served version.Info) (map[schema.GroupVersionKind]deprecated, error) {
	major, minor, err := deprecation.MajorMinor(served)
	if err != nil {
		return nil, fmt.Errorf("version of the API: %w", err)
	}
	found := make(map[schema.GroupVersionKind]deprecated)
	for _, k := range kinds.Served() {
		obj := k.New()
		if !deprecation.IsDeprecated(obj, major, minor) {
			continue
		}
		setGVK(obj, k.GVK)
		found[k.GVK] = deprecated{warning: deprecation.WarningMessage(obj), removed: deprecation.RemovedRelease(obj)}
	}
	return found, nil
}

// warnOfDeprecation tells the user, the audit log and the metrics that the request is for a deprecated kind, if it is.
// Upstream does so for whatever is asked of the kind itself, but not for its subresources.
func (x *exchange) warnOfDeprecation() {
	d, ok := x.server.deprecated[x.req.sentAs()]
	if !ok || x.req.subresource != "" {
		return
	}
	x.warning(d.warning)
	x.audit.annotate("k8s.io/deprecated", "true")
	if d.removed != "" {
		x.audit.annotate("k8s.io/removed-release", d.removed)
	}
	x.server.metrics.deprecatedUsed(x.measured(), d)
}
