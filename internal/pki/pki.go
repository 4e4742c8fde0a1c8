// Package pki makes and keeps X.509 certificates: a certificate authority in a folder, and server and client
// certificates that it signs. Keys are ECDSA P-256.
//
// Ensure functions load what is on disk and make only what is missing or no longer fits ([Stale] decides), so
// they are called at every start. Files are written by a rename, keys with mode 0600; a crash at any moment
// leaves the old file, the new one, or a pair that does not fit, which the next start replaces. A broken or
// expired authority is an error and never replaced, since everybody who trusts it would be locked out.
//
// Callers must keep two processes from ensuring the same folder at once.
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
	"os"
	"path/filepath"
	"time"
)

// How long certificates are valid. They are valid from an hour before they are made, because the clocks of
// those who check them may be behind.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	backdate = time.Hour
)

// CA is a certificate authority.
type CA struct {
	Certificate *x509.Certificate
	CertPEM     []byte

	key *ecdsa.PrivateKey
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

// EnsureCA returns the authority in dir/name.crt and dir/name.key, and makes it if it is not there. The name is
// also its common name.
func EnsureCA(dir, name string, now time.Time) (*CA, error) {
	crtPath, keyPath := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	certPEM, err := os.ReadFile(crtPath)
	if errors.Is(err, os.ErrNotExist) {
		// The certificate is written last, so without it nobody has seen this authority yet.
		return createCA(crtPath, keyPath, name, now)
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", crtPath, err)
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, fmt.Errorf("key of certificate authority: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("certificate authority %s does not fit its key %s: restore both from a copy", crtPath, keyPath)
	}
	if now.After(cert.NotAfter) {
		return nil, fmt.Errorf("certificate authority %s expired on %s: remove it and its key, start again and hand out the new files",
			crtPath, cert.NotAfter.Format(time.DateOnly))
	}
	return &CA{Certificate: cert, CertPEM: certPEM, key: key}, nil
}

func createCA(crtPath, keyPath, name string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of certificate authority %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	pair, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority %s: %w", name, err)
	}
	if err := writePair(crtPath, keyPath, pair); err != nil {
		return nil, fmt.Errorf("write certificate authority: %w", err)
	}
	cert, err := parseCertificate(pair.CertPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", crtPath, err)
	}
	return &CA{Certificate: cert, CertPEM: pair.CertPEM, key: key}, nil
}

// Issue makes a certificate.
func (ca *CA) Issue(req Request, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key of %s: %w", req.CommonName, err)
	}
	notAfter := now.Add(leafLife)
	if ca.Certificate.NotAfter.Before(notAfter) {
		notAfter = ca.Certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: req.CommonName, Organization: req.Organizations},
		DNSNames:              req.DNSNames,
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		ExtKeyUsage:           req.usages(),
	}
	for _, ip := range req.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	pair, err := sign(template, ca.Certificate, key, ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate of %s: %w", req.CommonName, err)
	}
	return pair, nil
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

// EnsureKey returns the ECDSA P-256 key in dir/name.key, and makes it if it is not there; for signing tokens.
func EnsureKey(dir, name string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(dir, name+".key")
	key, err := readKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make key %s: %w", name, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key %s: %w", name, err)
	}
	if err := writeFile(path, keyPEM, 0o600); err != nil {
		return nil, fmt.Errorf("write key %s: %w", name, err)
	}
	return key, nil
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

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), KeyPEM: keyPEM}, nil
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

func readKey(path string) (*ecdsa.PrivateKey, error) {
	keyPEM, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM key in it", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: it is not an ECDSA key", path)
	}
	return key, nil
}
