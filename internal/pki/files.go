package pki

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ReadIdentity returns the identity whose authority is in dir/ca.crt and dir/ca.key, and whose key for tokens is in
// dir/tokenKey.key. What is not there is to be made ([Identity.Advance]); what is broken is an error, and never
// replaced, since everybody who trusts it would be locked out.
func ReadIdentity(dir, ca, tokenKey string, now time.Time) (Identity, error) {
	var i Identity
	certPEM, certErr := os.ReadFile(filepath.Join(dir, ca+".crt"))
	keyPEM, keyErr := os.ReadFile(filepath.Join(dir, ca+".key"))
	switch missing := errors.Is(keyErr, os.ErrNotExist) || errors.Is(certErr, os.ErrNotExist); {
	case missing:
	case certErr != nil || keyErr != nil:
		return Identity{}, fmt.Errorf("read certificate authority: %w", errors.Join(certErr, keyErr))
	default:
		cert, err := parseCertificate(certPEM)
		if err != nil {
			return Identity{}, fmt.Errorf("certificate authority in %s: %w", dir, err)
		}
		a := Authority{
			Life:        Life{Made: cert.NotBefore.UTC(), SignsFrom: cert.NotBefore.UTC(), Until: cert.NotAfter.UTC()},
			Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})), Key: string(keyPEM),
		}
		if _, err := a.ca(); err != nil {
			return Identity{}, fmt.Errorf("certificate authority in %s: %w: restore both files from a copy", dir, err)
		}
		i.Authorities = []Authority{a}
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, tokenKey+".key"))
	if errors.Is(err, os.ErrNotExist) {
		return i, nil
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read the key for tokens: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return Identity{}, fmt.Errorf("key for tokens %s: %w", filepath.Join(dir, tokenKey+".key"), err)
	}
	now = now.UTC().Truncate(time.Second)
	k, err := tokenKeyOf(key, Life{Made: now, SignsFrom: now})
	i.TokenKeys = []TokenKey{k}
	return i, err
}

// loadPair returns a certificate and a key that fit each other; ok is false if they are not there or broken.
func loadPair(crtPath, keyPath string) (pair Pair, ok bool) {
	certPEM, err := os.ReadFile(crtPath)
	if err != nil {
		return Pair{}, false
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return Pair{}, false
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return Pair{}, false
	}
	return Pair{CertPEM: certPEM, KeyPEM: keyPEM}, true
}

// writePair writes the key before the certificate, so that a certificate is never without its key.
func writePair(crtPath, keyPath string, pair Pair) error {
	if err := WriteFile(keyPath, pair.KeyPEM, 0o600); err != nil {
		return err
	}
	return WriteFile(crtPath, pair.CertPEM, 0o644)
}

// WriteFile replaces a file as a whole and makes it durable. It makes the folder if it is not there.
func WriteFile(path string, data []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600 from the first byte on
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
