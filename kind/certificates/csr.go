package certificates

import (
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	"sampan/kind"
)

// Approval is the subresource through which a request is approved or denied.
const Approval = "approval"

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

		ValidateName: path.ValidatePathSegmentName,
		Validate:     validateRequest,

		PrepareStatus: func(r, old *certificatesv1.CertificateSigningRequest) {
			r.Spec = *old.Spec.DeepCopy()
			keepDecisions(r.Status.Conditions, old.Status.Conditions)
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

func requestRow(r *certificatesv1.CertificateSigningRequest, now time.Time) []any {
	asked := "<none>"
	if s := r.Spec.ExpirationSeconds; s != nil {
		asked = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	state := "Pending"
	switch types := typesOf(r.Status.Conditions); {
	case types.Has(certificatesv1.CertificateDenied):
		state = "Denied"
	case types.Has(certificatesv1.CertificateApproved):
		state = "Approved"
	}
	if typesOf(r.Status.Conditions).Has(certificatesv1.CertificateFailed) {
		state += ",Failed"
	}
	if len(r.Status.Certificate) > 0 {
		state += ",Issued"
	}
	signer := r.Spec.SignerName
	if signer == "" {
		signer = "<none>"
	}
	return []any{r.Name, kind.Age(r, now), signer, r.Spec.Username, asked, state}
}
