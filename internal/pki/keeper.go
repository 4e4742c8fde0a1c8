package pki

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// recheckAfter is the longest time between two looks at the clock: timers stand still while a machine sleeps.
	recheckAfter = 24 * time.Hour
	// retryAfter is how long a renewal that failed waits for the next attempt.
	retryAfter = 10 * time.Minute
)

// Keeper holds a certificate on disk and in memory and replaces it before it ends, so that who serves with it needs
// no restart. It is safe for concurrent use; [KeepFresh] renews it.
type Keeper struct {
	ca        *CA
	dir, name string
	req       Request
	current   atomic.Pointer[kept]
}

type kept struct {
	pair Pair
	tls  tls.Certificate
}

// Keep returns the keeper of the certificate that [CA.Ensure] returns for the same arguments.
func (ca *CA) Keep(dir, name string, req Request, now time.Time) (*Keeper, error) {
	k := &Keeper{ca: ca, dir: dir, name: name, req: req}
	_, err := k.renew(now)
	return k, err
}

// Pair returns the certificate and its key.
func (k *Keeper) Pair() Pair { return k.current.Load().pair }

// GetCertificate is for a tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &k.current.Load().tls, nil
}

// renew replaces the certificate if it is stale.
func (k *Keeper) renew(now time.Time) (changed bool, err error) {
	if cur := k.current.Load(); cur != nil && Stale(cur.tls.Leaf, k.ca.Certificate, k.req, now) == "" {
		return false, nil
	}
	pair, err := k.ca.Ensure(k.dir, k.name, k.req, now)
	if err != nil {
		return false, err
	}
	c, err := pair.TLS()
	if err != nil {
		return false, fmt.Errorf("certificate %s: %w", k.name, err)
	}
	k.current.Store(&kept{pair, c})
	return true, nil
}

// renewAt returns when the certificate becomes stale, or the zero time if it ends with its authority.
func (k *Keeper) renewAt() time.Time {
	cert := k.current.Load().tls.Leaf
	if cert.NotAfter.Equal(k.ca.Certificate.NotAfter) {
		return time.Time{}
	}
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3).Add(time.Nanosecond)
}

// KeepFresh renews certificates when it is time, until ctx ends, and returns nil then. renewed is told of every new
// one, by its keeper; what goes wrong is logged and tried again.
func KeepFresh(ctx context.Context, log *slog.Logger, renewed func(*Keeper) error, keepers ...*Keeper) error {
	wait := untilNext(time.Now(), keepers)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		now, failed := time.Now(), false
		for _, k := range keepers {
			changed, err := k.renew(now)
			if changed {
				log.Info("a certificate is renewed", "name", k.name, "until", k.current.Load().tls.Leaf.NotAfter.Format(time.DateOnly))
				err = renewed(k)
			}
			if err != nil {
				log.Error("a certificate cannot be renewed", "name", k.name, "err", err)
				failed = true
			}
		}
		wait = untilNext(now, keepers)
		if failed {
			wait = retryAfter
		}
	}
}

func untilNext(now time.Time, keepers []*Keeper) time.Duration {
	wait := recheckAfter
	for _, k := range keepers {
		if at := k.renewAt(); !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait
}
