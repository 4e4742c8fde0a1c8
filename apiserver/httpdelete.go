package apiserver

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"sampan/kind"
)

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
	if err := decodeBody(media, data, want, &opts, metav1.FieldValidationIgnore, x.warning); err != nil {
		return opts, err
	}
	x.audit.request(want, &opts)
	return opts, nil
}

// preferObject is the Prefer header (RFC 7240) of a client that wants to know the revision of its deletion: it gets
// the object's last state where upstream answers with a Status.
const preferObject = "return=representation"

// warnOfOrphans tells who deletes Jobs without a wish about their Pods that these stay.
func (x *exchange) warnOfOrphans(opts metav1.DeleteOptions) {
	if x.req.kind.ID == kind.Jobs && opts.PropagationPolicy == nil && opts.OrphanDependents == nil {
		x.warning("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning")
	}
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
	x.warnOfOrphans(opts)
	obj, removed, err := x.server.delete(x.r.Context(), x.req, opts)
	if err != nil {
		return err
	}
	if removed && !x.req.kind.ReturnDeleted && x.r.Header.Get("Prefer") != preferObject {
		gr := x.req.groupResource()
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
	asked, err := x.listOptions(false)
	if err != nil {
		return err
	}
	sel, err := newSelection(x.req.kind, x.req.version, asked.LabelSelector, asked.FieldSelector)
	if err != nil {
		return err
	}
	opts, err := x.deleteOptions()
	if err != nil {
		return err
	}
	x.warnOfOrphans(opts)
	items, err := x.server.deleteCollection(x.r.Context(), x.req, sel, max(asked.Limit, 0), opts)
	if err != nil {
		return err
	}
	return x.writeList(a, listed{items: items, revision: x.server.cache.snapshot().Revision()})
}
