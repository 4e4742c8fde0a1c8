package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	asn1util "k8s.io/apimachinery/pkg/apis/asn1"

	"sampan/apiserver/auth"
	"sampan/internal/pki"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func authority(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA("ca", now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// connection returns a connection whose client has shown a certificate.
func connection(t *testing.T, ca *pki.CA, req pki.Request) *tls.ConnectionState {
	t.Helper()
	pair, err := ca.Issue(req, now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.CertPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

func TestOnlyCertificatesOfTheAuthorityAreAnIdentity(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	bob := pki.Request{CommonName: "bob", Organizations: []string{"devs"}, Client: true}
	roots := x509.NewCertPool()
	roots.AddCert(ours.Certificate)
	clock := now()
	certificates := auth.NewCertificates(roots, func() time.Time { return clock })
	good := connection(t, ours, bob)
	for name, test := range map[string]struct {
		tls  *tls.ConnectionState
		at   time.Time
		want string // "": none
		bad  bool
	}{
		"no TLS":         {nil, now(), "", false},
		"no certificate": {&tls.ConnectionState{}, now(), "", false},
		"verified":       {good, now(), "bob", false},
		"verified again": {good, now().Add(time.Hour), "bob", false},
		"expired":        {good, now().Add(366 * 24 * time.Hour), "", true},
		"not valid yet":  {good, now().Add(-2 * time.Hour), "", true},
		"of another CA":  {connection(t, theirs, bob), now(), "", true},
		"without a name": {connection(t, ours, pki.Request{Client: true}), now(), "", true},
		"a server's":     {connection(t, ours, pki.Request{CommonName: "x", Server: true, IPs: []netip.Addr{netip.IPv6Loopback()}}), now(), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from memory
				clock = test.at
				u, ok, err := certificates.User(test.tls)
				if u.Name != test.want || ok != (test.want != "") || (err != nil) != test.bad {
					t.Fatalf("user %q, %v, %v", u.Name, ok, err)
				}
				if ok && !slices.Equal(u.Groups, []string{"devs", auth.GroupAuthenticated}) {
					t.Errorf("groups %v", u.Groups)
				}
				if want := fmt.Sprintf("X509SHA256=%x", sha256.Sum256(good.PeerCertificates[0].Raw)); ok && !slices.Equal(u.Extra[auth.CredentialIDKey], []string{want}) {
					t.Errorf("extra %v", u.Extra)
				}
			}
		})
	}
}

func TestUIDComesFromTheSubjectOfACertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(uids ...string) *x509.Certificate {
		subject := pkix.Name{CommonName: "bob"}
		for _, uid := range uids {
			subject.ExtraNames = append(subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1util.X509UID(), Value: uid})
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: subject, NotBefore: now(), NotAfter: now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	for name, test := range map[string]struct {
		cert *x509.Certificate
		uid  string
		bad  bool
	}{
		"none":  {issue(), "", false},
		"one":   {issue("7"), "7", false},
		"two":   {issue("7", "8"), "", true},
		"empty": {issue(""), "", true},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(test.cert)
		u, ok, err := auth.NewCertificates(roots, now).User(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{test.cert}})
		if u.UID != test.uid || ok == test.bad || (err != nil) != test.bad {
			t.Errorf("%s: %+v, %v, %v", name, u, ok, err)
		}
	}
}

func TestUnionAllowsWhatOneOfThemAllows(t *testing.T) {
	no := func(reason string) auth.Authorizer {
		return func(auth.Attributes) (bool, string) { return false, reason }
	}
	yes := func(auth.Attributes) (bool, string) { return true, "because" }
	for _, c := range []struct {
		of     []auth.Authorizer
		ok     bool
		reason string
	}{
		{nil, false, ""},
		{[]auth.Authorizer{no("a"), no(""), no("b"), no("")}, false, "b"},
		{[]auth.Authorizer{no("a"), yes, no("b")}, true, "because"},
	} {
		if ok, reason := auth.Union(c.of...)(auth.Attributes{}); ok != c.ok || reason != c.reason {
			t.Errorf("%v %q, want %v %q", ok, reason, c.ok, c.reason)
		}
	}
}

func TestMastersMayEverything(t *testing.T) {
	admin := auth.User{Name: "admin", Groups: []string{auth.GroupMasters}}
	if ok, _ := auth.Masters(auth.Attributes{User: admin, Verb: "delete", Resource: "nodes", Name: "n"}); !ok {
		t.Error("a master is refused")
	}
	if ok, _ := auth.Masters(auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/version"}); ok {
		t.Error("somebody else is a master")
	}
}

func TestAuthoritiesAreReplaced(t *testing.T) {
	old, next := authority(t), authority(t)
	pool := func(list ...*pki.CA) *x509.CertPool {
		p := x509.NewCertPool()
		for _, ca := range list {
			p.AddCert(ca.Certificate)
		}
		return p
	}
	bob := pki.Request{CommonName: "bob", Client: true}
	byOld, byNext := connection(t, old, bob), connection(t, next, bob)
	certificates := auth.NewCertificates(pool(old), now)
	for _, c := range []struct {
		name             string
		trusted          []*pki.CA
		wantOld, wantNew bool
	}{
		{"the first", []*pki.CA{old}, true, false},
		{"both", []*pki.CA{old, next}, true, true},
		{"the next", []*pki.CA{next}, false, true},
	} {
		certificates.Trust(pool(c.trusted...))
		for range 2 { // the second time from memory
			_, gotOld, _ := certificates.User(byOld)
			_, gotNew, _ := certificates.User(byNext)
			if gotOld != c.wantOld || gotNew != c.wantNew {
				t.Errorf("%s: old %v, new %v", c.name, gotOld, gotNew)
			}
		}
	}
}
