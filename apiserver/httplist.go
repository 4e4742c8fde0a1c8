package apiserver

import (
	"context"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	if err := x.checkMatch(opts.revision, opts.match, opts.continu, false); err != nil {
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

// checkMatch refuses combinations of resourceVersion and resourceVersionMatch that mean nothing.
func (x *exchange) checkMatch(revision string, match metav1.ResourceVersionMatch, continu string, watching bool) error {
	var why string
	switch {
	case match == "":
		return nil
	case match != metav1.ResourceVersionMatchExact && match != metav1.ResourceVersionMatchNotOlderThan:
		why = fmt.Sprintf("resourceVersionMatch: Unsupported value: %q: supported values: %q, %q, %q", match, metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan, "")
	case watching:
		return nil
	case revision == "":
		why = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
	case continu != "":
		why = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
	case match == metav1.ResourceVersionMatchExact && revision == "0":
		why = `resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"`
	default:
		return nil
	}
	return invalidListOptions(why)
}

func invalidListOptions(why string) error {
	err := apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", nil)
	err.ErrStatus.Message = "ListOptions.meta.k8s.io \"\" is invalid: " + why
	return err
}
