package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"sampan/apiserver/audit"
	"sampan/internal/pki"
	"sampan/store"
	"sampan/store/sealed"
)

// identities is by what the parts of a cluster know each other: the authority, the certificates that it has signed,
// and the key for the tokens of service accounts.
type identities struct {
	ca             *pki.CA
	pool           *x509.CertPool // of the authority alone
	serving, admin *pki.Keeper
	tokenKey       *ecdsa.PrivateKey
}

// prepare makes or loads what is in the directory of the data, and writes the kubeconfig.
func (i *identities) prepare(s Settings, now time.Time) (err error) {
	if i.ca, err = pki.EnsureCA(s.pkiDir(), "sampan-ca", now); err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	i.pool = x509.NewCertPool()
	i.pool.AddCert(i.ca.Certificate)
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), s.apiAddress(), s.gateway()}
	if !s.Listen.Addr().IsUnspecified() {
		ips = append(ips, s.Listen.Addr())
	}
	ips = append(ips, machineAddresses()...)
	i.serving, err = i.ca.Keep(s.pkiDir(), "apiserver", pki.Request{
		CommonName: "sampan-apiserver",
		DNSNames:   []string{"localhost", s.NodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain},
		IPs:        ips,
		Server:     true,
	}, now)
	if err != nil {
		return fmt.Errorf("certificate of the API server: %w", err)
	}
	i.admin, err = i.ca.Keep(s.pkiDir(), "admin", pki.Request{
		CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Client: true,
	}, now)
	if err != nil {
		return fmt.Errorf("certificate of the administrator: %w", err)
	}
	if i.tokenKey, err = pki.EnsureKey(s.pkiDir(), "service-account"); err != nil {
		return fmt.Errorf("key for the tokens of service accounts: %w", err)
	}
	return i.kubeconfig(s)
}

func (i *identities) kubeconfig(s Settings) error {
	admin := i.admin.Pair()
	return writeKubeconfig(s.Kubeconfig, s.Listen, bytes.TrimSpace(i.ca.CertPEM), admin.CertPEM, admin.KeyPEM)
}

// keepFresh renews the certificates, and the kubeconfig with them, until ctx ends.
func (i *identities) keepFresh(ctx context.Context, s Settings, log *slog.Logger) error {
	return pki.KeepFresh(ctx, log, func(k *pki.Keeper) error {
		if k == i.admin {
			return i.kubeconfig(s)
		}
		return nil
	}, i.serving, i.admin)
}

func (i *identities) tls() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: i.serving.GetCertificate,
		// Who sends a certificate that is no good is told so by the API, as by upstream's.
		ClientAuth: tls.RequestClientCert,
		ClientCAs:  i.pool,
	}
}

// encrypted returns the store as the API server uses it: with Secrets encrypted, if there are keys for it. Those that
// are not encrypted with the first key are written anew.
func encrypted(ctx context.Context, s Settings, st store.Store) (store.Store, error) {
	if s.EncryptionKeyFile == "" {
		return st, nil
	}
	data, err := os.ReadFile(s.EncryptionKeyFile)
	if err != nil {
		return nil, fmt.Errorf("keys for encryption: %w", err)
	}
	keys, err := sealed.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("keys for encryption in %s: %w", s.EncryptionKeyFile, err)
	}
	over := sealed.New(st, keys, "/secrets/")
	if _, err := over.Reseal(ctx); err != nil {
		return nil, fmt.Errorf("encrypt the Secrets: %w", err)
	}
	return over, nil
}

// openAudit returns the audit log that the settings ask for, or nil.
func openAudit(s Settings, log *slog.Logger) (*audit.Log, error) {
	if s.AuditLog.Path == "" {
		return nil, nil
	}
	policy := audit.Everything()
	if s.AuditPolicyFile != "" {
		data, err := os.ReadFile(s.AuditPolicyFile)
		if err != nil {
			return nil, fmt.Errorf("audit policy: %w", err)
		}
		if policy, err = audit.ParsePolicy(data); err != nil {
			return nil, fmt.Errorf("audit policy %s: %w", s.AuditPolicyFile, err)
		}
	}
	return audit.Open(s.AuditLog, policy, log)
}
