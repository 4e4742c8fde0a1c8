package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Approval is the subresource through which a request is approved or denied.
const Approval = "approval"

// legacyUnknownSigner was what older versions of the API asked when nobody was named.
const legacyUnknownSigner = "kubernetes.io/legacy-unknown"

// CertificateSigningRequest returns the kind CertificateSigningRequest. Who asks is filled in by the API server.
func CertificateSigningRequest() *kind.Kind {
	return kind.Typed[*certificatesv1.CertificateSigningRequest]{
		ID: kind.CertificateSigningRequests, Version: certificatesv1.SchemeGroupVersion,
		Name: "CertificateSigningRequest", Singular: "certificatesigningrequest",
		ShortNames: []string{"csr"}, Cluster: true,
		New:     func() *certificatesv1.CertificateSigningRequest { return new(certificatesv1.CertificateSigningRequest) },
		NewList: func() runtime.Object { return new(certificatesv1.CertificateSigningRequestList) },

		PrepareCreate: func(r *certificatesv1.CertificateSigningRequest) {
			r.Status = certificatesv1.CertificateSigningRequestStatus{}
		},
		// What was asked for never changes; what was answered has its subresources.
		PrepareUpdate: func(r, old *certificatesv1.CertificateSigningRequest) {
			r.Spec, r.Status = *old.Spec.DeepCopy(), *old.Status.DeepCopy()
		},

		ValidateName: func(name string, prefix bool) []string { return nil },
		Validate:     validateRequest,

		PrepareStatus: func(r, old *certificatesv1.CertificateSigningRequest) {
			r.Spec = *old.Spec.DeepCopy()
			r.Status.Conditions = keepDecisions(r.Status.Conditions, old.Status.Conditions)
		},
		ValidateStatus: validateSigned,
		Parts: []kind.TypedPart[*certificatesv1.CertificateSigningRequest]{{
			Name: Approval,
			PrepareUpdate: func(r, old *certificatesv1.CertificateSigningRequest) {
				conditions := r.Status.Conditions
				r.Spec, r.Status = *old.Spec.DeepCopy(), *old.Status.DeepCopy()
				r.Status.Conditions = conditions
			},
			Validate: validateApproval,
		}},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.AgeColumn(),
			kind.Column("SignerName", "string", "Who shall sign."),
			kind.Column("Requestor", "string", "Who asks."),
			kind.Column("RequestedDuration", "string", "How long the certificate shall be valid."),
			kind.Column("Condition", "string", "Whether it was approved, denied, issued."),
		},
		Row: requestRow,
		Fields: func(r *certificatesv1.CertificateSigningRequest) fields.Set {
			return fields.Set{"spec.signerName": r.Spec.SignerName}
		},
	}.Kind()
}

// keepDecisions returns the conditions that a signer may set, with the decisions that were made: a signer makes none.
func keepDecisions(have, old []certificatesv1.CertificateSigningRequestCondition) []certificatesv1.CertificateSigningRequestCondition {
	decision := func(t certificatesv1.RequestConditionType) bool {
		return t == certificatesv1.CertificateApproved || t == certificatesv1.CertificateDenied
	}
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, c := range old {
		if decision(c.Type) {
			out = append(out, *c.DeepCopy())
		}
	}
	for _, c := range have {
		if !decision(c.Type) {
			out = append(out, c)
		}
	}
	return out
}

func validateRequest(r *certificatesv1.CertificateSigningRequest) field.ErrorList {
	path, spec := field.NewPath("spec"), &r.Spec
	var errs field.ErrorList
	if err := parseRequest(spec.Request); err != nil {
		errs = append(errs, field.Invalid(path.Child("request"), spec.Request, err.Error()))
	}
	if len(spec.Usages) == 0 {
		errs = append(errs, field.Required(path.Child("usages"), ""))
	}
	seen := sets.New[certificatesv1.KeyUsage]()
	for i, u := range spec.Usages {
		if !slices.Contains(usages(), u) {
			errs = append(errs, field.NotSupported(path.Child("usages").Index(i), u, usages()))
		}
		if seen.Has(u) {
			errs = append(errs, field.Duplicate(path.Child("usages").Index(i), u))
		}
		seen.Insert(u)
	}
	errs = append(errs, validateSigner(spec.SignerName, path.Child("signerName"))...)
	if spec.SignerName == legacyUnknownSigner {
		errs = append(errs, field.Invalid(path.Child("signerName"), spec.SignerName, "the legacy signerName is not allowed via this API version"))
	}
	if s := spec.ExpirationSeconds; s != nil && *s < 600 {
		errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	return errs
}

func parseRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	_, err := x509.ParseCertificateRequest(block.Bytes)
	return err
}

// validateSigner checks a name such as "example.com/signer": a domain, and a path of labels.
func validateSigner(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" {
		return field.ErrorList{field.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	var errs field.ErrorList
	if len(name) > 571 { // a domain of 253 characters, a slash, and another name, 63 characters and a dot
		errs = append(errs, field.TooLong(path, name, 571))
	}
	for _, msg := range validation.IsDNS1123Subdomain(domain) {
		errs = append(errs, field.Invalid(path, domain, fmt.Sprintf("validating domain %q: %s", domain, msg)))
	}
	for _, msg := range validation.IsDNS1123Subdomain(rest) {
		errs = append(errs, field.Invalid(path, rest, fmt.Sprintf("validating label %q: %s", rest, msg)))
	}
	if len(strings.Split(domain, ".")) < 2 {
		errs = append(errs, field.Invalid(path, domain, "should be a domain with at least two segments separated by dots"))
	}
	return errs
}

func usages() []certificatesv1.KeyUsage {
	return []certificatesv1.KeyUsage{
		certificatesv1.UsageAny, certificatesv1.UsageCRLSign, certificatesv1.UsageCertSign, certificatesv1.UsageClientAuth,
		certificatesv1.UsageCodeSigning, certificatesv1.UsageContentCommitment, certificatesv1.UsageDataEncipherment,
		certificatesv1.UsageDecipherOnly, certificatesv1.UsageDigitalSignature, certificatesv1.UsageEmailProtection,
		certificatesv1.UsageEncipherOnly, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel, certificatesv1.UsageIPsecUser,
		certificatesv1.UsageKeyAgreement, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
		certificatesv1.UsageOCSPSigning, certificatesv1.UsageSMIME, certificatesv1.UsageServerAuth, certificatesv1.UsageSigning, certificatesv1.UsageTimestamping,
	}
}

// validateApproval holds a decision: one of two, and for good.
func validateApproval(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := validateConditions(r.Status.Conditions)
	path := field.NewPath("status", "conditions")
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		was, is := ofType(old.Status.Conditions, t), ofType(r.Status.Conditions, t)
		switch {
		case len(is) < len(was):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		case t == certificatesv1.CertificateFailed && !equality.Semantic.DeepEqual(is, was):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not add a condition of type %q", t)))
		}
	}
	return errs
}

func validateSigned(r, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := validateConditions(r.Status.Conditions)
	path := field.NewPath("status", "conditions")
	if len(ofType(r.Status.Conditions, certificatesv1.CertificateFailed)) < len(ofType(old.Status.Conditions, certificatesv1.CertificateFailed)) {
		errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not remove a condition of type %q", certificatesv1.CertificateFailed)))
	}
	at := field.NewPath("status", "certificate")
	if len(old.Status.Certificate) > 0 && !bytes.Equal(r.Status.Certificate, old.Status.Certificate) {
		errs = append(errs, field.Forbidden(at, "updates may not set or modify existing certificate content"))
	} else if len(r.Status.Certificate) > 0 {
		if err := parseCertificates(r.Status.Certificate); err != nil {
			errs = append(errs, field.Invalid(at, "<certificate data>", err.Error()))
		}
	}
	return errs
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

func validateConditions(list []certificatesv1.CertificateSigningRequestCondition) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "conditions")
	seen := sets.New[certificatesv1.RequestConditionType]()
	for i, c := range list {
		at := path.Index(i)
		if c.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		if seen.Has(c.Type) {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen.Insert(c.Type)
		decision := c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed
		switch {
		case c.Status == "":
			errs = append(errs, field.Required(at.Child("status"), ""))
		case decision && c.Status != corev1.ConditionTrue:
			errs = append(errs, field.NotSupported(at.Child("status"), c.Status, []corev1.ConditionStatus{corev1.ConditionTrue}))
		}
	}
	if seen.HasAll(certificatesv1.CertificateApproved, certificatesv1.CertificateDenied) {
		errs = append(errs, field.Invalid(path, certificatesv1.CertificateDenied, "Approved and Denied conditions are mutually exclusive"))
	}
	return errs
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

func requestRow(r *certificatesv1.CertificateSigningRequest, now time.Time) []any {
	asked := "<none>"
	if s := r.Spec.ExpirationSeconds; s != nil {
		asked = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	var is []string
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		if len(ofType(r.Status.Conditions, t)) > 0 {
			is = append(is, string(t))
		}
	}
	state := strings.Join(is, ",")
	if state == "" {
		state = "Pending"
	}
	if len(r.Status.Certificate) > 0 {
		state += ",Issued"
	}
	return []any{r.Name, kind.Age(r, now), r.Spec.SignerName, r.Spec.Username, asked, state}
}
