package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	asn1util "k8s.io/apimachinery/pkg/apis/asn1"
)

// verifiedMax is how many verified certificates are remembered.
const verifiedMax = 1024

// Certificates finds out who sends a request from the client certificate of its connection: the common name is the
// user, the organizations are the groups, and its fingerprint is in the user's extra values. What was verified once is
// remembered until it ends, because a signature costs more than most requests.
type Certificates struct {
	now func() time.Time

	mu       sync.Mutex // guards what follows
	roots    *x509.CertPool
	verified map[string]verified // by roots
}

// uidAttribute is the attribute of a certificate's subject that holds the user's UID, as in KEP-4706.
var uidAttribute = asn1util.X509UID()

type verified struct {
	user           User
	from, notAfter time.Time
}

// NewCertificates returns an authenticator that trusts certificates for clients which roots have signed.
func NewCertificates(roots *x509.CertPool, now func() time.Time) *Certificates {
	return &Certificates{roots: roots, now: now, verified: make(map[string]verified)}
}

// Trust replaces the roots.
func (c *Certificates) Trust(roots *x509.CertPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roots = roots
	clear(c.verified)
}

// User returns the user of a connection. ok is false if the connection has no certificate; the error says why one
// is not accepted.
func (c *Certificates) User(state *tls.ConnectionState) (u User, ok bool, err error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return User{}, false, nil
	}
	leaf := state.PeerCertificates[0]
	now := c.now()
	c.mu.Lock()
	v, known := c.verified[string(leaf.Raw)]
	roots := c.roots
	c.mu.Unlock()
	if !known || now.Before(v.from) || now.After(v.notAfter) {
		if v, err = verify(roots, state.PeerCertificates, now); err != nil {
			return User{}, false, err
		}
		c.mu.Lock()
		if len(c.verified) >= verifiedMax {
			clear(c.verified)
		}
		if c.roots == roots {
			c.verified[string(leaf.Raw)] = v
		}
		c.mu.Unlock()
	}
	return v.user, true, nil
}

func verify(roots *x509.CertPool, sent []*x509.Certificate, now time.Time) (verified, error) {
	leaf := sent[0]
	opts := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, cert := range sent[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		return verified{}, fmt.Errorf("verifying certificate SN=%d, SKID=%X, AKID=%X failed: %w", leaf.SerialNumber, leaf.SubjectKeyId, leaf.AuthorityKeyId, err)
	}
	if leaf.Subject.CommonName == "" {
		return verified{}, errors.New("the client certificate has no common name, so it names no user")
	}
	v := verified{from: leaf.NotBefore, notAfter: leaf.NotAfter}
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(v.notAfter) {
			v.notAfter = cert.NotAfter
		}
	}
	uid, err := certificateUID(leaf)
	if err != nil {
		return verified{}, err
	}
	fingerprint := sha256.Sum256(leaf.Raw)
	v.user = User{
		Name: leaf.Subject.CommonName, UID: uid, Groups: leaf.Subject.Organization,
		Extra: map[string][]string{CredentialIDKey: {"X509SHA256=" + hex.EncodeToString(fingerprint[:])}},
	}.Authenticated()
	return v, nil
}

// certificateUID returns the UID of the user that a certificate names, empty if it says none.
func certificateUID(cert *x509.Certificate) (string, error) {
	var uid string
	for _, name := range cert.Subject.Names {
		if !name.Type.Equal(uidAttribute) {
			continue
		}
		text, ok := name.Value.(string)
		if !ok || text == "" || uid != "" {
			return "", errors.New("the UID in the subject of the client certificate is empty, no text, or there twice")
		}
		uid = text
	}
	return uid, nil
}
