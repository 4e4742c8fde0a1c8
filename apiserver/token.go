package apiserver

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/satoken"
	"sampan/kind"
	"sampan/view"
)

// DefaultTokenIssuer is the issuer of service account tokens in a cluster that names none.
const DefaultTokenIssuer = "https://kubernetes.default.svc.cluster.local"

const (
	jwksPath      = "/openid/v1/jwks"
	discoveryPath = "/.well-known/openid-configuration"

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

// identity is what a token says of its sender.
type identity struct {
	user      auth.User
	audiences []string // those of the ones that were asked for
	// lasting is a token without an end; timely one that is due for renewal at some time, and that time is to come.
	lasting, timely bool
	stale           time.Duration // how long the renewal is overdue
}

// credentialOf names a token by its ID, as users' extra values and the audit log do.
func credentialOf(id string) string { return "JTI=" + id }

// tokenUser returns the service account that a token is of, and those of the audiences that it is for. The token
// ends with the account, and with the pod, Secret or node that it is bound to.
func (s *Server) tokenUser(token string, audiences []string) (identity, error) {
	c, err := s.tokens.verify(token)
	if err != nil {
		return identity{}, err
	}
	now := s.cfg.Now()
	accepted, err := c.Check(now, audiences)
	if err != nil {
		return identity{}, err
	}
	snap, b := s.cache.snapshot(), c.Bound
	namespaced := func(id kind.ID, name string) view.Key {
		return view.Key{Kind: id, Namespace: b.Namespace, Name: name}
	}
	if err := stillThere(snap, namespaced(kind.ServiceAccounts, b.ServiceAccount.Name), b.ServiceAccount, now); err != nil {
		return identity{}, err
	}
	user := auth.User{Name: c.Subject(), UID: b.ServiceAccount.UID, Groups: serviceAccountGroups(b.Namespace), Extra: map[string][]string{}}
	if c.ID != "" {
		user.Extra[auth.CredentialIDKey] = []string{credentialOf(c.ID)}
	}
	switch {
	case c.Lasting:
		if err := inItsSecret(snap, token, b); err != nil {
			return identity{}, err
		}
	case b.Secret != nil:
		if err := stillThere(snap, namespaced(kind.Secrets, b.Secret.Name), *b.Secret, now); err != nil {
			return identity{}, err
		}
	}
	if b.Pod != nil {
		if err := stillThere(snap, namespaced(kind.Pods, b.Pod.Name), *b.Pod, now); err != nil {
			return identity{}, err
		}
		user.Extra[extraPodName], user.Extra[extraPodUID] = []string{b.Pod.Name}, []string{b.Pod.UID}
	}
	if b.Node != nil {
		// The node of a pod is told, not looked up: the token ends with the pod.
		if b.Pod == nil {
			if err := stillThere(snap, view.Key{Kind: kind.Nodes, Name: b.Node.Name}, *b.Node, now); err != nil {
				return identity{}, err
			}
		}
		user.Extra[extraNodeName] = []string{b.Node.Name}
		if b.Node.UID != "" {
			user.Extra[extraNodeUID] = []string{b.Node.UID}
		}
	}
	known := identity{user: user.Authenticated(), audiences: accepted, lasting: c.Lasting}
	if !c.StaleAfter.IsZero() {
		known.stale = max(0, now.Sub(c.StaleAfter))
		known.timely = known.stale == 0
	}
	return known, nil
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
