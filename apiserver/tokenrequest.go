package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/admit"
	"sampan/apiserver/auth/satoken"
	"sampan/kind"
	"sampan/view"
)

const (
	// The bounds of a token's life, as in upstream.
	minTokenSeconds     = 10 * 60
	maxTokenSeconds     = 1 << 32
	defaultTokenSeconds = 60 * 60

	// MaxTokenLife is the longest life of a token that is asked for. Whoever wants more gets this and a warning, so
	// that keys can be replaced: they are trusted as long as their tokens live.
	MaxTokenLife = 365 * 24 * time.Hour

	// extendedTokenSeconds is the life that admission asks for in the token of a pod, told by this number from lives
	// that users ask for. Such a token is good for a year, as in upstream: a program that reads its token only once
	// goes on working, and the audit log and the metrics tell of it.
	extendedTokenSeconds = 3607
)

func tokenRequestGVK() schema.GroupVersionKind {
	return authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
}

// createToken issues a token of the service account that r names. The answer is the request with its status.
func (s *Server) createToken(r request, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	out := req.DeepCopy()
	snap, now := s.cache.snapshot(), apiTime(s.cfg.Now())
	account, ok := view.Get[*corev1.ServiceAccount](snap, kind.ServiceAccounts, r.key.Namespace, r.key.Name)
	if !ok {
		return nil, r.notFound()
	}
	if out.UID != "" && out.UID != account.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: authenticationv1.GroupName, Resource: tokenRequestGVK().Kind}, r.key.Name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", out.UID, account.UID))
	}
	out.Name, out.Namespace, out.UID, out.CreationTimestamp = account.Name, account.Namespace, account.UID, now
	if err := s.admission(r, admit.Create, out, nil, snap); err != nil {
		return nil, err
	}
	api := []string{s.tokens.keys().Issuer()}
	if len(out.Spec.Audiences) == 0 {
		out.Spec.Audiences = api
	}
	if out.Spec.ExpirationSeconds == nil {
		out.Spec.ExpirationSeconds = new(int64(defaultTokenSeconds))
	}
	if errs := validateTokenRequest(out); len(errs) > 0 {
		return nil, invalid(tokenRequestGVK().GroupKind(), "", errs)
	}
	bound, err := s.boundTo(snap, account, out.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	if longest := int64(MaxTokenLife / time.Second); *out.Spec.ExpirationSeconds > longest {
		r.warning(fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *out.Spec.ExpirationSeconds, longest))
		*out.Spec.ExpirationSeconds = longest
	}
	expires := metav1.NewTime(now.Add(time.Duration(*out.Spec.ExpirationSeconds) * time.Second))
	claims := satoken.Claims{
		ID: string(s.cfg.NewUID()), Audiences: out.Spec.Audiences,
		IssuedAt: now.Time, NotBefore: now.Time, ExpiresAt: expires.Time, Bound: bound,
	}
	if *out.Spec.ExpirationSeconds == extendedTokenSeconds && bound.Pod != nil && slices.Equal(out.Spec.Audiences, api) {
		claims.StaleAfter, claims.ExpiresAt = expires.Time, now.Add(MaxTokenLife)
	}
	token, err := s.tokens.keys().Sign(claims)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: expires}
	r.annotation("authentication.kubernetes.io/issued-credential-id", credentialOf(claims.ID))
	return out, nil
}

func validateTokenRequest(req *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "expirationSeconds")
	switch seconds := *req.Spec.ExpirationSeconds; {
	case seconds < minTokenSeconds:
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration less than 10 minutes"))
	case seconds > maxTokenSeconds:
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

// boundTo returns what a token's life is bound to: the account, and the object that is asked for.
func (s *Server) boundTo(snap *view.Snapshot, account *corev1.ServiceAccount, ref *authenticationv1.BoundObjectReference) (satoken.Bound, error) {
	b := satoken.Bound{
		Namespace:      account.Namespace,
		ServiceAccount: satoken.Ref{Name: account.Name, UID: string(account.UID)},
	}
	if ref == nil {
		return b, nil
	}
	var key view.Key
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	switch gvk.GroupKind() { // upstream lets the version go unsaid
	case schema.GroupKind{Kind: "Pod"}:
		key = view.Key{Kind: kind.Pods, Namespace: account.Namespace, Name: ref.Name}
	case schema.GroupKind{Kind: "Secret"}:
		key = view.Key{Kind: kind.Secrets, Namespace: account.Namespace, Name: ref.Name}
	case schema.GroupKind{Kind: "Node"}:
		key = view.Key{Kind: kind.Nodes, Name: ref.Name}
	default:
		return b, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk))
	}
	obj := snap.Get(key)
	if obj == nil {
		return b, apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	bound := &satoken.Ref{Name: obj.GetName(), UID: string(obj.GetUID())}
	switch obj := obj.(type) {
	case *corev1.Pod:
		if obj.Spec.ServiceAccountName != account.Name {
			return b, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", account.Name))
		}
		b.Pod = bound
		if obj.Spec.NodeName != "" {
			b.Node = &satoken.Ref{Name: obj.Spec.NodeName}
			if n := snap.Get(view.Key{Kind: kind.Nodes, Name: obj.Spec.NodeName}); n != nil {
				b.Node.UID = string(n.GetUID())
			}
		}
	case *corev1.Secret:
		b.Secret = bound
	case *corev1.Node:
		b.Node = bound
	}
	if ref.UID != "" && ref.UID != obj.GetUID() {
		return b, apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, ref.Name,
			fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	return b, nil
}

// Token returns a token of a service account: the request with its status.
func (l *Local) Token(_ context.Context, serviceAccount view.Key, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	serviceAccount.Kind = kind.ServiceAccounts
	r, err := l.requestFor(serviceAccount, "token")
	if err != nil {
		return nil, err
	}
	return l.server.createToken(r, req)
}

// token is POST …/serviceaccounts/NAME/token.
func (x *exchange) token() error {
	a, err := x.negotiated(false)
	if err != nil {
		return err
	}
	body := new(authenticationv1.TokenRequest)
	if err := x.readPosted(tokenRequestGVK(), body); err != nil {
		return err
	}
	if body.Name != "" && body.Name != x.route.name {
		return invalid(tokenRequestGVK().GroupKind(), x.route.name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "name"), body.Name, "must match the service account name if specified")})
	}
	if _, err := dryRun(x.dryRun(), "CreateOptions"); err != nil {
		return err // a token is nothing that is kept, so a dry run makes no difference
	}
	answer, err := x.server.createToken(x.req, body)
	if err != nil {
		return err
	}
	writeRuntimeObject(x.w, x.r, http.StatusCreated, a, tokenRequestGVK(), answer)
	return nil
}
