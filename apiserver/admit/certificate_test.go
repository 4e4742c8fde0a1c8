package admit_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
)

func TestNobodyAsksForACertificateOfMasters(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asks := func(signer string, groups ...string) *certificatesv1.CertificateSigningRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "eve", Organization: groups}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		}}
	}
	garbage := asks(certificatesv1.KubeAPIServerClientSignerName)
	garbage.Spec.Request = []byte("x")
	for _, c := range []struct {
		csr  *certificatesv1.CertificateSigningRequest
		text string
	}{
		{asks(certificatesv1.KubeAPIServerClientSignerName, "dev"), ""},
		{asks("example.com/own", "system:masters"), ""},
		{asks(certificatesv1.KubeAPIServerClientSignerName, "dev", "system:masters"),
			`certificatesigningrequests.certificates.k8s.io "c" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed`},
		{garbage, "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST"},
	} {
		code := int32(403)
		if c.text == "" {
			code = 0
		}
		refused(t, admit.CertificateSubject(request(admit.Create, c.csr, nil), cluster()), code, c.text)
	}
}

func TestPodGetsTheZoneOfItsNode(t *testing.T) {
	snap := cluster(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"topology.kubernetes.io/zone": "z", "rack": "3"}}})
	p := pod(func(p *corev1.Pod) { p.Spec.NodeName = "n" })
	refused(t, admit.PodTopologyLabels(request(admit.Create, p, nil), snap), 0, "")
	if d := cmp.Diff(map[string]string{"topology.kubernetes.io/zone": "z"}, p.Labels); d != "" {
		t.Error(d)
	}
	for _, node := range []string{"", "gone"} {
		p := pod(func(p *corev1.Pod) { p.Spec.NodeName = node })
		refused(t, admit.PodTopologyLabels(request(admit.Create, p, nil), snap), 0, "")
		if p.Labels != nil {
			t.Errorf("a pod on %q has labels %v", node, p.Labels)
		}
	}
}
