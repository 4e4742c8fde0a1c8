package pki

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"time"
)

// Stale says why a certificate must be issued again to serve a request, or "" if it need not be: it is near
// its end (less than a third of its life is left), another authority signed it, or it is for something else.
// It depends on its arguments alone.
func Stale(cert, ca *x509.Certificate, req Request, now time.Time) string {
	switch life := cert.NotAfter.Sub(cert.NotBefore); {
	case now.Before(cert.NotBefore):
		return "it is not valid yet"
	case cert.NotAfter.Sub(now) < life/3 && !cert.NotAfter.Equal(ca.NotAfter):
		return fmt.Sprintf("it ends on %s", cert.NotAfter.Format(time.DateOnly))
	case cert.CheckSignatureFrom(ca) != nil:
		return "another authority signed it"
	case cert.Subject.CommonName != req.CommonName:
		return fmt.Sprintf("it is for %q", cert.Subject.CommonName)
	case !sameSet(cert.Subject.Organization, req.Organizations):
		return "its organizations differ"
	case !sameSet(cert.DNSNames, req.DNSNames):
		return "its DNS names differ"
	case !sameSet(addrs(cert.IPAddresses), req.IPs):
		return "its IP addresses differ"
	case !sameSet(cert.ExtKeyUsage, req.usages()):
		return "its uses differ"
	}
	return ""
}

func addrs(ips []net.IP) []netip.Addr {
	var as []netip.Addr
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip); ok {
			as = append(as, a.Unmap())
		}
	}
	return as
}

func sameSet[T comparable](a, b []T) bool { return maps.Equal(set(a), set(b)) }

func set[T comparable](list []T) map[T]bool {
	m := make(map[T]bool, len(list))
	for _, v := range list {
		m[v] = true
	}
	return m
}
