package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// lifeMax is how long a certificate lives whose request does not say, and at most; upstream's default.
	lifeMax = 365 * 24 * time.Hour
	// backdate makes a certificate valid for clocks that are behind. One of a short life ends no earlier for it.
	backdate  = 5 * time.Minute
	shortLife = 8 * time.Hour

	organizationNodes = "system:nodes"
	nodePrefix        = "system:node:"
)

// Certify returns the certificate that Kubernetes' own signers make of a request that is approved, but for what the
// authority adds: the serial number, the issuer and the signature. It is nil for a request that waits for somebody
// else, or for nothing. The error says why the signer refuses the request.
//
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
func Certify(r *certificatesv1.CertificateSigningRequest, now time.Time) (*x509.Certificate, error) {
	check := signers()[r.Spec.SignerName]
	conditions := r.Status.Conditions
	if check == nil || len(r.Status.Certificate) > 0 || len(ofType(conditions, certificatesv1.CertificateApproved)) == 0 || len(ofType(conditions, certificatesv1.CertificateFailed)) > 0 {
		return nil, nil
	}
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("unable to verify certificate request signature: %w", err)
	}
	if err := check(req, r.Spec.Usages); err != nil {
		return nil, err
	}
	life := lifeMax
	if s := r.Spec.ExpirationSeconds; s != nil {
		life = min(life, max(time.Duration(*s)*time.Second, 10*time.Minute))
	}
	cert := &x509.Certificate{
		Subject: req.Subject, RawSubject: req.RawSubject,
		DNSNames: req.DNSNames, IPAddresses: req.IPAddresses, EmailAddresses: req.EmailAddresses, URIs: req.URIs,
		PublicKey: req.PublicKey, PublicKeyAlgorithm: req.PublicKeyAlgorithm,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life), BasicConstraintsValid: true,
	}
	if life >= shortLife {
		cert.NotAfter = cert.NotAfter.Add(-backdate)
	}
	for _, u := range r.Spec.Usages {
		switch u { // the signers let no others through
		case certificatesv1.UsageDigitalSignature:
			cert.KeyUsage |= x509.KeyUsageDigitalSignature
		case certificatesv1.UsageKeyEncipherment:
			cert.KeyUsage |= x509.KeyUsageKeyEncipherment
		case certificatesv1.UsageClientAuth:
			cert.ExtKeyUsage = append(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		case certificatesv1.UsageServerAuth:
			cert.ExtKeyUsage = append(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	}
	return cert, nil
}

// signers returns what each of Kubernetes' own signers asks of a request.
func signers() map[string]func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error {
	return map[string]func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error{
		certificatesv1.KubeAPIServerClientSignerName:        checkClient,
		certificatesv1.KubeAPIServerClientKubeletSignerName: checkNodeClient,
		certificatesv1.KubeletServingSignerName:             checkNodeServing,
	}
}

func checkClient(_ *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func checkNodeClient(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(req.Subject.Organization, []string{organizationNodes}):
		return fmt.Errorf("subject organization is not %s", organizationNodes)
	case len(req.DNSNames) > 0:
		return noAltNames("DNS")
	case len(req.EmailAddresses) > 0:
		return noAltNames("Email")
	case len(req.IPAddresses) > 0:
		return noAltNames("IP")
	case len(req.URIs) > 0:
		return noAltNames("URI")
	case !strings.HasPrefix(req.Subject.CommonName, nodePrefix):
		return fmt.Errorf("subject common name does not begin with %s", nodePrefix)
	}
	return checkNodeUsages(usages, certificatesv1.UsageClientAuth)
}

func noAltNames(of string) error { return fmt.Errorf("%s subjectAltNames are not allowed", of) }

func checkNodeServing(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(req.Subject.Organization, []string{organizationNodes}):
		return fmt.Errorf("subject organization is not %s", organizationNodes)
	case len(req.DNSNames) == 0 && len(req.IPAddresses) == 0:
		return errors.New("DNS or IP subjectAltName is required")
	case len(req.EmailAddresses) > 0:
		return noAltNames("Email")
	case len(req.URIs) > 0:
		return noAltNames("URI")
	}
	if err := checkNodeUsages(usages, certificatesv1.UsageServerAuth); err != nil {
		return err
	}
	if !strings.HasPrefix(req.Subject.CommonName, nodePrefix) {
		return fmt.Errorf("subject common name does not begin with %s", nodePrefix)
	}
	return nil
}

// checkNodeUsages wants digital signature and another one; key encipherment may be there, for RSA.
func checkNodeUsages(usages []certificatesv1.KeyUsage, other certificatesv1.KeyUsage) error {
	want := sets.New(certificatesv1.UsageDigitalSignature, other)
	all := want.Clone().Insert(certificatesv1.UsageKeyEncipherment)
	if have := sets.New(usages...); !have.Equal(want) && !have.Equal(all) {
		return fmt.Errorf("usages did not match %v", sets.List(all))
	}
	return nil
}
