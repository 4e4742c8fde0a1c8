package certificates_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"

	"sampan/kind/certificates"
	"sampan/kind/kindtest"
)

// manifest returns a valid request.
func manifest(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return `{spec: {request: ` + base64.StdEncoding.EncodeToString(data) + `, signerName: example.com/signer, usages: [client auth]}}`
}

func TestValidation(t *testing.T) {
	k, valid := certificates.CertificateSigningRequest(), manifest(t)
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {expirationSeconds: 600, signerName: kubernetes.io/kube-apiserver-client}}`, nil},
		{`{spec: {request: aGVsbG8=}}`, []string{`spec.request: Invalid value: `}},
		{`{spec: {usages: []}}`, []string{"spec.usages: Required value"}},
		{`{spec: {usages: [odd, any, any]}}`, []string{`spec.usages[0]: Unsupported value: "odd"`, `spec.usages[2]: Duplicate value: "any"`}},
		{`{spec: {signerName: null}}`, []string{"spec.signerName: Required value"}},
		{`{spec: {signerName: signer}}`, []string{`spec.signerName: Invalid value: "signer": must be a fully qualified domain and path of the form 'example.com/signer-name'`}},
		{`{spec: {signerName: a.b/c/d}}`, []string{`spec.signerName: Invalid value: "a.b/c/d": must be a fully qualified domain and path of the form 'example.com/signer-name'`}},
		{`{spec: {signerName: A.b/C}}`, []string{`spec.signerName: Invalid value: "A.b": validating label "A": a lowercase RFC 1123 label`, `spec.signerName: Invalid value: "C": validating label "C": a lowercase RFC 1123 subdomain`}},
		{`{spec: {signerName: kubernetes.io/legacy-unknown}}`, []string{`spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version`}},
		{`{spec: {signerName: com/signer}}`, []string{`spec.signerName: Invalid value: "com": should be a domain with at least two segments separated by dots`}},
		{`{spec: {expirationSeconds: 599}}`, []string{"spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, valid, c.patch), c.want...) })
	}
}

func TestDecisionsAreForGood(t *testing.T) {
	k := certificates.CertificateSigningRequest()
	approval := k.Part(certificates.Approval)
	condition := func(kinds ...certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
		var out []certificatesv1.CertificateSigningRequestCondition
		for _, t := range kinds {
			out = append(out, certificatesv1.CertificateSigningRequestCondition{Type: t, Status: "True"})
		}
		return out
	}
	for _, c := range []struct {
		was, is []certificatesv1.CertificateSigningRequestCondition
		want    []string
	}{
		{nil, condition("Approved"), nil},
		{condition("Approved"), condition("Approved"), nil},
		{condition("Approved"), nil, []string{`status.conditions: Forbidden: updates may not remove a condition of type "Approved"`}},
		{condition("Denied"), condition("Denied", "Approved"), []string{
			`status.conditions: Invalid value: "{conditions[{\"type\": \"Approved\"}], conditions[{\"type\": \"Denied\"}]}": ` +
				"must specify at most one of: `conditions[{\"type\": \"Approved\"}]`, `conditions[{\"type\": \"Denied\"}]`"}},
		{condition("Failed"), nil, []string{`status.conditions: Forbidden: updates may not remove a condition of type "Failed"`}},
		{nil, condition("Approved", "Approved"), []string{`status.conditions[1].type: Duplicate value: "Approved"`}},
		{condition("Odd", "Odd"), condition("Odd", "Odd"), nil},
		{nil, condition(""), []string{`status.conditions[0].type: Required value`}},
		{nil, []certificatesv1.CertificateSigningRequestCondition{{Type: "Odd", Status: "Odd"}, {Type: "Even"}}, []string{
			`status.conditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"`, "status.conditions[1].status: Required value"}},
		{nil, []certificatesv1.CertificateSigningRequestCondition{{Type: "Approved", Status: "False"}}, []string{
			`status.conditions[0].status: Unsupported value: "False": supported values: "True"`}},
	} {
		old := kindtest.Created(t, k, manifest(t)).(*certificatesv1.CertificateSigningRequest)
		old.Status.Conditions = c.was
		next := old.DeepCopy()
		next.Status.Conditions = c.is
		next.Spec.SignerName = "example.com/other"
		approval.PrepareUpdate(next, old)
		if next.Spec.SignerName != old.Spec.SignerName {
			t.Error("an approval changed what was asked for")
		}
		kindtest.Check(t, approval.Validate(next, old), c.want...)
	}
}

func TestCertificateIsWrittenOnce(t *testing.T) {
	k := certificates.CertificateSigningRequest()
	old := kindtest.Created(t, k, manifest(t)).(*certificatesv1.CertificateSigningRequest)
	next := old.DeepCopy()
	next.Status.Certificate = []byte("no certificate")
	kindtest.Check(t, k.Status.Validate(next, old), "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block")
	old.Status.Certificate = []byte("old")
	kindtest.Check(t, k.Status.Validate(next, old), "status.certificate: Forbidden: updates may not modify existing certificate content")
}

func TestSignersMakeNoDecisions(t *testing.T) {
	k, valid := certificates.CertificateSigningRequest(), manifest(t)
	old := kindtest.Stored(t, k, valid, `{status: {conditions: [{type: Approved, status: "True", reason: r}]}}`)
	next, errs := kindtest.UpdateStatus(t, k, old, `{status: {conditions: [{type: Approved, status: "True", reason: other}, {type: Failed, status: "True"}]}}`)
	kindtest.Check(t, errs)
	if r := next.(*certificatesv1.CertificateSigningRequest).Status.Conditions[0].Reason; r != "r" {
		t.Errorf("a signer set the reason of an approval to %q", r)
	}
	_, errs = kindtest.UpdateStatus(t, k, old, `{status: {conditions: []}}`)
	kindtest.Check(t, errs, `status.conditions: Forbidden: updates may not remove a condition of type "Approved"`)
	_, errs = kindtest.UpdateStatus(t, k, kindtest.Created(t, k, valid), `{status: {conditions: [{type: Denied, status: "True"}]}}`)
	kindtest.Check(t, errs, `status.conditions: Forbidden: updates may not add a condition of type "Denied"`)
}

func TestTable(t *testing.T) {
	k := certificates.CertificateSigningRequest()
	if d := cmp.Diff(`NAME   AGE   SIGNERNAME           REQUESTOR   REQUESTEDDURATION   CONDITION
a      5m    example.com/signer   jane        <none>              Pending
a      5m    example.com/signer   jane        24h                 Approved,Issued
a      5m    <none>               jane        <none>              Pending,Failed
a      5m    example.com/signer   jane        <none>              Denied
`, kindtest.Table(t, k,
		kindtest.Parse(t, k, manifest(t), `{spec: {username: jane}}`),
		kindtest.Parse(t, k, manifest(t), `{spec: {username: jane, expirationSeconds: 86400}, status: {certificate: eA==, conditions: [{type: Approved, status: "True"}]}}`),
		kindtest.Parse(t, k, manifest(t), `{spec: {username: jane, signerName: null}, status: {conditions: [{type: Failed, status: "True"}]}}`),
		kindtest.Parse(t, k, manifest(t), `{spec: {username: jane}, status: {conditions: [{type: Denied, status: "True"}]}}`),
	)); d != "" {
		t.Error(d)
	}
}
