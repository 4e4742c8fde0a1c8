package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestApprovedRequestsAreSigned asks for certificates as a user who may only ask, approves as one who may only do that,
// and uses what comes out.
func TestApprovedRequestsAreSigned(t *testing.T) {
	g := newSecured(t)
	ctx, admin := t.Context(), g.admin()
	for user, role := range map[string]rbacv1.ClusterRole{
		"asker": {Rules: []rbacv1.PolicyRule{{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests"}, Verbs: []string{"create", "get"}}}},
		"approver": {Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"}, Verbs: []string{"get", "update", "patch"}},
			{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"kubernetes.io/kube-apiserver-client"}, Verbs: []string{"approve"}},
		}},
	} {
		role.Name = user
		if _, err := admin.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	asker, approver := clientset(t, g.certified(g.ca, "asker")).CertificatesV1().CertificateSigningRequests(), clientset(t, g.certified(g.ca, "approver")).CertificatesV1().CertificateSigningRequests()
	ask := func(name, signer string, usages ...certificatesv1.KeyUsage) *certificatesv1.CertificateSigningRequest {
		t.Helper()
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name, Organization: []string{"devs"}}}, key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := asker.Create(ctx, &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer, Usages: usages, ExpirationSeconds: new(int32(3600)),
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	decide := func(r *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType, opts metav1.UpdateOptions) (*certificatesv1.CertificateSigningRequest, error) {
		r = r.DeepCopy()
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: t, Status: "True", Reason: "Test"}}
		return approver.UpdateApproval(ctx, r.Name, r, opts)
	}
	const client, approved = certificatesv1.KubeAPIServerClientSignerName, certificatesv1.CertificateApproved

	jane := ask("jane", client, certificatesv1.UsageClientAuth)
	_, err = asker.UpdateApproval(ctx, "jane", jane, metav1.UpdateOptions{})
	wantError(t, "who asks approves", err, apierrors.IsForbidden, `cannot update resource "certificatesigningrequests/approval"`)
	if tried, err := decide(jane, approved, metav1.UpdateOptions{DryRun: []string{"All"}}); err != nil || len(tried.Status.Certificate) > 0 {
		t.Errorf("a dry run: %v %v", tried, err)
	}
	signed, err := decide(jane, approved, metav1.UpdateOptions{})
	if err != nil || len(signed.Status.Certificate) == 0 || len(signed.Status.Conditions) != 1 {
		t.Fatalf("approved: %+v %v", signed, err)
	}
	cfg := g.config()
	cfg.CertData, cfg.KeyData = signed.Status.Certificate, keyPEM
	who, err := clientset(t, cfg).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || who.Status.UserInfo.Username != "jane" || strings.Join(who.Status.UserInfo.Groups, ",") != "devs,system:authenticated" {
		t.Errorf("with the certificate: %+v %v", who, err)
	}
	block, rest := pem.Decode(signed.Status.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	if _, err := clientset(t, g.certified(g.ca, "jane")).CoreV1().Nodes().List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("jane may more than she should: %v", err)
	}
	g.now.Store(3700)
	_, err = clientset(t, cfg).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	wantError(t, "after an hour, until "+cert.NotAfter.String(), err, apierrors.IsUnauthorized, "Unauthorized")
	g.now.Store(0)

	wrong, err := decide(ask("wrong", client, certificatesv1.UsageServerAuth), approved, metav1.UpdateOptions{})
	if err != nil || len(wrong.Status.Certificate) > 0 || len(wrong.Status.Conditions) != 2 {
		t.Fatalf("a request for something else: %+v %v", wrong, err)
	}
	if c := wrong.Status.Conditions[1]; c.Type != certificatesv1.CertificateFailed || c.Reason != "SignerValidationFailure" || c.Message != "invalid usage for client certificate: server auth" || c.LastUpdateTime.IsZero() {
		t.Errorf("failed with %+v", c)
	}
	if denied, err := decide(ask("denied", client, certificatesv1.UsageClientAuth), certificatesv1.CertificateDenied, metav1.UpdateOptions{}); err != nil || len(denied.Status.Certificate) > 0 {
		t.Errorf("denied: %+v %v", denied, err)
	}
	node := ask("system:node:x", certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.UsageClientAuth)
	_, err = decide(node, approved, metav1.UpdateOptions{})
	wantError(t, "another signer's", err, apierrors.IsForbidden, `user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client-kubelet"`)

	// A status that says the same needs no right to sign; another one does.
	same := wrong.DeepCopy()
	if _, err := approver.UpdateStatus(ctx, same, metav1.UpdateOptions{}); err != nil {
		t.Errorf("the same status: %v", err)
	}
	pending := ask("pending", client, certificatesv1.UsageClientAuth)
	pending.Status.Certificate = signed.Status.Certificate
	_, err = approver.UpdateStatus(ctx, pending, metav1.UpdateOptions{})
	wantError(t, "a certificate of one's own", err, apierrors.IsForbidden, `user not permitted to sign requests with signerName "kubernetes.io/kube-apiserver-client"`)
}
