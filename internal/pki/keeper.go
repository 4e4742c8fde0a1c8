package pki

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"
)

// Keeper holds a certificate on disk and in memory and replaces it before it ends, so that who serves with it needs
// no restart. It is safe for concurrent use, but for [Keeper.Renew].
type Keeper struct {
	dir, name string
	req       Request
	current   atomic.Pointer[kept]
}

type kept struct {
	pair Pair
	tls  tls.Certificate
	ca   *CA
}

// Keep returns the keeper of the certificate that [CA.Ensure] returns for the same arguments.
func (ca *CA) Keep(dir, name string, req Request, now time.Time) (*Keeper, error) {
	k := &Keeper{dir: dir, name: name, req: req}
	_, err := k.Renew(ca, now)
	return k, err
}

// Name returns what the certificate is kept under.
func (k *Keeper) Name() string { return k.name }

// NotAfter returns when the certificate ends.
func (k *Keeper) NotAfter() time.Time { return k.current.Load().tls.Leaf.NotAfter }

// Pair returns the certificate and its key.
func (k *Keeper) Pair() Pair { return k.current.Load().pair }

// GetCertificate is for a tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &k.current.Load().tls, nil
}

// Renew replaces the certificate by one of an authority, if it is stale.
func (k *Keeper) Renew(ca *CA, now time.Time) (changed bool, err error) {
	if cur := k.current.Load(); cur != nil && cur.ca == ca {
		at, early := k.RenewAt(), now.Before(cur.tls.Leaf.NotBefore) // made by a clock that was ahead
		if !early && (at.IsZero() || now.Before(at)) {
			return false, nil
		}
	}
	pair, err := ca.Ensure(k.dir, k.name, k.req, now)
	if err != nil {
		return false, err
	}
	c, err := pair.TLS()
	if err != nil {
		return false, fmt.Errorf("certificate %s: %w", k.name, err)
	}
	old := k.current.Swap(&kept{pair, c, ca})
	return old == nil || !old.tls.Leaf.Equal(c.Leaf), nil
}

// RenewAt returns when the certificate becomes stale, or the zero time if it ends with its authority. That another
// authority signs now is not looked at.
func (k *Keeper) RenewAt() time.Time {
	cur := k.current.Load()
	cert := cur.tls.Leaf
	if cert.NotAfter.Equal(cur.ca.Certificate.NotAfter) {
		return time.Time{} // the same one cannot make a better one
	}
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3).Add(time.Nanosecond)
}
