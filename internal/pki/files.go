package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

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
	if err := writeFile(keyPath, pair.KeyPEM, 0o600); err != nil {
		return err
	}
	return writeFile(crtPath, pair.CertPEM, 0o644)
}

// writeFile replaces a file as a whole and makes it durable. It makes the folder if it is not there.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
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
