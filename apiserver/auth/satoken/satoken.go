// Package satoken signs and verifies the tokens of service accounts: JSON Web Tokens with Kubernetes' private claims,
// signed with ECDSA P-256 (ES256).
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
	Bound                          Bound
}

// Subject returns the user name of the account.
func (c Claims) Subject() string {
	return "system:serviceaccount:" + c.Bound.Namespace + ":" + c.Bound.ServiceAccount.Name
}

// Keys signs and verifies.
type Keys struct {
	issuer string
	keyID  string
	signer jose.Signer
	public *ecdsa.PublicKey
}

// New returns what signs and verifies tokens of an issuer with a key.
func New(issuer string, key *ecdsa.PrivateKey) (*Keys, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("key of service account tokens: %w", err)
	}
	sum := sha256.Sum256(der)
	k := &Keys{issuer: issuer, keyID: base64.RawURLEncoding.EncodeToString(sum[:]), public: &key.PublicKey}
	k.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: k.keyID}}, nil)
	if err != nil {
		return nil, fmt.Errorf("key of service account tokens: %w", err)
	}
	return k, nil
}

// Issuer returns who the tokens say that has issued them.
func (k *Keys) Issuer() string { return k.issuer }

type private struct {
	Kubernetes Bound `json:"kubernetes.io"`
}

// Sign returns the token that says the claims.
func (k *Keys) Sign(c Claims) (string, error) {
	token, err := jwt.Signed(k.signer).Claims(jwt.Claims{
		Issuer: k.issuer, Subject: c.Subject(), Audience: c.Audiences, ID: c.ID,
		IssuedAt: jwt.NewNumericDate(c.IssuedAt), NotBefore: jwt.NewNumericDate(c.NotBefore), Expiry: jwt.NewNumericDate(c.ExpiresAt),
	}).Claims(private{c.Bound}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token of %s: %w", c.Subject(), err)
	}
	return token, nil
}

// Verify returns what a token says if these keys have signed it. The times in it are not checked yet: see
// [Claims.Check].
func (k *Keys) Verify(token string) (Claims, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Claims{}, fmt.Errorf("parse the token: %w", err)
	}
	var public jwt.Claims
	var own private
	if err := parsed.Claims(k.public, &public, &own); err != nil {
		return Claims{}, errors.New("failed to verify signature")
	}
	c := Claims{ID: public.ID, Audiences: public.Audience, Bound: own.Kubernetes,
		IssuedAt: public.IssuedAt.Time(), NotBefore: public.NotBefore.Time(), ExpiresAt: public.Expiry.Time()}
	switch {
	case public.Issuer != k.issuer:
		return Claims{}, errors.New("service account token has an invalid issuer")
	case c.Bound.Namespace == "" || c.Bound.ServiceAccount.Name == "" || public.Subject != c.Subject():
		return Claims{}, errors.New("service account token has an invalid subject")
	case public.Expiry == nil:
		return Claims{}, errors.New("service account token has no expiry")
	}
	return c, nil
}

// Check says why the token is not good at a time for one of the audiences. accepted are those of them that the token
// is for.
func (c Claims) Check(now time.Time, audiences []string) (accepted []string, err error) {
	switch {
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
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.public, KeyID: k.keyID, Algorithm: string(jose.ES256), Use: "sig"}}})
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
