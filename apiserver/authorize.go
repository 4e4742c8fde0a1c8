package apiserver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/nodeauth"
	"sampan/apiserver/auth/rbac"
	"sampan/kind"
	"sampan/view"
)

// builtinAuthorizer is the decision of a cluster that is told nothing else: the group system:masters, the rules for
// nodes, RBAC; all by the newest state.
func (s *Server) builtinAuthorizer(a auth.Attributes) (bool, string) {
	if ok, _ := auth.Masters(a); ok {
		return true, ""
	}
	snap := s.cache.snapshot()
	return auth.Union(nodeauth.Authorizer(snap), rbac.Authorizer(snap))(a)
}

// authorize asks whether the user may do what the route says.
func (x *exchange) authorize() error { return x.decided(x.attributes(x.route.verb)) }

// authorizeVerb asks whether the user may do something else with what the route leads to.
func (x *exchange) authorizeVerb(verb string) error { return x.server.authorize(x.attributes(verb)) }

// attributes describes the request as authorization and audit see it.
func (x *exchange) attributes(verb string) auth.Attributes {
	rt := x.route
	if rt.resource == "" {
		verb := strings.ToLower(x.r.Method)
		if verb == "head" {
			verb = "get"
		}
		return auth.Attributes{User: x.user, Verb: verb, Path: x.r.URL.Path}
	}
	a := auth.Attributes{
		User: x.user, Verb: verb, Group: rt.gv.Group, Version: rt.gv.Version, Resource: rt.resource,
		Subresource: rt.subresource, Namespace: rt.namespace, Name: rt.name,
	}
	if rt.resource == "namespaces" && rt.gv.Group == "" {
		a.Namespace = rt.name // upstream: a namespace is in itself
	}
	switch verb {
	case "list", "watch", "deletecollection":
		a.FieldSelector, a.LabelSelector = x.query.Get("fieldSelector"), x.query.Get("labelSelector")
		if a.Name == "" {
			a.Name = selectedName(a.FieldSelector)
		}
	}
	return a
}

// selectedName returns the one name that a field selector lets through, or "".
func selectedName(fieldSelector string) string {
	if !strings.Contains(fieldSelector, "metadata.name") {
		return ""
	}
	selector, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return "" // refused when the request is carried out
	}
	name, _ := selector.RequiresExactMatch("metadata.name")
	return name
}

// authorizePath asks whether the user may use a path that is no resource's; the route is empty.
func (x *exchange) authorizePath() error { return x.decided(x.attributes("")) }

// decided asks, and has the decision written down with the request.
func (x *exchange) decided(a auth.Attributes) error {
	began := time.Now()
	allowed, reason := x.server.cfg.Authorizer(a)
	x.server.metrics.authorized(allowed, time.Since(began))
	if allowed {
		x.audit.annotate("authorization.k8s.io/decision", "allow")
		x.audit.annotate("authorization.k8s.io/reason", reason)
		return nil
	}
	x.audit.annotate("authorization.k8s.io/decision", "forbid")
	x.audit.annotate("authorization.k8s.io/reason", reason)
	return forbidden(a, reason)
}

// authorize returns upstream's error if the user may not.
func (s *Server) authorize(a auth.Attributes) error {
	allowed, reason := s.cfg.Authorizer(a)
	if allowed {
		return nil
	}
	return forbidden(a, reason)
}

// forbidden is upstream's error for who may not.
func forbidden(a auth.Attributes, reason string) error {
	var message, name string
	var resource schema.GroupResource
	if a.Path != "" {
		message = fmt.Sprintf("User %q cannot %s path %q", a.User.Name, a.Verb, a.Path)
	} else {
		what := a.Resource
		if a.Subresource != "" {
			what += "/" + a.Subresource
		}
		message = fmt.Sprintf("User %q cannot %s resource %q in API group %q", a.User.Name, a.Verb, what, a.Group)
		if a.Namespace != "" {
			message += fmt.Sprintf(" in the namespace %q", a.Namespace)
		} else {
			message += " at the cluster scope"
		}
		resource, name = schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name
	}
	if reason != "" {
		message += ": " + reason
	}
	return apierrors.NewForbidden(resource, name, errors.New(message))
}

// confirmNoEscalation refuses a write by which a user would hand out rights that it does not have. Parts of this
// process are trusted.
func (s *Server) confirmNoEscalation(r request, obj, old kind.Object, snap *view.Snapshot) error {
	err := rbac.ConfirmNoEscalation(snap, s.cfg.Authorizer, r.user, obj, old)
	var missing *rbac.MissingRoleError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return apierrors.NewNotFound(schema.GroupResource{Group: r.kind.GVK.Group, Resource: strings.ToLower(missing.Kind) + "s"}, missing.Name)
	}
	name := r.key.Name
	if name == "" {
		name = obj.GetName()
	}
	return apierrors.NewForbidden(r.kind.GroupResource(), name, err)
}
