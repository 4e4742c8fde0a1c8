package apiserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/kind/certificates"
)

// stampRequester writes into a new certificate signing request who asks, which no writer may claim. Other objects are
// left alone.
func stampRequester(r request, obj kind.Object) {
	csr, ok := obj.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return
	}
	spec := &csr.Spec
	spec.Username, spec.UID, spec.Groups, spec.Extra = r.user.Name, r.user.UID, slices.Clone(r.user.Groups), nil
	for key, values := range r.user.Extra {
		if spec.Extra == nil {
			spec.Extra = make(map[string]certificatesv1.ExtraValue, len(r.user.Extra))
		}
		spec.Extra[key] = slices.Clone(values)
	}
}

// stampConditions gives the conditions of a signing request that are new, or changed, their times.
func (s *Server) stampConditions(r request, next, cur kind.Object) {
	csr, ok := next.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.subresource == "" {
		return
	}
	now := apiTime(s.cfg.Now())
	old := cur.(*certificatesv1.CertificateSigningRequest).Status.Conditions
	for i := range csr.Status.Conditions {
		c := &csr.Status.Conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = now
		}
		if !c.LastTransitionTime.IsZero() {
			continue
		}
		c.LastTransitionTime = now
		for j := range old {
			if old[j].Type == c.Type && old[j].Status == c.Status && !old[j].LastTransitionTime.IsZero() {
				c.LastTransitionTime = old[j].LastTransitionTime
			}
		}
	}
}

// stampCertificate signs a request that was approved for one of Kubernetes' own signers, or says why not. It is done in
// the write that approves, so there is no request that was approved and waits.
func (s *Server) stampCertificate(r request, next kind.Object) error {
	csr, ok := next.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.subresource != certificates.Approval || s.cfg.SignCertificate == nil {
		return nil
	}
	now := s.cfg.Now()
	template, err := certificates.Certify(csr, now)
	if err != nil {
		csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure", Message: err.Error(),
			LastUpdateTime: apiTime(now), LastTransitionTime: apiTime(now),
		})
		return nil
	}
	if template == nil {
		return nil
	}
	if csr.Status.Certificate, err = s.cfg.SignCertificate(template); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("sign the certificate of %s: %w", csr.Name, err))
	}
	return nil
}

// confirmSigner refuses a decision about a signing request by someone who may not decide for its signer, and a
// certificate by someone who may not sign for it.
func (s *Server) confirmSigner(r request, obj, old kind.Object) error {
	csr, ok := obj.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.local {
		return nil
	}
	before := old.(*certificatesv1.CertificateSigningRequest)
	verb := ""
	switch r.subresource {
	case certificates.Approval:
		verb = "approve"
	case "status":
		if !bytes.Equal(csr.Status.Certificate, before.Status.Certificate) || !equality.Semantic.DeepEqual(csr.Status.Conditions, before.Status.Conditions) {
			verb = "sign"
		}
	}
	if verb == "" {
		return nil
	}
	signer := before.Spec.SignerName
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		if allowed, _ := s.cfg.Authorizer(auth.Attributes{User: r.user, Verb: verb, Group: certificatesv1.GroupName, Resource: "signers", Name: name}); allowed {
			return nil
		}
	}
	return apierrors.NewForbidden(r.kind.GroupResource(), csr.Name, fmt.Errorf("user not permitted to %s requests with signerName %q", verb, signer))
}
