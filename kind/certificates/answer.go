package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateApproval holds a decision: one of two, and for good.
func validateApproval(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return append(validateConditions(r, old), conditionsKept(r, old)...)
}

// validateSigned holds what a signer writes: a certificate, once, and no decisions.
func validateSigned(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := append(validateConditions(r, old), conditionsKept(r, old)...)
	path := field.NewPath("status", "conditions")
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied} {
		if len(ofType(r.Status.Conditions, t)) > len(ofType(old.Status.Conditions, t)) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not add a condition of type %q", t)))
		}
	}
	at, certificate := field.NewPath("status", "certificate"), r.Status.Certificate
	if bytes.Equal(certificate, old.Status.Certificate) {
		return errs
	}
	if len(old.Status.Certificate) > 0 {
		errs = append(errs, field.Forbidden(at, "updates may not modify existing certificate content"))
	}
	// What older clusters let through is borne with.
	if len(certificate) > 0 && (len(old.Status.Certificate) == 0 || parseCertificates(old.Status.Certificate) == nil) {
		if err := parseCertificates(certificate); err != nil {
			errs = append(errs, field.Invalid(at, "<certificate data>", err.Error()))
		}
	}
	return errs
}

// keepDecisions puts back what a signer wrote into the decisions, in place: he makes none. Decisions that he added or
// left out stay as they are, to be refused.
func keepDecisions(have, old []certificatesv1.CertificateSigningRequestCondition) {
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied} {
		was := ofType(old, t)
		if len(was) != len(ofType(have, t)) {
			continue
		}
		for i := range have {
			if have[i].Type == t {
				have[i], was = *was[0].DeepCopy(), was[1:]
			}
		}
	}
}

// conditionsKept checks that what was decided, and that signing failed, is not taken back.
func conditionsKept(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	var errs field.ErrorList
	for _, t := range decisive() {
		if len(ofType(r.Status.Conditions, t)) < len(ofType(old.Status.Conditions, t)) {
			errs = append(errs, field.Forbidden(field.NewPath("status", "conditions"), fmt.Sprintf("updates may not remove a condition of type %q", t)))
		}
	}
	return errs
}

// decisive returns the types of conditions that are there or not, and never denied.
func decisive() []certificatesv1.RequestConditionType {
	return []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed}
}

// validateConditions bears with what the old conditions have already: repeated or empty types, both decisions.
func validateConditions(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "conditions")
	was := typesOf(old.Status.Conditions)
	repeated := was.Len() < len(old.Status.Conditions)
	seen := sets.New[certificatesv1.RequestConditionType]()
	for i, c := range r.Status.Conditions {
		at := path.Index(i)
		if c.Type == "" && !was.Has("") {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		if seen.Has(c.Type) && !repeated {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen.Insert(c.Type)
		allowed := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
		if slices.Contains(decisive(), c.Type) {
			allowed = []corev1.ConditionStatus{corev1.ConditionTrue}
		}
		switch {
		case c.Status == "":
			errs = append(errs, field.Required(at.Child("status"), ""))
		case !slices.Contains(allowed, c.Status):
			errs = append(errs, field.NotSupported(at.Child("status"), c.Status, allowed))
		}
	}
	if both := []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied}; seen.HasAll(both...) && !was.HasAll(both...) {
		errs = append(errs, bothDecisions(path))
	}
	return errs
}

// bothDecisions is the error of upstream's declarative validation for a list of conditions that has both decisions.
func bothDecisions(path *field.Path) *field.Error {
	const approved, denied = `conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`
	return field.Invalid(path, "{"+approved+", "+denied+"}", "must specify at most one of: `"+approved+"`, `"+denied+"`")
}

func typesOf(list []certificatesv1.CertificateSigningRequestCondition) sets.Set[certificatesv1.RequestConditionType] {
	types := sets.New[certificatesv1.RequestConditionType]()
	for _, c := range list {
		types.Insert(c.Type)
	}
	return types
}

func ofType(list []certificatesv1.CertificateSigningRequestCondition, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, c := range list {
		if c.Type == t {
			out = append(out, c)
		}
	}
	return out
}

func parseCertificates(data []byte) error {
	n := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) > 0 {
			return errors.New("no PEM block headers are permitted")
		}
		if _, err := x509.ParseCertificates(block.Bytes); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}
