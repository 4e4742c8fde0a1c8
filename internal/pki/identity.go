package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Identity is by what the parts of a system know each other: the authorities that sign their certificates and the
// keys that sign their tokens, each oldest first. It is a value that is kept as a whole, so those who share it agree;
// [Identity.Advance] replaces what comes to its end. Nobody writes to an Identity that others have.
type Identity struct {
	Authorities []Authority `json:"authorities"`
	TokenKeys   []TokenKey  `json:"tokenKeys"`
}

// Life says from when to when something is used.
type Life struct {
	Made time.Time `json:"made"`
	// SignsFrom is when it begins to sign; until then it is only shown to those who shall trust it.
	SignsFrom time.Time `json:"signsFrom"`
	// Until is when it is no longer trusted; zero as long as that is not known.
	Until time.Time `json:"until,omitzero"`
}

// ended reports whether it is no longer trusted.
func (l Life) ended(now time.Time) bool { return !l.Until.IsZero() && !l.Until.After(now) }

// Authority is a certificate authority.
type Authority struct {
	Life
	Certificate string `json:"certificate"` // PEM
	// Cross is its certificate as the authority before it has signed it, which leads those who know only that one
	// to the newer one; "" for one that follows none.
	Cross string `json:"crossCertificate,omitempty"`
	// Key is PEM, "" once the authority does not sign any more.
	Key string `json:"key,omitempty"`
}

// TokenKey is a key for signing tokens. The public half stays when its life has ended, for tokens that have no end.
type TokenKey struct {
	Life
	Public string `json:"public"` // PEM
	// Private is PEM, "" once the key does not sign any more.
	Private string `json:"private,omitempty"`
}

// ParseIdentity reads what [Identity.Encode] has written.
func ParseIdentity(data []byte) (Identity, error) {
	var i Identity
	if err := json.Unmarshal(data, &i); err != nil {
		return Identity{}, err
	}
	for _, a := range i.Authorities {
		if _, err := a.ca(); err != nil {
			return Identity{}, err
		}
	}
	for _, k := range i.TokenKeys {
		if _, _, err := k.parse(); err != nil {
			return Identity{}, err
		}
	}
	return i, nil
}

// Encode returns the identity as JSON. It holds private keys.
func (i Identity) Encode() []byte {
	data, err := json.Marshal(i)
	if err != nil {
		panic(err) // strings and times
	}
	return data
}

// Advance returns the identity that follows at a time: [Identity.Next], and what that wants made. changed is false
// if it is the same.
func (i Identity) Advance(rules Rules, now time.Time) (next Identity, changed bool, err error) {
	next, want := i.Next(rules, now)
	if want.Authority != nil {
		a, err := newAuthority(rules.AuthorityName, *want.Authority, next.Authorities)
		if err != nil {
			return Identity{}, false, err
		}
		next.Authorities = append(next.Authorities, a)
	}
	if want.TokenKey != nil {
		k, err := newTokenKey(*want.TokenKey)
		if err != nil {
			return Identity{}, false, err
		}
		next.TokenKeys = append(next.TokenKeys, k)
	}
	return next, !bytes.Equal(next.Encode(), i.Encode()), nil
}

// newAuthority makes an authority that the newest of the others has signed too. Each has a name of its own, since
// some who verify chains look for issuers by name.
func newAuthority(name string, life Life, others []Authority) (Authority, error) {
	if len(others) > 0 {
		name = fmt.Sprintf("%s@%d", name, life.Made.Unix())
	}
	ca, err := newCA(name, life.Made, life.Until)
	if err != nil {
		return Authority{}, err
	}
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return Authority{}, fmt.Errorf("encode key of certificate authority %s: %w", name, err)
	}
	a := Authority{Life: life, Certificate: string(ca.CertPEM), Key: string(keyPEM)}
	if len(others) == 0 || others[len(others)-1].ended(life.Made) {
		return a, nil
	}
	before, err := others[len(others)-1].ca()
	if err != nil {
		return Authority{}, err
	}
	cross, err := before.cross(ca)
	if err != nil {
		return Authority{}, err
	}
	a.Cross = string(cross)
	return a, nil
}

func newTokenKey(life Life) (TokenKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return TokenKey{}, fmt.Errorf("make a key for tokens: %w", err)
	}
	return tokenKeyOf(key, life)
}

func tokenKeyOf(key *ecdsa.PrivateKey, life Life) (TokenKey, error) {
	private, err := encodeKey(key)
	if err != nil {
		return TokenKey{}, fmt.Errorf("encode a key for tokens: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return TokenKey{}, fmt.Errorf("encode a key for tokens: %w", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return TokenKey{Life: life, Public: string(public), Private: string(private)}, nil
}

// ca parses the authority; without a key it cannot sign.
func (a Authority) ca() (*CA, error) {
	cert, err := parseCertificate([]byte(a.Certificate))
	if err != nil {
		return nil, fmt.Errorf("certificate authority made on %s: %w", a.Made.Format(time.DateOnly), err)
	}
	ca := &CA{Certificate: cert, CertPEM: []byte(a.Certificate), chain: []byte(a.Cross)}
	if a.Key == "" {
		return ca, nil
	}
	if ca.key, err = parseKey([]byte(a.Key)); err != nil {
		return nil, fmt.Errorf("key of the certificate authority made on %s: %w", a.Made.Format(time.DateOnly), err)
	}
	if !ca.key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("the certificate authority made on %s does not fit its key", a.Made.Format(time.DateOnly))
	}
	return ca, nil
}

// parse returns the halves of the key; private is nil if it does not sign any more.
func (k TokenKey) parse() (public *ecdsa.PublicKey, private *ecdsa.PrivateKey, err error) {
	wrong := func(err error) error {
		return fmt.Errorf("key for tokens made on %s: %w", k.Made.Format(time.DateOnly), err)
	}
	block, _ := pem.Decode([]byte(k.Public))
	if block == nil {
		return nil, nil, wrong(errors.New("no PEM key in it"))
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, wrong(err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, wrong(errors.New("it is not an ECDSA key"))
	}
	if k.Private != "" {
		if private, err = parseKey([]byte(k.Private)); err != nil {
			return nil, nil, wrong(err)
		}
	}
	return public, private, nil
}

// Bundle returns the certificates of all authorities that are trusted, PEM.
func (i Identity) Bundle() []byte {
	var all strings.Builder
	for _, a := range i.Authorities {
		all.WriteString(strings.TrimSpace(a.Certificate) + "\n")
	}
	return []byte(all.String())
}

// CA returns the authority that signs at a time.
func (i Identity) CA(now time.Time) (*CA, error) {
	n := signer(i.Authorities, now)
	if n < 0 {
		return nil, errors.New("there is no certificate authority that signs")
	}
	return i.Authorities[n].ca()
}

// VerifyKey is a key that tokens may be signed with.
type VerifyKey struct {
	Key *ecdsa.PublicKey
	// Ended is a key that counts only for tokens that have no end.
	Ended bool
}

// Keys returns the key that signs tokens at a time, and all that tokens may be signed with.
func (i Identity) Keys(now time.Time) (signs *ecdsa.PrivateKey, verify []VerifyKey, err error) {
	at := signer(i.TokenKeys, now)
	for n, k := range i.TokenKeys {
		public, private, err := k.parse()
		if err != nil {
			return nil, nil, err
		}
		verify = append(verify, VerifyKey{public, k.ended(now)})
		if n == at {
			signs = private
		}
	}
	if signs == nil {
		return nil, nil, errors.New("there is no key that signs tokens")
	}
	return signs, verify, nil
}
