package apiserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/nodeauth"
	"sampan/apiserver/auth/rbac"
	"sampan/kind"
)

// unstored is a resource of which nothing is kept: a question that is posted and answered, or the order to bind a pod.
type unstored struct {
	gvk        schema.GroupVersionKind
	resource   string
	namespaced bool
	new        func() kind.Object
	// answer fills in the status of a review; nil for what is no review.
	answer func(x *exchange, obj kind.Object) error
}

func (u unstored) singular() string { return strings.ToLower(u.gvk.Kind) }

// unstoredKinds returns the resources that can be created only, in the order of their names.
func unstoredKinds(kinds *kind.Registry) []unstored {
	authn, authz := authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion
	out := []unstored{
		{authn.WithKind("SelfSubjectReview"), "selfsubjectreviews", false,
			func() kind.Object { return new(authenticationv1.SelfSubjectReview) }, (*exchange).selfSubjectReview},
		{authn.WithKind("TokenReview"), "tokenreviews", false,
			func() kind.Object { return new(authenticationv1.TokenReview) }, (*exchange).tokenReview},
		{authz.WithKind("LocalSubjectAccessReview"), "localsubjectaccessreviews", true,
			func() kind.Object { return new(authorizationv1.LocalSubjectAccessReview) }, (*exchange).localAccessReview},
		{authz.WithKind("SelfSubjectAccessReview"), "selfsubjectaccessreviews", false,
			func() kind.Object { return new(authorizationv1.SelfSubjectAccessReview) }, (*exchange).selfAccessReview},
		{authz.WithKind("SelfSubjectRulesReview"), "selfsubjectrulesreviews", false,
			func() kind.Object { return new(authorizationv1.SelfSubjectRulesReview) }, (*exchange).selfRulesReview},
		{authz.WithKind("SubjectAccessReview"), "subjectaccessreviews", false,
			func() kind.Object { return new(authorizationv1.SubjectAccessReview) }, (*exchange).accessReview},
	}
	if kinds.ByID(kind.Pods) != nil {
		out = append(out, unstored{corev1.SchemeGroupVersion.WithKind("Binding"), "bindings", true,
			func() kind.Object { return new(corev1.Binding) }, nil})
	}
	return out
}

// review answers a question if the route leads to one; ok is false if it does not.
func (x *exchange) review() (ok bool, err error) {
	rt := x.route
	i := slices.IndexFunc(x.server.unstored, func(u unstored) bool {
		return u.answer != nil && u.gvk.GroupVersion() == rt.gv && u.resource == rt.resource
	})
	if i < 0 {
		return false, nil
	}
	u := x.server.unstored[i]
	if rt.name != "" || (rt.namespace != "") != u.namespaced {
		return true, errNoPath(x.r)
	}
	if rt.verb != "create" {
		return true, apierrors.NewMethodNotSupported(schema.GroupResource{Group: rt.gv.Group, Resource: rt.resource}, rt.verb)
	}
	a, err := x.negotiated(false)
	if err != nil {
		return true, err
	}
	obj := u.new()
	if err := x.readPosted(u.gvk, obj); err != nil {
		return true, err
	}
	if _, err := dryRun(x.dryRun(), "CreateOptions"); err != nil {
		return true, err // nothing is kept anyway
	}
	if err := u.answer(x, obj); err != nil {
		return true, err
	}
	writeRuntimeObject(x.w, x.r, http.StatusCreated, a, u.gvk, obj)
	return true, nil
}

func userInfo(u auth.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	if len(u.Extra) > 0 {
		info.Extra = make(map[string]authenticationv1.ExtraValue, len(u.Extra))
		for key, values := range u.Extra {
			info.Extra[key] = values
		}
	}
	return info
}

func (x *exchange) selfSubjectReview(obj kind.Object) error {
	review := obj.(*authenticationv1.SelfSubjectReview)
	*review = authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(x.user)}}
	review.CreationTimestamp = apiTime(x.server.cfg.Now())
	return nil
}

func (x *exchange) tokenReview(obj kind.Object) error {
	review := obj.(*authenticationv1.TokenReview)
	if review.Spec.Token == "" {
		return apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	audiences := review.Spec.Audiences
	if len(audiences) == 0 {
		audiences = []string{x.server.tokens.keys().Issuer()}
	}
	known, err := x.server.tokenUser(review.Spec.Token, audiences)
	if err != nil {
		review.Status = authenticationv1.TokenReviewStatus{Error: fmt.Sprintf("[invalid bearer token, %v]", err)}
		return nil
	}
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: userInfo(known.user), Audiences: known.audiences}
	return nil
}

func (x *exchange) accessReview(obj kind.Object) error {
	review := obj.(*authorizationv1.SubjectAccessReview)
	if err := invalidReview("SubjectAccessReview", validateAccessReview(review)); err != nil {
		return err
	}
	review.Status = x.decide(subjectOf(review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return nil
}

func (x *exchange) localAccessReview(obj kind.Object) error {
	review := obj.(*authorizationv1.LocalSubjectAccessReview)
	if err := invalidReview("LocalSubjectAccessReview", validateLocalAccessReview(review)); err != nil {
		return err
	}
	review.Status = x.decide(subjectOf(review.Spec), review.Spec.ResourceAttributes, nil)
	return nil
}

func (x *exchange) selfAccessReview(obj kind.Object) error {
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	if err := invalidReview("SelfSubjectAccessReview", validateSelfAccessReview(review)); err != nil {
		return err
	}
	review.Status = x.decide(x.user, review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return nil
}

func (x *exchange) selfRulesReview(obj kind.Object) error {
	review := obj.(*authorizationv1.SelfSubjectRulesReview)
	namespace := review.Spec.Namespace
	if namespace == "" {
		return apierrors.NewBadRequest("no namespace on request")
	}
	rules, missing := rbac.RulesFor(x.server.cache.snapshot(), x.user, namespace)
	status := authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{},
		EvaluationError: strings.Join(missing, ", "), Incomplete: len(missing) > 0,
	}
	for _, r := range rules {
		if len(r.Resources) > 0 {
			status.ResourceRules = append(status.ResourceRules, authorizationv1.ResourceRule{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			status.NonResourceRules = append(status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	if _, node := nodeauth.NodeOf(x.user); node {
		status.Incomplete, status.EvaluationError = true, "node authorizer does not support user rule resolution"
	}
	*review = authorizationv1.SelfSubjectRulesReview{Status: status}
	return nil
}

// decide answers whether somebody may do something.
func (x *exchange) decide(user auth.User, resource *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	a := auth.Attributes{User: user}
	if path != nil {
		a.Verb, a.Path = path.Verb, path.Path
	} else {
		a.Verb, a.Group, a.Version, a.Resource = resource.Verb, resource.Group, resource.Version, resource.Resource
		a.Subresource, a.Namespace, a.Name = resource.Subresource, resource.Namespace, resource.Name
		a.FieldSelector, a.LabelSelector = fieldSelectorText(resource.FieldSelector), labelSelectorText(resource.LabelSelector)
	}
	allowed, reason := x.server.cfg.Authorizer(a)
	return authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason, EvaluationError: unreadSelectors(resource)}
}

func subjectOf(spec authorizationv1.SubjectAccessReviewSpec) auth.User {
	u := auth.User{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
	if len(spec.Extra) > 0 {
		u.Extra = make(map[string][]string, len(spec.Extra))
		for key, values := range spec.Extra {
			u.Extra[strings.ToLower(key)] = values
		}
	}
	return u
}

func fieldSelectorText(s *authorizationv1.FieldSelectorAttributes) string {
	if s == nil {
		return ""
	}
	var parts []string
	for _, r := range s.Requirements {
		switch {
		case len(r.Values) != 1:
		case r.Operator == metav1.FieldSelectorOpIn:
			parts = append(parts, fields.OneTermEqualSelector(r.Key, r.Values[0]).String())
		case r.Operator == metav1.FieldSelectorOpNotIn:
			parts = append(parts, fields.OneTermNotEqualSelector(r.Key, r.Values[0]).String())
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, ",")
	}
	return s.RawSelector
}

func labelSelectorText(s *authorizationv1.LabelSelectorAttributes) string {
	if s == nil {
		return ""
	}
	var parts []string
	for _, r := range s.Requirements {
		if selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}}); err == nil {
			parts = append(parts, selector.String())
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, ",")
	}
	return s.RawSelector
}
