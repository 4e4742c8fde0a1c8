package apiserver

import (
	"context"
	"fmt"
	"strconv"
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
	opts := listOptions{
		continu:  x.query.Get("continue"),
		revision: x.query.Get("resourceVersion"),
		match:    metav1.ResourceVersionMatch(x.query.Get("resourceVersionMatch")),
	}
	if err := x.checkListOptions(false); err != nil {
		return err
	}
	if opts.limit, err = x.limit(); err != nil {
		return err
	}
	if opts.sel, err = newSelection(x.req.kind, x.req.version, x.query.Get("labelSelector"), x.query.Get("fieldSelector")); err != nil {
		return err
	}
	timeout, err := x.timeoutSeconds()
	if err != nil {
		return err
	}
	ctx := x.r.Context()
	if timeout > 0 {
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

// timeoutSeconds returns how long a list or watch may take; 0 is as long as the server lets it.
func (x *exchange) timeoutSeconds() (time.Duration, error) {
	text := x.query.Get("timeoutSeconds")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("timeoutSeconds: Invalid value: %q: %v", text, err))
	}
	return time.Duration(seconds) * time.Second, nil
}

// limit returns how many objects are wanted at most; 0 is all.
func (x *exchange) limit() (int64, error) {
	text := x.query.Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("limit: Invalid value: %q: must be a number that is not negative", text))
	}
	return n, nil
}

// checkListOptions refuses options of a list or watch that mean nothing together, with upstream's words.
func (x *exchange) checkListOptions(watching bool) error {
	errs := validation.ValidateListOptions(&internalversion.ListOptions{
		Watch:                watching,
		ResourceVersion:      x.query.Get("resourceVersion"),
		ResourceVersionMatch: metav1.ResourceVersionMatch(x.query.Get("resourceVersionMatch")),
		Continue:             x.query.Get("continue"),
		SendInitialEvents:    flag(x.query, "sendInitialEvents"),
	}, true)
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	return nil
}
