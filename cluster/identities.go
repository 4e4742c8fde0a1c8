package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"sampan/apiserver"
	"sampan/apiserver/auth/satoken"
	"sampan/internal/pki"
	"sampan/store"
)

// identityKey is where the store keeps the cluster's identity. The API serves no such resource, so nobody reads it
// from there.
const identityKey = "/identity/cluster"

const (
	// recheckAfter is the longest time between two looks at the record, which another server may have changed.
	recheckAfter = 24 * time.Hour
	// retryAfter is how long a renewal that failed waits for the next attempt.
	retryAfter = 10 * time.Minute
)

// identities is by what the parts of a cluster know each other. What all its servers share is in the store; the
// certificates that this one has of it are files of its own.
type identities struct {
	settings       Settings
	store          store.Store
	log            *slog.Logger
	serving, admin *pki.Keeper
	current        atomic.Pointer[known]
	unwritten      bool // what writeFiles writes is other than what it wrote; for keepFresh alone
}

// known is what an identity comes to at a time.
type known struct {
	revision int64 // of the record
	from     time.Time
	until    time.Time
	ca       *pki.CA        // that signs
	bundle   []byte         // the certificates of all that are trusted, PEM
	pool     *x509.CertPool // of the same
	tokens   *satoken.Keys
	replaced chan struct{} // closed when the bundle is another one
}

func knownOf(id pki.Identity, revision int64, now time.Time) (*known, error) {
	k := &known{revision: revision, from: now, until: id.WakeAt(now), bundle: id.Bundle(), pool: x509.NewCertPool(), replaced: make(chan struct{})}
	k.pool.AppendCertsFromPEM(k.bundle)
	var err error
	if k.ca, err = id.CA(now); err != nil {
		return nil, err
	}
	signs, verify, err := id.Keys(now)
	if err != nil {
		return nil, err
	}
	var others []satoken.Key
	for _, v := range verify {
		others = append(others, satoken.Key{Public: v.Key, Ended: v.Ended})
	}
	k.tokens, err = satoken.New(apiserver.DefaultTokenIssuer, signs, others...)
	return k, err
}

// prepare takes the identity from the store, makes it if it is not there, and writes what this server has of it.
func (i *identities) prepare(ctx context.Context, s Settings, st store.Store, log *slog.Logger, now time.Time) error {
	i.settings, i.store, i.log = s, st, log
	k, err := i.agree(ctx, now)
	if err != nil {
		return fmt.Errorf("identity of the cluster: %w", err)
	}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), apiserver.APIAddress(s.ServiceCIDR), s.gateway()}
	if !s.Listen.Addr().IsUnspecified() {
		ips = append(ips, s.Listen.Addr())
	}
	ips = append(ips, machineAddresses()...)
	i.serving, err = k.ca.Keep(s.pkiDir(), "apiserver", pki.Request{
		CommonName: "sampan-apiserver",
		DNSNames:   []string{"localhost", s.NodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain},
		IPs:        ips,
		Server:     true,
	}, now)
	if err != nil {
		return fmt.Errorf("certificate of the API server: %w", err)
	}
	i.admin, err = k.ca.Keep(s.pkiDir(), "admin", pki.Request{
		CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Client: true,
	}, now)
	if err != nil {
		return fmt.Errorf("certificate of the administrator: %w", err)
	}
	i.current.Store(k)
	return i.writeFiles()
}

// agree returns the identity that this server has at a time with all others on the store: what is there, or what
// follows it, if this server is the first to say so. It is the current one as long as that is neither over nor
// replaced.
func (i *identities) agree(ctx context.Context, now time.Time) (*known, error) {
	now = now.Round(0) // what time it is, not how long the process has run: the clock may have been set
	for {
		var have pki.Identity
		rec, err := i.store.Get(ctx, identityKey)
		cur := i.current.Load()
		switch {
		case err == nil && cur != nil && rec.Revision == cur.revision && now.Before(cur.until) && !now.Before(cur.from):
			return cur, nil
		case errors.Is(err, store.ErrNotFound):
			have, err = pki.ReadIdentity(i.settings.pkiDir(), oldAuthority, oldTokenKey, now)
		case err == nil:
			if have, err = pki.ParseIdentity(rec.Value); err != nil {
				err = fmt.Errorf("%s in the store is damaged: %w: restore the store from a backup", identityKey, err)
			}
		}
		if err != nil {
			return nil, err
		}
		next, changed, err := have.Advance(pki.Rules{AuthorityName: "sampan-ca", TokenLife: apiserver.MaxTokenLife}, now)
		if err != nil {
			return nil, err
		}
		if !changed && rec.Revision != 0 {
			return knownOf(next, rec.Revision, now)
		}
		revision, err := i.store.Apply(ctx, store.Write{Key: identityKey, Value: next.Encode(), Expect: rec.Revision})
		var conflict *store.ConflictError
		switch {
		case errors.As(err, &conflict): // another server was faster
		case err != nil:
			return nil, err
		default:
			if rec.Revision == 0 {
				i.dropOldFiles()
			}
			return knownOf(next, revision, now)
		}
	}
}

// Earlier versions kept the identity in these files, and so may who brings an authority of his own. The first start
// takes them into the store.
const (
	oldAuthority = "sampan-ca"
	oldTokenKey  = "service-account"
)

func (i *identities) dropOldFiles() {
	for _, name := range []string{oldAuthority + ".key", oldAuthority + ".crt", oldTokenKey + ".key"} {
		path := filepath.Join(i.settings.pkiDir(), name)
		if err := os.Remove(path); err == nil {
			i.log.Info("the store has taken the cluster's identity over from a file", "file", path)
		}
	}
}

// writeFiles writes what people and their programs read, as far as it is not there: the certificates of the
// authorities, and the administrator's kubeconfig.
func (i *identities) writeFiles() error {
	k, s := i.current.Load(), i.settings
	file := i.bundleFile()
	if have, err := os.ReadFile(file); err != nil || string(have) != string(k.bundle) {
		if err := pki.WriteFile(file, k.bundle, 0o644); err != nil {
			return fmt.Errorf("certificates of the authorities: %w", err)
		}
	}
	admin := i.admin.Pair()
	return writeKubeconfig(s.Kubeconfig, s.Listen, k.bundle, admin.CertPEM, admin.KeyPEM)
}

func (i *identities) bundleFile() string { return filepath.Join(i.settings.pkiDir(), "ca.crt") }

// keepFresh replaces what comes to its end, until ctx ends, and looks at it anew when the clock was set. trust is told by
// what clients are known from then on.
func (i *identities) keepFresh(ctx context.Context, clockSet <-chan struct{}, trust func(*x509.CertPool, *satoken.Keys)) error {
	wait := i.untilNext(time.Now())
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-clockSet:
			timer.Stop()
		}
		now := time.Now()
		err := i.refresh(ctx, now, trust)
		wait = i.untilNext(now)
		if err != nil && ctx.Err() == nil {
			i.log.Error("the cluster's identity cannot be renewed", "error", err)
			wait = retryAfter
		}
	}
}

// refresh replaces what comes to its end. New authorities are trusted before anything of them is shown. Certificates
// are renewed even if the store cannot be asked.
func (i *identities) refresh(ctx context.Context, now time.Time, trust func(*x509.CertPool, *satoken.Keys)) error {
	old := i.current.Load()
	k, failed := i.agree(ctx, now)
	if failed != nil {
		k = old
	}
	others := string(k.bundle) != string(old.bundle)
	if !others {
		k.replaced = old.replaced
	}
	if k != old {
		i.current.Store(k)
		trust(k.pool, k.tokens)
		i.unwritten = true
	}
	for _, keeper := range []*pki.Keeper{i.serving, i.admin} {
		changed, err := keeper.Renew(k.ca, now)
		if changed {
			i.unwritten = true
			i.log.Info("a certificate is renewed", "name", keeper.Name(), "until", keeper.NotAfter().Format(time.DateOnly))
		}
		failed = errors.Join(failed, err)
	}
	if i.unwritten {
		err := i.writeFiles()
		i.unwritten = err != nil
		failed = errors.Join(failed, err)
	}
	if others {
		i.log.Info("other certificate authorities are trusted than before", "file", i.bundleFile())
		close(old.replaced)
	}
	return failed
}

func (i *identities) untilNext(now time.Time) time.Duration {
	wait := recheckAfter
	for _, at := range []time.Time{i.current.Load().until, i.serving.RenewAt(), i.admin.RenewAt()} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait
}

// eachBundle runs something with the certificates of the authorities that are trusted, PEM, and anew whenever they
// are others, until ctx ends or it fails.
func (i *identities) eachBundle(ctx context.Context, run func(ctx context.Context, bundle []byte) error) error {
	for {
		k := i.current.Load()
		round, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			select {
			case <-k.replaced:
			case <-round.Done():
			}
		}()
		err := run(round, k.bundle)
		cancel()
		if err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-k.replaced:
		default:
			return nil // it is done
		}
	}
}

func (i *identities) tls() *tls.Config {
	base := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: i.serving.GetCertificate,
		// Who sends a certificate that is no good is told so by the API, as by upstream's.
		ClientAuth: tls.RequestClientCert,
	}
	config := base.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientCAs = i.current.Load().pool // clients choose their certificate by it
		return c, nil
	}
	return config
}
