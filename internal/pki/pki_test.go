package pki

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func now() time.Time { return time.Now() }

func serverRequest() Request {
	return Request{
		CommonName: "server", DNSNames: []string{"api", "localhost"},
		IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, Server: true,
	}
}

func clientRequest() Request {
	return Request{CommonName: "admin", Organizations: []string{"masters"}, Client: true}
}

func TestServerAndClientTrustEachOther(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewCA("ca", now())
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name string, req Request) tls.Certificate {
		pair, err := ca.Ensure(dir, name, req, now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM)
	serverEnd, clientEnd := net.Pipe()
	server := tls.Server(serverEnd, &tls.Config{
		Certificates: []tls.Certificate{certificate("server", serverRequest())},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: roots,
	})
	client := tls.Client(clientEnd, &tls.Config{
		Certificates: []tls.Certificate{certificate("admin", clientRequest())}, RootCAs: roots, ServerName: "127.0.0.1",
	})
	go func() {
		client.Write([]byte("hello"))
		client.Close()
	}()
	got, err := io.ReadAll(server)
	if err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	peer := server.ConnectionState().PeerCertificates[0].Subject
	if peer.CommonName != "admin" || len(peer.Organization) != 1 || peer.Organization[0] != "masters" {
		t.Errorf("the server sees %v", peer)
	}
}

func TestCertificatesEndWithTheirAuthority(t *testing.T) {
	made := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	until := made.Add(48 * time.Hour)
	ca, err := newCA("ca", made, until)
	if err != nil {
		t.Fatal(err)
	}
	if c := ca.Certificate; c.Subject.CommonName != "ca" || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature || c.NotBefore.After(made) {
		t.Errorf("authority %s of use %d from %s", c.Subject, c.KeyUsage, c.NotBefore)
	}
	numbers := map[string]bool{ca.Certificate.SerialNumber.String(): true}
	for range 20 {
		pair, err := ca.Issue(clientRequest(), made)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := parseCertificate(pair.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.NotAfter.Equal(until) || cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.IsCA || cert.SerialNumber.Sign() <= 0 {
			t.Errorf("certificate until %s of use %d, authority %v, number %s", cert.NotAfter, cert.KeyUsage, cert.IsCA, cert.SerialNumber)
		}
		numbers[cert.SerialNumber.String()] = true
	}
	if len(numbers) != 21 {
		t.Errorf("21 certificates have %d numbers", len(numbers))
	}
	if _, err := ca.Issue(clientRequest(), until.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "the certificate authority ends on 2026-05-03") {
		t.Errorf("after its end: %v", err)
	}
	other, err := newCA("other", made, until.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	crossed, err := ca.cross(other)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCertificate(crossed)
	if err != nil || !cert.NotAfter.Equal(until) || cert.SerialNumber.Cmp(other.Certificate.SerialNumber) == 0 || cert.CheckSignatureFrom(ca.Certificate) != nil {
		t.Errorf("an authority signed by another: until %s, %v", cert.NotAfter, err)
	}
}

func TestSecondStartKeepsCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewCA("ca", now())
	if err != nil {
		t.Fatal(err)
	}
	first, err := ca.Ensure(dir, "server", serverRequest(), now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := ca.Ensure(dir, "server", serverRequest(), now())
	if err != nil || string(first.CertPEM) != string(second.CertPEM) {
		t.Errorf("the second start made something anew: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "server.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestStale(t *testing.T) {
	ca, err := NewCA("ca", now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA("other", now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(serverRequest(), now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCertificate(pair.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*Request)) Request {
		r := serverRequest()
		f(&r)
		return r
	}
	for _, c := range []struct {
		name  string
		req   Request
		ca    *CA
		later time.Duration
		want  string // part of the reason
	}{
		{"as it was", serverRequest(), ca, 0, ""},
		{"names in another order", change(func(r *Request) { r.DNSNames = []string{"localhost", "api"} }), ca, 0, ""},
		{"half of its life later", serverRequest(), ca, leafLife / 2, ""},
		{"near its end", serverRequest(), ca, leafLife * 3 / 4, "ends on"},
		{"after its end", serverRequest(), ca, leafLife * 2, "ends on"},
		{"clock far behind", serverRequest(), ca, -2 * backdate, "not valid yet"},
		{"another authority", serverRequest(), other, 0, "another authority"},
		{"one more name", change(func(r *Request) { r.DNSNames = append(r.DNSNames, "x") }), ca, 0, "DNS names"},
		{"one address less", change(func(r *Request) { r.IPs = r.IPs[:1] }), ca, 0, "IP addresses"},
		{"another user", change(func(r *Request) { r.CommonName = "x" }), ca, 0, "it is for"},
		{"another group", change(func(r *Request) { r.Organizations = []string{"x"} }), ca, 0, "organizations"},
		{"another use", change(func(r *Request) { r.Client = true }), ca, 0, "uses"},
	} {
		got := Stale(cert, c.ca.Certificate, c.req, now().Add(c.later))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBrokenLeafIsReplaced(t *testing.T) {
	dir := t.TempDir()
	ca, err := NewCA("ca", now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.crt", "server.key"} {
		if _, err := ca.Ensure(dir, "server", serverRequest(), now()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Ensure(dir, "server", serverRequest(), now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.TLS(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		ca, err := NewCA("ca", now())
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"server", "admin", "node"} {
			if _, err := ca.Ensure(dir, name, serverRequest(), now()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
