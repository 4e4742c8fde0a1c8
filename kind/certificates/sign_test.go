package certificates_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"sampan/kind/certificates"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// request returns a request that is approved.
func request(t *testing.T, signer string, template x509.CertificateRequest, change func(*certificatesv1.CertificateSigningRequest), usages ...certificatesv1.KeyUsage) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	r := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer, Usages: usages,
	}}
	r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: "True"}}
	if change != nil {
		change(r)
	}
	return r
}

func TestSignersRefuseWhatIsNotForThem(t *testing.T) {
	const (
		client, nodeClient, nodeServing = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
		signature, encipherment         = certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment
		asClient, asServer              = certificatesv1.UsageClientAuth, certificatesv1.UsageServerAuth
	)
	type usages = []certificatesv1.KeyUsage
	named := func(name string, groups ...string) x509.CertificateRequest {
		return x509.CertificateRequest{Subject: pkix.Name{CommonName: name, Organization: groups}}
	}
	node := named("system:node:n", "system:nodes")
	with := func(change func(*x509.CertificateRequest)) x509.CertificateRequest {
		r := node
		change(&r)
		return r
	}
	dns := func(r *x509.CertificateRequest) { r.DNSNames = []string{"n"} }
	ip := func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }
	email := func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b.c"} }
	uri := func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }
	both := func(list ...func(*x509.CertificateRequest)) x509.CertificateRequest {
		return with(func(r *x509.CertificateRequest) {
			for _, f := range list {
				f(r)
			}
		})
	}
	for _, c := range []struct {
		name   string
		signer string
		req    x509.CertificateRequest
		usages usages
		want   string // "" if it signs
	}{
		{"a user", client, named("jane", "devs"), usages{asClient}, ""},
		{"a user with all usages", client, named("jane"), usages{signature, encipherment, asClient}, ""},
		{"a user who serves", client, named("jane"), usages{asClient, asServer}, "invalid usage for client certificate: server auth"},
		{"a user for nothing", client, named("jane"), usages{signature}, "missing required usage for client certificate: client auth"},
		{"a node", nodeClient, node, usages{signature, asClient}, ""},
		{"a node with RSA", nodeClient, node, usages{signature, encipherment, asClient}, ""},
		{"a node of another group", nodeClient, named("system:node:n", "devs"), usages{signature, asClient}, "subject organization is not system:nodes"},
		{"a node of more groups", nodeClient, named("system:node:n", "system:nodes", "devs"), usages{signature, asClient}, "subject organization is not system:nodes"},
		{"no node", nodeClient, named("jane", "system:nodes"), usages{signature, asClient}, "subject common name does not begin with system:node:"},
		{"a node with a host name", nodeClient, with(dns), usages{signature, asClient}, "DNS subjectAltNames are not allowed"},
		{"a node with an address", nodeClient, with(ip), usages{signature, asClient}, "IP subjectAltNames are not allowed"},
		{"a node with mail", nodeClient, with(email), usages{signature, asClient}, "Email subjectAltNames are not allowed"},
		{"a node with a URI", nodeClient, with(uri), usages{signature, asClient}, "URI subjectAltNames are not allowed"},
		{"a node without a signature", nodeClient, node, usages{asClient}, "usages did not match [client auth digital signature key encipherment]"},
		{"a kubelet", nodeServing, both(dns, ip), usages{signature, asServer}, ""},
		{"a kubelet with an address alone", nodeServing, with(ip), usages{signature, encipherment, asServer}, ""},
		{"a kubelet without a name", nodeServing, node, usages{signature, asServer}, "DNS or IP subjectAltName is required"},
		{"a kubelet with mail", nodeServing, both(dns, email), usages{signature, asServer}, "Email subjectAltNames are not allowed"},
		{"a kubelet with a URI", nodeServing, both(dns, uri), usages{signature, asServer}, "URI subjectAltNames are not allowed"},
		{"a kubelet that asks", nodeServing, with(dns), usages{signature, asClient}, "usages did not match [digital signature key encipherment server auth]"},
		{"a kubelet of another group", nodeServing, named("system:node:n"), usages{signature, asServer}, "subject organization is not system:nodes"},
	} {
		cert, err := certificates.Certify(request(t, c.signer, c.req, nil, c.usages...), now())
		switch {
		case c.want != "":
			if err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		case err != nil || cert == nil:
			t.Errorf("%s: %v", c.name, err)
		case cert.Subject.CommonName != c.req.Subject.CommonName || len(cert.DNSNames) != len(c.req.DNSNames) || len(cert.IPAddresses) != len(c.req.IPAddresses) ||
			len(cert.ExtKeyUsage) != 1 || cert.IsCA:
			t.Errorf("%s: %+v", c.name, cert)
		}
	}
}

func TestCertificatesLiveAsLongAsWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		seconds int32
		want    time.Duration
	}{
		{0, 365*24*time.Hour - 5*time.Minute},
		{600, 10 * time.Minute},
		{60, 10 * time.Minute},
		{7 * 3600, 7 * time.Hour},
		{24 * 3600, 24*time.Hour - 5*time.Minute},
		{1 << 30, 365*24*time.Hour - 5*time.Minute},
	} {
		r := request(t, certificatesv1.KubeAPIServerClientSignerName, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, func(r *certificatesv1.CertificateSigningRequest) {
			if c.seconds > 0 {
				r.Spec.ExpirationSeconds = &c.seconds
			}
		}, certificatesv1.UsageClientAuth)
		cert, err := certificates.Certify(r, now())
		if err != nil {
			t.Fatal(err)
		}
		if got := cert.NotAfter.Sub(now()); got != c.want || !cert.NotBefore.Equal(now().Add(-5*time.Minute)) {
			t.Errorf("%d seconds: from %s, for %s", c.seconds, cert.NotBefore, got)
		}
	}
}

func TestSignersLeaveAloneWhatWaitsForOthers(t *testing.T) {
	jane := x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}
	for name, change := range map[string]func(*certificatesv1.CertificateSigningRequest){
		"another signer": func(r *certificatesv1.CertificateSigningRequest) { r.Spec.SignerName = "example.com/signer" },
		"not approved":   func(r *certificatesv1.CertificateSigningRequest) { r.Status.Conditions = nil },
		"denied": func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Conditions[0].Type = certificatesv1.CertificateDenied
		},
		"failed": func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateFailed, Status: "True"})
		},
		"issued": func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = []byte("PEM") },
	} {
		cert, err := certificates.Certify(request(t, certificatesv1.KubeAPIServerClientSignerName, jane, change, certificatesv1.UsageClientAuth), now())
		if cert != nil || err != nil {
			t.Errorf("%s: %v %v", name, cert, err)
		}
	}
	// Somebody else's key.
	forged := request(t, certificatesv1.KubeAPIServerClientSignerName, jane, func(r *certificatesv1.CertificateSigningRequest) {
		block, _ := pem.Decode(r.Spec.Request)
		block.Bytes[len(block.Bytes)-1] ^= 1
		r.Spec.Request = pem.EncodeToMemory(block)
	}, certificatesv1.UsageClientAuth)
	if _, err := certificates.Certify(forged, now()); err == nil || !strings.Contains(err.Error(), "unable to verify certificate request signature") {
		t.Errorf("a forged request: %v", err)
	}
}
