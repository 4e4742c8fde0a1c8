package apiserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/nodeauth"
	"sampan/apiserver/auth/satoken"
	"sampan/kind"
	"sampan/view"
)

// DefaultTokenIssuer is the issuer of service account tokens in a cluster that names none.
const DefaultTokenIssuer = "https://kubernetes.default.svc.cluster.local"

const (
	jwksPath      = "/openid/v1/jwks"
	discoveryPath = "/.well-known/openid-configuration"

	// The bounds of a token's life, as in upstream.
	minTokenSeconds     = 10 * 60
	maxTokenSeconds     = 1 << 32
	defaultTokenSeconds = 60 * 60

	// MaxTokenLife is the longest life of a token that is asked for. Whoever wants more gets this and a warning, so
	// that keys can be replaced: they are trusted as long as their tokens live.
	MaxTokenLife = 365 * 24 * time.Hour

	// deletedLeeway is how long the tokens of an object that is being deleted are still good, so that its last
	// words are heard.
	deletedLeeway = time.Minute

	verifiedTokensMax = 4096
)

// The keys of what a token's user carries beside name and groups.
const (
	extraPodName  = "authentication.kubernetes.io/pod-name"
	extraPodUID   = "authentication.kubernetes.io/pod-uid"
	extraNodeName = "authentication.kubernetes.io/node-name"
	extraNodeUID  = "authentication.kubernetes.io/node-uid"
)

func tokenRequestGVK() schema.GroupVersionKind {
	return authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
}

// tokens is the keys for tokens, and what is known of those that were verified: a signature costs more than most
// requests. That a token is still good is looked up every time.
type tokens struct {
	mu       sync.Mutex // guards what follows
	current  *satoken.Keys
	verified map[[sha256.Size]byte]satoken.Claims // by the current keys
}

func newTokens(keys *satoken.Keys) *tokens {
	return &tokens{current: keys, verified: make(map[[sha256.Size]byte]satoken.Claims)}
}

// keys returns the keys of the moment.
func (t *tokens) keys() *satoken.Keys {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

func (t *tokens) trust(keys *satoken.Keys) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = keys
	clear(t.verified)
}

func (t *tokens) verify(token string) (satoken.Claims, error) {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	c, ok := t.verified[sum]
	keys := t.current
	t.mu.Unlock()
	if ok {
		return c, nil
	}
	c, err := keys.Verify(token)
	if err != nil {
		return c, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= verifiedTokensMax {
		clear(t.verified)
	}
	if t.current == keys {
		t.verified[sum] = c
	}
	return c, nil
}

// tokenUser returns the service account that a token is of, and those of the audiences that it is for. The token
// ends with the account, and with the pod, Secret or node that it is bound to.
func (s *Server) tokenUser(token string, audiences []string) (auth.User, []string, error) {
	c, err := s.tokens.verify(token)
	if err != nil {
		return auth.User{}, nil, err
	}
	now := s.cfg.Now()
	accepted, err := c.Check(now, audiences)
	if err != nil {
		return auth.User{}, nil, err
	}
	snap, b := s.cache.snapshot(), c.Bound
	namespaced := func(id kind.ID, name string) view.Key {
		return view.Key{Kind: id, Namespace: b.Namespace, Name: name}
	}
	if err := stillThere(snap, namespaced(kind.ServiceAccounts, b.ServiceAccount.Name), b.ServiceAccount, now); err != nil {
		return auth.User{}, nil, err
	}
	user := auth.User{Name: c.Subject(), UID: b.ServiceAccount.UID, Groups: serviceAccountGroups(b.Namespace), Extra: map[string][]string{}}
	if c.ID != "" {
		user.Extra[auth.CredentialIDKey] = []string{"JTI=" + c.ID}
	}
	switch {
	case c.Lasting:
		if err := inItsSecret(snap, token, b); err != nil {
			return auth.User{}, nil, err
		}
	case b.Secret != nil:
		if err := stillThere(snap, namespaced(kind.Secrets, b.Secret.Name), *b.Secret, now); err != nil {
			return auth.User{}, nil, err
		}
	}
	if b.Pod != nil {
		if err := stillThere(snap, namespaced(kind.Pods, b.Pod.Name), *b.Pod, now); err != nil {
			return auth.User{}, nil, err
		}
		user.Extra[extraPodName], user.Extra[extraPodUID] = []string{b.Pod.Name}, []string{b.Pod.UID}
	}
	if b.Node != nil {
		// The node of a pod is told, not looked up: the token ends with the pod.
		if b.Pod == nil {
			if err := stillThere(snap, view.Key{Kind: kind.Nodes, Name: b.Node.Name}, *b.Node, now); err != nil {
				return auth.User{}, nil, err
			}
		}
		user.Extra[extraNodeName] = []string{b.Node.Name}
		if b.Node.UID != "" {
			user.Extra[extraNodeUID] = []string{b.Node.UID}
		}
	}
	return user.Authenticated(), accepted, nil
}

// stillThere returns an error if an object that a token is bound to is gone, going, or another one of the name.
func stillThere(snap *view.Snapshot, key view.Key, ref satoken.Ref, now time.Time) error {
	obj := snap.Get(key)
	switch {
	case obj == nil:
		return fmt.Errorf("%s, which the token is bound to, is not there", key)
	case string(obj.GetUID()) != ref.UID:
		return fmt.Errorf("the UID of %s (%s) does not match the claim (%s)", key, obj.GetUID(), ref.UID)
	case obj.GetDeletionTimestamp() != nil && obj.GetDeletionTimestamp().Add(deletedLeeway).Before(now):
		return fmt.Errorf("%s, which the token is bound to, has been deleted", key)
	}
	return nil
}

// createToken issues a token of the service account that r names. The answer is the request with its status.
func (s *Server) createToken(r request, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	out := req.DeepCopy()
	snap, now := s.cache.snapshot(), apiTime(s.cfg.Now())
	account, ok := view.Get[*corev1.ServiceAccount](snap, kind.ServiceAccounts, r.key.Namespace, r.key.Name)
	if !ok {
		return nil, r.notFound()
	}
	if len(out.Spec.Audiences) == 0 {
		out.Spec.Audiences = []string{s.tokens.keys().Issuer()}
	}
	if out.Spec.ExpirationSeconds == nil {
		out.Spec.ExpirationSeconds = new(int64)
		*out.Spec.ExpirationSeconds = defaultTokenSeconds
	}
	if errs := validateTokenRequest(out); len(errs) > 0 {
		return nil, invalid(tokenRequestGVK().GroupKind(), out.Name, errs)
	}
	if longest := int64(MaxTokenLife / time.Second); *out.Spec.ExpirationSeconds > longest {
		r.warning(fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *out.Spec.ExpirationSeconds, longest))
		*out.Spec.ExpirationSeconds = longest
	}
	bound, err := s.boundTo(snap, r, account, out.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	expires := metav1.NewTime(now.Add(time.Duration(*out.Spec.ExpirationSeconds) * time.Second))
	token, err := s.tokens.keys().Sign(satoken.Claims{
		ID: string(s.cfg.NewUID()), Audiences: out.Spec.Audiences,
		IssuedAt: now.Time, NotBefore: now.Time, ExpiresAt: expires.Time, Bound: bound,
	})
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out.Name, out.Namespace, out.CreationTimestamp = account.Name, account.Namespace, now
	out.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: expires}
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
func (s *Server) boundTo(snap *view.Snapshot, r request, account *corev1.ServiceAccount, ref *authenticationv1.BoundObjectReference) (satoken.Bound, error) {
	b := satoken.Bound{
		Namespace:      account.Namespace,
		ServiceAccount: satoken.Ref{Name: account.Name, UID: string(account.UID)},
	}
	node, isNode := nodeauth.NodeOf(r.user)
	if ref == nil {
		if isNode {
			return b, tokenForbidden(r, "node requested token not bound to a pod")
		}
		return b, nil
	}
	var key view.Key
	switch gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind); gvk {
	case corev1.SchemeGroupVersion.WithKind("Pod"):
		key = view.Key{Kind: kind.Pods, Namespace: account.Namespace, Name: ref.Name}
	case corev1.SchemeGroupVersion.WithKind("Secret"):
		key = view.Key{Kind: kind.Secrets, Namespace: account.Namespace, Name: ref.Name}
	case corev1.SchemeGroupVersion.WithKind("Node"):
		key = view.Key{Kind: kind.Nodes, Name: ref.Name}
	default:
		return b, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk))
	}
	if isNode {
		switch pod, ok := view.Get[*corev1.Pod](snap, kind.Pods, key.Namespace, key.Name); {
		case key.Kind != kind.Pods:
			return b, tokenForbidden(r, "node requested token not bound to a pod")
		case ref.UID == "":
			return b, tokenForbidden(r, "node requested token with a pod binding without a uid")
		case ok && pod.Spec.NodeName != node:
			return b, tokenForbidden(r, "node requested token bound to a pod scheduled on a different node")
		}
	}
	obj := snap.Get(key)
	if obj == nil {
		return b, apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	if ref.UID != "" && ref.UID != obj.GetUID() {
		return b, r.conflict(fmt.Sprintf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
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
	return b, nil
}

func tokenForbidden(r request, message string) error {
	return apierrors.NewForbidden(r.groupResource(), r.key.Name, errors.New(message))
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
	if err := x.read(tokenRequestGVK(), body); err != nil {
		return err
	}
	switch {
	case body.Name != "" && body.Name != x.route.name:
		return apierrors.NewBadRequest("name in URL does not match name in TokenRequest object")
	case body.Namespace != "" && body.Namespace != x.route.namespace:
		return apierrors.NewBadRequest("namespace in URL does not match namespace in TokenRequest object")
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

// addTokenDocuments adds what tells others how to verify the tokens of this cluster.
func (s *Server) addTokenDocuments(d *documents) {
	d.makes[jwksPath] = func() (document, error) {
		data, err := s.tokens.keys().JWKS()
		return document{media: "application/jwk-set+json", data: data, changes: true}, err
	}
	d.makes[discoveryPath] = func() (document, error) {
		base := s.cfg.PublicURL
		if base == "" {
			base = s.tokens.keys().Issuer()
		}
		data, err := s.tokens.keys().Discovery(base + jwksPath)
		return document{media: mediaJSON, data: data}, err
	}
}
