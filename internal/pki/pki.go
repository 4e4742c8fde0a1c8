// Package pki makes and keeps X.509 certificates, and rotates what they stand on. An [Identity] is the authorities
// and the keys for tokens of a system; [Identity.Next] decides what follows them and when. A [CA] signs, and a
// [Keeper] holds a certificate of it in files and in memory. Keys are ECDSA P-256.
//
// Certificates are made when they are missing or no longer fit ([Stale] decides), so they are kept at every start.
// Files are written by a rename, keys with mode 0600; a crash at any moment leaves the old file, the new one, or a
// pair that does not fit, which the next start replaces.
//
// Callers must keep two processes from keeping certificates in the same folder at once.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// How long certificates are valid. They are valid from an hour before they are made, because the clocks of
// those who check them may be behind.
const (
	leafLife = 365 * 24 * time.Hour
	backdate = time.Hour
)

// CA is a certificate authority.
type CA struct {
	Certificate *x509.Certificate
	CertPEM     []byte

	key   *ecdsa.PrivateKey // nil: it signs no more
	chain []byte            // PEM: leads those to this authority who only know the one before it
}

// Pair is a certificate and its key, PEM-encoded.
type Pair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// TLS returns the pair for use in a tls.Config.
func (p Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.CertPEM, p.KeyPEM) }

// Request says what a certificate is for.
type Request struct {
	CommonName    string
	Organizations []string
	// DNSNames and IPs make a server certificate.
	DNSNames []string
	IPs      []netip.Addr
	// Server and Client are the uses that the certificate allows.
	Server, Client bool
}

// NewCA makes an authority that lasts for ten years.
func NewCA(name string, now time.Time) (*CA, error) { return newCA(name, now, now.Add(authorityLife)) }

func newCA(name string, made, until time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of certificate authority %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             made.Add(-backdate),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	ca := &CA{key: key}
	if ca.CertPEM, err = sign(template, template, &key.PublicKey, key); err == nil {
		ca.Certificate, err = parseCertificate(ca.CertPEM)
	}
	if err != nil {
		return nil, fmt.Errorf("make certificate authority %s: %w", name, err)
	}
	return ca, nil
}

// cross returns the certificate of another authority, PEM, signed by this one.
func (ca *CA) cross(other *CA) ([]byte, error) {
	template := *other.Certificate
	template.SerialNumber = serial()
	template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // that of this authority's key
	if ca.Certificate.NotAfter.Before(template.NotAfter) {
		template.NotAfter = ca.Certificate.NotAfter
	}
	certPEM, err := sign(&template, ca.Certificate, template.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate authority %s: %w", template.Subject.CommonName, err)
	}
	return certPEM, nil
}

// Issue makes a certificate.
func (ca *CA) Issue(req Request, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key of %s: %w", req.CommonName, err)
	}
	template := &x509.Certificate{
		PublicKey:             &key.PublicKey,
		Subject:               pkix.Name{CommonName: req.CommonName, Organization: req.Organizations},
		DNSNames:              req.DNSNames,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		ExtKeyUsage:           req.usages(),
	}
	for _, ip := range req.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	certPEM, err := ca.Sign(template)
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key of %s: %w", req.CommonName, err)
	}
	return Pair{CertPEM: certPEM, KeyPEM: keyPEM}, nil
}

// Sign returns the certificate, PEM, that a template with a public key asks for. It gets a serial number, and ends no
// later than the authority.
func (ca *CA) Sign(template *x509.Certificate) ([]byte, error) {
	cert := *template
	cert.SerialNumber = serial()
	if ca.Certificate.NotAfter.Before(cert.NotAfter) {
		cert.NotAfter = ca.Certificate.NotAfter
	}
	if !cert.NotBefore.Before(cert.NotAfter) {
		return nil, fmt.Errorf("the certificate authority ends on %s", ca.Certificate.NotAfter.Format(time.DateOnly))
	}
	certPEM, err := sign(&cert, ca.Certificate, cert.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", cert.Subject.CommonName, err)
	}
	if slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		certPEM = append(certPEM, ca.chain...)
	}
	return certPEM, nil
}

// Ensure returns the certificate in dir/name.crt and dir/name.key. It makes a new one if there is none, or if
// the one that is there is broken or Stale.
func (ca *CA) Ensure(dir, name string, req Request, now time.Time) (Pair, error) {
	crtPath, keyPath := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if pair, ok := loadPair(crtPath, keyPath); ok {
		cert, err := parseCertificate(pair.CertPEM)
		if err == nil && Stale(cert, ca.Certificate, req, now) == "" {
			return pair, nil
		}
	}
	pair, err := ca.Issue(req, now)
	if err != nil {
		return Pair{}, err
	}
	if err := writePair(crtPath, keyPath, pair); err != nil {
		return Pair{}, fmt.Errorf("write certificate of %s: %w", req.CommonName, err)
	}
	return pair, nil
}

func (r Request) usages() []x509.ExtKeyUsage {
	var u []x509.ExtKeyUsage
	if r.Server {
		u = append(u, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		u = append(u, x509.ExtKeyUsageClientAuth)
	}
	return u
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7f    // positive
	return new(big.Int).SetBytes(b[:])
}

func sign(template, parent *x509.Certificate, key any, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	if parentKey == nil {
		return nil, errors.New("the authority does not sign any more")
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, parentKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(keyPEM []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("no PEM key in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an ECDSA key")
	}
	return key, nil
}
