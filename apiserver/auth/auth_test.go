package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"testing"

	"sampan/apiserver/auth"
)

func TestOnlyVerifiedCertificatesAreAnIdentity(t *testing.T) {
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "bob", Organization: []string{"devs"}}}
	for name, test := range map[string]struct {
		tls  *tls.ConnectionState
		want string
	}{
		"no TLS":         {nil, auth.AnonymousUser},
		"no certificate": {&tls.ConnectionState{}, auth.AnonymousUser},
		"not verified":   {&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, auth.AnonymousUser},
		"verified":       {&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}, "bob"},
		"without a name": {&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}, auth.AnonymousUser},
	} {
		u := auth.FromRequest(&http.Request{TLS: test.tls})
		if u.Name != test.want {
			t.Errorf("%s: user %q, want %q", name, u.Name, test.want)
		}
		if named := u.Name != auth.AnonymousUser; u.In(auth.GroupAuthenticated) != named || u.In("devs") != named {
			t.Errorf("%s: groups %v", name, u.Groups)
		}
	}
}

func TestMastersMayEverythingOthersMayLookAtTheServer(t *testing.T) {
	master := auth.User{Name: "admin", Groups: []string{auth.GroupMasters}}
	bob := auth.User{Name: "bob", Groups: []string{auth.GroupAuthenticated}}
	for _, test := range []struct {
		a    auth.Attributes
		want bool
	}{
		{auth.Attributes{User: master, Verb: "delete", Resource: "nodes", Name: "n"}, true},
		{auth.Attributes{User: master, Verb: "get", Path: "/metrics"}, true},
		{auth.Attributes{User: bob, Verb: "list", Resource: "nodes"}, false},
		{auth.Attributes{User: bob, Verb: "get", Path: "/apis/apps/v1"}, true},
		{auth.Attributes{User: bob, Verb: "get", Path: "/apisx"}, false},
		{auth.Attributes{User: bob, Verb: "post", Path: "/version"}, false},
		{auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/readyz"}, true},
		{auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/version"}, true},
		{auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/api"}, false},
	} {
		if got, _ := auth.Masters(test.a); got != test.want {
			t.Errorf("%+v: %v", test.a, got)
		}
	}
}
