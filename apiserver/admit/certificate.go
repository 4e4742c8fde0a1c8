package admit

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"

	"sampan/kind"
	"sampan/view"
)

// CertificateSubject refuses requests for client certificates of the group that may do everything: with one, whoever
// may approve requests could make himself its member.
func CertificateSubject(req *Request, _ *view.Snapshot) error {
	csr, ok := req.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || req.Kind.ID != kind.CertificateSigningRequests || req.Verb != Create || req.Subresource != "" {
		return nil
	}
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	asked, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return forbidden(req, "failed to parse CSR: %w", err)
	}
	if slices.Contains(asked.Subject.Organization, "system:masters") {
		return forbidden(req, "use of %s signer with system:masters group is not allowed", csr.Spec.SignerName)
	}
	return nil
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}
