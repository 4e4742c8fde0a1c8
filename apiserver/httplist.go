package apiserver

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func (x *exchange) list() error {
	a, err := x.negotiated(false, asTable, asList)
	if err != nil {
		return err
	}
	asked, err := x.listOptions(false)
	if err != nil {
		return err
	}
	opts := listOptions{
		limit:    max(asked.Limit, 0),
		continu:  asked.Continue,
		revision: asked.ResourceVersion,
		match:    asked.ResourceVersionMatch,
	}
	if opts.sel, err = newSelection(x.req.kind, x.req.version, asked.LabelSelector, asked.FieldSelector); err != nil {
		return err
	}
	ctx := x.r.Context()
	if timeout := seconds(asked.TimeoutSeconds); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	l, err := x.server.list(ctx, x.req, opts)
	if err != nil {
		return err
	}
	return x.writeList(a, l)
}

// listOptions returns the query's options of a list, a watch or a deletion of many. It refuses what cannot be read and
// what means nothing together, with upstream's words.
func (x *exchange) listOptions(watching bool) (metav1.ListOptions, error) {
	var opts metav1.ListOptions
	if err := metav1.Convert_url_Values_To_v1_ListOptions(&x.query, &opts, nil); err != nil {
		return opts, apierrors.NewBadRequest(err.Error())
	}
	errs := validation.ValidateListOptions(&internalversion.ListOptions{
		Watch:                watching,
		ResourceVersion:      opts.ResourceVersion,
		ResourceVersionMatch: opts.ResourceVersionMatch,
		Continue:             opts.Continue,
		SendInitialEvents:    opts.SendInitialEvents,
	}, true)
	if len(errs) > 0 {
		return opts, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	return opts, nil
}

// seconds returns a number of seconds as a duration; nil is 0. What is more than a duration can hold is the longest.
func seconds(n *int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Second)
	if n == nil {
		return 0
	}
	return time.Duration(min(max(*n, -most), most)) * time.Second
}
