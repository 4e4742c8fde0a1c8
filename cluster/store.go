package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"sampan/store"
	"sampan/store/backup"
	"sampan/store/embedded"
	"sampan/store/etcd"
)

// EtcdSettings say which etcd keeps the state.
type EtcdSettings struct {
	Endpoints     []string // HOST:PORT
	Name          string   // of the store in it
	CA, Cert, Key string   // files; "" for none
}

// parseStore reads the setting "store" and those that belong to it. nil is the embedded store.
func (c Config) parseStore() (*EtcdSettings, error) {
	rest, external := strings.CutPrefix(c.Store, "etcd://")
	switch {
	case external:
	case c.Store != "embedded":
		return nil, fmt.Errorf("store %q: want embedded, or etcd://HOST:PORT,… with an optional /NAME", c.Store)
	case c.EtcdCA != "" || c.EtcdCert != "" || c.EtcdKey != "":
		return nil, errors.New("certificates for etcd are given, but the store is embedded: add --store etcd://HOST:PORT,…")
	default:
		return nil, nil
	}
	members, name, named := strings.Cut(rest, "/")
	e := &EtcdSettings{Name: etcd.DefaultName, CA: c.EtcdCA, Cert: c.EtcdCert, Key: c.EtcdKey}
	if named {
		if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
			return nil, fmt.Errorf("store %q: name %q: %s", c.Store, name, strings.Join(msgs, "; "))
		}
		e.Name = name
	}
	for member := range strings.SplitSeq(members, ",") {
		if host, port, err := net.SplitHostPort(member); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("store %q: member %q: want HOST:PORT, such as 10.0.0.1:2379", c.Store, member)
		}
		e.Endpoints = append(e.Endpoints, member)
	}
	if (e.Cert == "") != (e.Key == "") {
		return nil, errors.New("a client certificate for etcd needs both --etcd-cert and --etcd-key")
	}
	return e, nil
}

// options also checks that the certificates can be read.
func (e *EtcdSettings) options(log *slog.Logger) (etcd.Options, error) {
	opts := etcd.Options{Endpoints: e.Endpoints, Name: e.Name, Log: log}
	if e.CA == "" && e.Cert == "" {
		return opts, nil
	}
	opts.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CA != "" {
		pem, err := os.ReadFile(e.CA)
		if err != nil {
			return opts, fmt.Errorf("certificate authority of etcd: %w", err)
		}
		opts.TLS.RootCAs = x509.NewCertPool()
		if !opts.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return opts, fmt.Errorf("certificate authority of etcd: %s holds no PEM certificate", e.CA)
		}
	}
	if e.Cert != "" {
		// Read for each connection, so that a renewed one is used without a restart.
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
			if err != nil {
				return nil, fmt.Errorf("client certificate for etcd: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return opts, err
		}
		opts.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return opts, nil
}

// openStore opens the store that the settings name.
func openStore(ctx context.Context, s Settings, log *slog.Logger) (store.Store, error) {
	if s.Etcd == nil {
		return opened(embedded.Open(s.storeFile(), embedded.Options{}))
	}
	opts, err := s.Etcd.options(log)
	if err != nil {
		return nil, err
	}
	return opened(etcd.Open(ctx, opts))
}

// opened keeps the nil of a failed opening from becoming a store that is not nil.
func opened[S backup.Target](s S, err error) (backup.Target, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// restoreStore opens the store that the settings name to be filled.
func restoreStore(ctx context.Context, s Settings, revision int64) (backup.Target, error) {
	if s.Etcd == nil {
		return opened(embedded.Restore(s.storeFile(), embedded.Options{}, revision))
	}
	opts, err := s.Etcd.options(nil)
	if err != nil {
		return nil, err
	}
	return opened(etcd.Restore(ctx, opts, revision))
}
