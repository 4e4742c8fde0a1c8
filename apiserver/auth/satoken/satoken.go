// Package satoken signs and verifies the tokens of service accounts: JSON Web Tokens with Kubernetes' private claims,
// signed with ECDSA P-256 (ES256). Those that are asked for have an end and name their audiences; those in Secrets of
// type kubernetes.io/service-account-token last as long as the Secret, and have the form of upstream's older tokens.
//
// A [Keys] value knows what the tokens say and whether the signature is right; whether the account and the pod that
// they name still exist is for its caller to find out. It is immutable and safe for concurrent use. Errors say what
// is wrong with a token, in upstream's words; they are for TokenReviews and logs, never for who sent the token.
package satoken

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Leeway is how far clocks may be apart.
const Leeway = time.Minute

// Ref names an object by name and UID.
type Ref struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Bound is the claim "kubernetes.io": the account and what the token's life is bound to.
type Bound struct {
	Namespace      string `json:"namespace"`
	ServiceAccount Ref    `json:"serviceaccount"`
	Pod            *Ref   `json:"pod,omitempty"`
	Secret         *Ref   `json:"secret,omitempty"`
	Node           *Ref   `json:"node,omitempty"`
}

// Claims is what a token says.
type Claims struct {
	ID                             string
	Audiences                      []string
	IssuedAt, NotBefore, ExpiresAt time.Time
	// StaleAfter is when whoever uses the token should have had another one, zero if that is not said. The token is good
	// for longer.
	StaleAfter time.Time
	Bound      Bound
	// Lasting is a token without an end, which is good for the audiences of the API as long as the Secret that it is
	// bound to holds it. The Secret's UID is not in it.
	Lasting bool
}

// Subject returns the user name of the account.
func (c Claims) Subject() string {
	return "system:serviceaccount:" + c.Bound.Namespace + ":" + c.Bound.ServiceAccount.Name
}

// legacyIssuer is who lasting tokens say that has issued them, as in upstream.
const legacyIssuer = "kubernetes/serviceaccount"

// Keys signs with one key and verifies with all.
type Keys struct {
	issuer string
	signer jose.Signer
	verify []verifier // that which signs first
}

type verifier struct {
	Key
	id string
}

// Key is a key that tokens may be signed with.
type Key struct {
	Public *ecdsa.PublicKey
	// Ended is a key that counts for lasting tokens only. It is not shown to others.
	Ended bool
}

// New returns what signs tokens of an issuer with a key, and verifies those that are signed with it or with others.
func New(issuer string, signs *ecdsa.PrivateKey, others ...Key) (*Keys, error) {
	k := &Keys{issuer: issuer}
	for _, key := range append([]Key{{Public: &signs.PublicKey}}, others...) {
		der, err := x509.MarshalPKIXPublicKey(key.Public)
		if err != nil {
			return nil, fmt.Errorf("key of service account tokens: %w", err)
		}
		sum := sha256.Sum256(der)
		id := base64.RawURLEncoding.EncodeToString(sum[:])
		if !slices.ContainsFunc(k.verify, func(v verifier) bool { return v.id == id }) {
			k.verify = append(k.verify, verifier{key, id})
		}
	}
	var err error
	k.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: signs, KeyID: k.verify[0].id}}, nil)
	if err != nil {
		return nil, fmt.Errorf("key of service account tokens: %w", err)
	}
	return k, nil
}

// Issuer returns who the tokens say that has issued them.
func (k *Keys) Issuer() string { return k.issuer }

type private struct {
	Kubernetes struct {
		Bound
		WarnAfter *jwt.NumericDate `json:"warnafter,omitempty"`
	} `json:"kubernetes.io"`
}

// audience is the claim of that name. It is a list even of one, as in upstream's tokens: not every verifier takes a
// lone string for a list.
type audience struct {
	Audience []string `json:"aud,omitempty"`
}

// legacy is the private claims of a lasting token.
type legacy struct {
	Namespace  string `json:"kubernetes.io/serviceaccount/namespace,omitempty"`
	Secret     string `json:"kubernetes.io/serviceaccount/secret.name,omitempty"`
	Account    string `json:"kubernetes.io/serviceaccount/service-account.name,omitempty"`
	AccountUID string `json:"kubernetes.io/serviceaccount/service-account.uid,omitempty"`
}

// Sign returns the token that says the claims.
func (k *Keys) Sign(c Claims) (string, error) {
	var said, own any
	var to audience
	if c.Lasting {
		said = jwt.Claims{Issuer: legacyIssuer, Subject: c.Subject()}
		own = legacy{c.Bound.Namespace, c.Bound.Secret.Name, c.Bound.ServiceAccount.Name, c.Bound.ServiceAccount.UID}
	} else {
		said = jwt.Claims{
			Issuer: k.issuer, Subject: c.Subject(), ID: c.ID,
			IssuedAt: jwt.NewNumericDate(c.IssuedAt), NotBefore: jwt.NewNumericDate(c.NotBefore), Expiry: jwt.NewNumericDate(c.ExpiresAt),
		}
		var says private
		says.Kubernetes.Bound = c.Bound
		if !c.StaleAfter.IsZero() {
			says.Kubernetes.WarnAfter = jwt.NewNumericDate(c.StaleAfter)
		}
		own, to = says, audience{c.Audiences}
	}
	token, err := jwt.Signed(k.signer).Claims(said).Claims(own).Claims(to).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token of %s: %w", c.Subject(), err)
	}
	return token, nil
}

// Verify returns what a token says if one of these keys has signed it. The times in it are not checked yet: see
// [Claims.Check].
func (k *Keys) Verify(token string) (Claims, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Claims{}, fmt.Errorf("parse the token: %w", err)
	}
	var public jwt.Claims
	var own private
	var old legacy
	key, err := k.signed(parsed, &public, &own, &old)
	if err != nil {
		return Claims{}, err
	}
	if public.Issuer == legacyIssuer {
		c := Claims{Lasting: true, Audiences: []string{k.issuer}, Bound: Bound{
			Namespace: old.Namespace, ServiceAccount: Ref{old.Account, old.AccountUID}, Secret: &Ref{Name: old.Secret}}}
		if c.Bound.Namespace == "" || old.Account == "" || old.AccountUID == "" || old.Secret == "" || public.Subject != c.Subject() {
			return Claims{}, errors.New("service account token has an invalid subject")
		}
		return c, nil
	}
	c := Claims{ID: public.ID, Audiences: public.Audience, Bound: own.Kubernetes.Bound,
		IssuedAt: public.IssuedAt.Time(), NotBefore: public.NotBefore.Time(), ExpiresAt: public.Expiry.Time()}
	if stale := own.Kubernetes.WarnAfter; stale != nil {
		c.StaleAfter = stale.Time()
	}
	switch {
	case key.Ended:
		return Claims{}, errors.New("service account token is signed with a key that has ended")
	case public.Issuer != k.issuer:
		return Claims{}, errors.New("service account token has an invalid issuer")
	case c.Bound.Namespace == "" || c.Bound.ServiceAccount.Name == "" || public.Subject != c.Subject():
		return Claims{}, errors.New("service account token has an invalid subject")
	case public.Expiry == nil:
		return Claims{}, errors.New("service account token has no expiry")
	}
	return c, nil
}

// signed reads claims, and returns the key that has signed them.
func (k *Keys) signed(token *jwt.JSONWebToken, claims ...any) (Key, error) {
	id := token.Headers[0].KeyID // ParseSigned holds that there is one header
	for _, v := range k.verify {
		if (id == "" || id == v.id) && token.Claims(v.Public, claims...) == nil {
			return v.Key, nil
		}
	}
	return Key{}, errors.New("failed to verify signature")
}

// Check says why the token is not good at a time for one of the audiences. accepted are those of them that the token
// is for.
func (c Claims) Check(now time.Time, audiences []string) (accepted []string, err error) {
	switch {
	case c.Lasting:
	case now.Add(Leeway).Before(c.NotBefore):
		return nil, errors.New("service account token is not valid yet")
	case now.Add(-Leeway).After(c.ExpiresAt):
		return nil, errors.New("service account token has expired")
	}
	for _, a := range audiences {
		if slices.Contains(c.Audiences, a) {
			accepted = append(accepted, a)
		}
	}
	if len(accepted) == 0 {
		return nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", c.Audiences, audiences)
	}
	return accepted, nil
}

// JWKS returns the public keys as a JSON Web Key Set.
func (k *Keys) JWKS() ([]byte, error) {
	var set jose.JSONWebKeySet
	for _, v := range k.verify {
		if !v.Ended {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: v.Public, KeyID: v.id, Algorithm: string(jose.ES256), Use: "sig"})
		}
	}
	return json.Marshal(set)
}

// Discovery returns the OpenID Connect discovery document; jwksURI is where the key set is served.
func (k *Keys) Discovery(jwksURI string) ([]byte, error) {
	return json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	}{k.issuer, jwksURI, []string{"id_token"}, []string{"public"}, []string{string(jose.ES256)}})
}
