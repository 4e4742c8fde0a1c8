package apiserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
	"sampan/apiserver/audit"
	"sampan/internal/pki"
	"sampan/store/memory"
)

// secured is a server with RBAC, and a clock that a test can turn.
type secured struct {
	t      *testing.T
	ca     *pki.CA
	url    string
	server *apiserver.Server
	close  func()       // returns when nobody is served any more
	now    atomic.Int64 // seconds ahead of the clock
}

func (g *secured) clock() time.Time { return time.Now().Add(time.Duration(g.now.Load()) * time.Second) }

func newSecured(t *testing.T, change ...func(*apiserver.Config)) *secured {
	t.Helper()
	ca, err := pki.NewCA("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g := &secured{t: t, ca: ca}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	s := newServer(t, st, append(change, func(c *apiserver.Config) {
		c.Authorizer, c.ClientCAs, c.SignCertificate, c.Now = nil, roots, ca.Sign, g.clock
	})...)
	g.server = s
	h := httptest.NewUnstartedServer(s.Handler())
	h.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	h.EnableHTTP2 = true
	h.StartTLS()
	g.close = func() {
		h.CloseClientConnections()
		h.Close()
	}
	t.Cleanup(g.close)
	g.url = h.URL
	return g
}

// config returns how to reach the server as nobody.
func (g *secured) config() *rest.Config {
	return &rest.Config{Host: g.url, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
}

// certified returns how to reach it with a certificate of an authority.
func (g *secured) certified(ca *pki.CA, name string, groups ...string) *rest.Config {
	g.t.Helper()
	pair, err := ca.Issue(pki.Request{CommonName: name, Organizations: groups, Client: true}, time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	cfg := g.config()
	cfg.CertData, cfg.KeyData = pair.CertPEM, pair.KeyPEM
	return cfg
}

func (g *secured) admin() *kubernetes.Clientset {
	return clientset(g.t, g.certified(g.ca, "admin", "system:masters"))
}

func (g *secured) withToken(token string) *kubernetes.Clientset {
	cfg := g.config()
	cfg.BearerToken = token
	return clientset(g.t, cfg)
}

func (g *secured) token(account string, spec authenticationv1.TokenRequestSpec) string {
	g.t.Helper()
	r, err := g.admin().CoreV1().ServiceAccounts("default").CreateToken(g.t.Context(), account, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	return r.Status.Token
}

func (g *secured) account(name string) {
	g.t.Helper()
	_, err := g.admin().CoreV1().ServiceAccounts("default").Create(g.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, err error, is func(error) bool, text string) {
	t.Helper()
	if err == nil || !is(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q in it", what, err, text)
	}
}

func TestOnlyWhoIsKnownGetsIn(t *testing.T) {
	g := newSecured(t)
	ctx := t.Context()
	foreign, err := pki.NewCA("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	list := func(c *kubernetes.Clientset) error {
		_, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return err
	}
	if err := list(g.admin()); err != nil {
		t.Errorf("the administrator: %v", err)
	}
	nobody := clientset(t, g.config())
	wantError(t, "nobody", list(nobody), apierrors.IsForbidden, `nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope`)
	if _, err := nobody.Discovery().ServerVersion(); err != nil {
		t.Errorf("nobody may not ask for the version: %v", err)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/livez": 200, "/metrics": 403, "/api": 403, "/apis/apps/v1": 403, "/openapi/v2": 403, "/": 403} {
		if err := nobody.RESTClient().Get().AbsPath(path).Do(ctx).Error(); (err == nil) != (want == 200) {
			t.Errorf("nobody gets %s: %v", path, err)
		}
	}
	stranger := clientset(t, g.certified(foreign, "admin", "system:masters"))
	wantError(t, "a certificate of another authority", list(stranger), apierrors.IsUnauthorized, "Unauthorized")
	bob := clientset(t, g.certified(g.ca, "bob"))
	wantError(t, "bob", list(bob), apierrors.IsForbidden, `User "bob" cannot list resource "nodes"`)
	if _, err := bob.Discovery().ServerResourcesForGroupVersion("apps/v1"); err != nil {
		t.Errorf("bob may not look at what is served: %v", err)
	}
	wantError(t, "an invented token", list(g.withToken("abc.def.ghi")), apierrors.IsUnauthorized, "Unauthorized")
	other := newSecured(t)
	other.account("a")
	wantError(t, "a token of another cluster", list(g.withToken(other.token("a", authenticationv1.TokenRequestSpec{}))), apierrors.IsUnauthorized, "Unauthorized")
	admin := g.admin()
	g.now.Store(int64((366 * 24 * time.Hour).Seconds()))
	wantError(t, "an expired certificate", list(admin), apierrors.IsUnauthorized, "Unauthorized")
}

func TestTokensEndWithWhatTheyAreBoundTo(t *testing.T) {
	g := newSecured(t)
	ctx := t.Context()
	g.account("web")
	admin := g.admin()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
		Spec:       corev1.PodSpec{ServiceAccountName: "web", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	pod, err := admin.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whoami := func(token string) (authenticationv1.UserInfo, error) {
		r, err := g.withToken(token).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return authenticationv1.UserInfo{}, err
		}
		return r.Status.UserInfo, nil
	}
	ten := int64(600)
	free := g.token("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &ten})
	bound := g.token("web", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: pod.UID}})
	elsewhere := g.token("web", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})

	u, err := whoami(bound)
	if err != nil || u.Username != "system:serviceaccount:default:web" || u.Extra["authentication.kubernetes.io/pod-name"][0] != "p" ||
		strings.Join(u.Groups, " ") != "system:serviceaccounts system:serviceaccounts:default system:authenticated" {
		t.Errorf("who am I: %+v %v", u, err)
	}
	_, err = whoami(elsewhere)
	wantError(t, "a token for somebody else", err, apierrors.IsUnauthorized, "Unauthorized")
	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		r, err := admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	if st := review(elsewhere, "vault", "x"); !st.Authenticated || st.User.Username != "system:serviceaccount:default:web" || len(st.Audiences) != 1 {
		t.Errorf("review: %+v", st)
	}
	if st := review(elsewhere); st.Authenticated || !strings.Contains(st.Error, "invalid bearer token") {
		t.Errorf("review for the API: %+v", st)
	}

	// The pod goes: its token ends, the other stays.
	zero := int64(0)
	if err := admin.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	_, err = whoami(bound)
	wantError(t, "a token of a pod that is gone", err, apierrors.IsUnauthorized, "Unauthorized")
	if _, err := whoami(free); err != nil {
		t.Errorf("a token of the account alone: %v", err)
	}
	g.now.Store(700)
	_, err = whoami(free)
	wantError(t, "an expired token", err, apierrors.IsUnauthorized, "Unauthorized")
	if st := review(free); st.Error != "[invalid bearer token, service account token has expired]" {
		t.Errorf("review of an expired token: %+v", st)
	}
	g.now.Store(0)
	// Another account of the name is another account.
	if err := admin.CoreV1().ServiceAccounts("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.account("web")
	_, err = whoami(free)
	wantError(t, "a token of an account that was replaced", err, apierrors.IsUnauthorized, "Unauthorized")
}

// A program that reads its token once goes on working: what admission asks for in a pod's token is when it shall be
// renewed, not when it ends.
func TestTokensOfPodsOutliveTheirRenewal(t *testing.T) {
	file := new(memoryFile)
	log := audit.New(file, audit.Everything(), silent())
	g := newSecured(t, func(c *apiserver.Config) { c.Audit = log })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- log.Run(ctx) }()
	g.account("web")
	pod, err := g.admin().CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
		Spec:       corev1.PodSpec{ServiceAccountName: "web", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ref := &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: pod.UID}
	whoami := func(token string) error {
		_, err := g.withToken(token).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		return err
	}
	mounted, asked := int64(3607), int64(3608)
	extended := g.token("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &mounted, BoundObjectRef: ref})
	plain := g.token("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &asked, BoundObjectRef: ref})
	free := g.token("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &mounted})
	if err := whoami(extended); err != nil {
		t.Errorf("a new token: %v", err)
	}
	g.now.Store(3700)
	if err := whoami(extended); err != nil {
		t.Errorf("a token that should have been renewed: %v", err)
	}
	wantError(t, "a token of another life", whoami(plain), apierrors.IsUnauthorized, "Unauthorized")
	wantError(t, "a token of no pod", whoami(free), apierrors.IsUnauthorized, "Unauthorized")
	g.now.Store(366 * 24 * 3600)
	wantError(t, "a token of last year", whoami(extended), apierrors.IsUnauthorized, "Unauthorized")
	g.close()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var issued, stale []string
	for line := range strings.Lines(file.data.String()) {
		var e auditv1.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Stage != auditv1.StageResponseComplete {
			continue
		}
		if id := e.Annotations["authentication.kubernetes.io/issued-credential-id"]; id != "" {
			issued = append(issued, id)
		}
		if text := e.Annotations["authentication.k8s.io/stale-token"]; text != "" {
			stale = append(stale, text)
		}
	}
	if len(issued) != 3 || !strings.HasPrefix(issued[0], "JTI=") || issued[0] == issued[1] {
		t.Errorf("issued tokens in the log: %q", issued)
	}
	if len(stale) != 1 || !strings.HasPrefix(stale[0], "subject: system:serviceaccount:default:web, seconds after warning threshold: ") {
		t.Errorf("stale tokens in the log: %q", stale)
	}
}

func TestTokenRequestsAreChecked(t *testing.T) {
	g := newSecured(t)
	g.account("web")
	ask := func(account string, spec authenticationv1.TokenRequestSpec) error {
		_, err := g.admin().CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
		return err
	}
	short, long := int64(60), int64(1)<<33
	ref := func(kind, name string) authenticationv1.TokenRequestSpec {
		return authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: kind, APIVersion: "v1", Name: name}}
	}
	wantError(t, "no account", ask("none", authenticationv1.TokenRequestSpec{}), apierrors.IsNotFound, `serviceaccounts "none" not found`)
	wantError(t, "too short", ask("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &short}), apierrors.IsInvalid, "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes")
	wantError(t, "too long", ask("web", authenticationv1.TokenRequestSpec{ExpirationSeconds: &long}), apierrors.IsInvalid, "may not specify a duration larger than 2^32 seconds")
	var warned []string
	cfg := g.certified(g.ca, "admin", "system:masters")
	cfg.WarningHandler = warnings(func(text string) { warned = append(warned, text) })
	decade := int64(10 * 365 * 24 * 60 * 60)
	got, err := clientset(t, cfg).CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "web", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &decade}}, metav1.CreateOptions{})
	if err != nil || *got.Spec.ExpirationSeconds != decade/10 || strings.Join(warned, "") != "requested expiration of 315360000 seconds shortened to 31536000 seconds" {
		t.Errorf("ten years: %v %v %q", got, err, warned)
	}
	_, err = g.admin().CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "web", &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{UID: "other"}}, metav1.CreateOptions{})
	wantError(t, "of an earlier account", err, apierrors.IsConflict, "the UID in the token request (other) does not match the UID of the service account")
	_, err = g.admin().CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "web", &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	wantError(t, "of another account", err, apierrors.IsInvalid, `metadata.name: Invalid value: "x": must match the service account name if specified`)
	wantError(t, "bound to what is not there", ask("web", ref("Pod", "x")), apierrors.IsNotFound, `pods "x" not found`)
	wrong := ref("Node", "n1")
	wrong.BoundObjectRef.APIVersion, wrong.BoundObjectRef.UID = "", "other"
	if _, err := g.admin().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wantError(t, "bound to another of the name", ask("web", wrong), apierrors.IsConflict, `Operation cannot be fulfilled on Node "n1": the UID in the bound object reference (other) does not match the UID in record`)
	_, err = g.admin().CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "web", &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "x"}}, metav1.CreateOptions{})
	wantError(t, "of another namespace", err, apierrors.IsBadRequest, "the namespace of the provided object does not match the namespace sent on the request")
	wantError(t, "bound to what cannot be", ask("web", ref("ConfigMap", "x")), apierrors.IsBadRequest, "cannot bind token to object of type /v1, Kind=ConfigMap")
}

// warnings is a function that is told of warnings.
type warnings func(string)

func (w warnings) HandleWarningHeader(_ int, _, text string) { w(text) }

func TestOthersCanVerifyTokens(t *testing.T) {
	g := newSecured(t, func(c *apiserver.Config) { c.PublicURL = "https://here:6443" })
	g.account("web")
	c := g.withToken(g.token("web", authenticationv1.TokenRequestSpec{})).RESTClient()
	raw, err := c.Get().AbsPath("/.well-known/openid-configuration").DoRaw(t.Context())
	var doc map[string]any
	if err != nil || json.Unmarshal(raw, &doc) != nil || doc["issuer"] != apiserver.DefaultTokenIssuer || doc["jwks_uri"] != "https://here:6443/openid/v1/jwks" {
		t.Errorf("discovery: %s %v", raw, err)
	}
	raw, err = c.Get().AbsPath("/openid/v1/jwks").DoRaw(t.Context())
	if err != nil || !strings.Contains(string(raw), `"alg":"ES256"`) || strings.Contains(string(raw), `"d"`) {
		t.Errorf("keys: %s %v", raw, err)
	}
}

func TestRolesDecideAndNobodyHandsOutWhatItLacks(t *testing.T) {
	g := newSecured(t)
	ctx := t.Context()
	admin := g.admin()
	bind := func(name, role string, subjects ...rbacv1.Subject) {
		t.Helper()
		_, err := admin.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: subjects,
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	bob := clientset(t, g.certified(g.ca, "bob", "devs"))
	bind("devs-see", "system:aggregate-to-view", rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "devs"})
	bind("bob-rules", "system:aggregate-to-admin", rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"})

	if _, err := bob.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("bob may not list pods: %v", err)
	}
	_, err := bob.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	wantError(t, "secrets", err, apierrors.IsForbidden, `secrets is forbidden: User "bob" cannot list resource "secrets" in API group "" in the namespace "default"`)
	_, err = bob.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})
	wantError(t, "another namespace", err, apierrors.IsForbidden, `in the namespace "kube-system"`)

	role := func(name, resource string, verbs ...string) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{Verbs: verbs, APIGroups: []string{""}, Resources: []string{resource}}}}
	}
	if _, err := bob.RbacV1().Roles("default").Create(ctx, role("pods", "pods", "get"), metav1.CreateOptions{}); err != nil {
		t.Errorf("bob may not hand out what it has: %v", err)
	}
	_, err = bob.RbacV1().Roles("default").Create(ctx, role("all", "secrets", "get", "list"), metav1.CreateOptions{})
	wantError(t, "a role with more", err, apierrors.IsForbidden,
		`roles.rbac.authorization.k8s.io "all" is forbidden: user "bob" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:`+"\n"+`{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`)
	_, err = bob.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "up"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}},
	}, metav1.CreateOptions{})
	wantError(t, "a binding to more", err, apierrors.IsForbidden, "not currently held")
	_, err = bob.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "none"},
	}, metav1.CreateOptions{})
	wantError(t, "a binding to nothing", err, apierrors.IsNotFound, `roles.rbac.authorization.k8s.io "none" not found`)

	// Who may update a Lease may not make one by it.
	if _, err := admin.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "leases"}, Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"update"}, APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "leases"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "leases"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = bob.CoordinationV1().Leases("default").Update(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.UpdateOptions{})
	wantError(t, "an update that creates", err, apierrors.IsForbidden, `cannot create resource "leases"`)

	// Impersonation: bob may be alice only once a role says so.
	as := rest.CopyConfig(g.certified(g.ca, "bob", "devs"))
	as.Impersonate = rest.ImpersonationConfig{UserName: "alice", Groups: []string{"ops"}}
	asAlice := clientset(t, as)
	_, err = asAlice.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	wantError(t, "impersonation", err, apierrors.IsForbidden, `pods is forbidden: User "bob" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "default"`)
	adminCfg := g.certified(g.ca, "admin", "system:masters")
	adminCfg.Impersonate = rest.ImpersonationConfig{UserName: "alice", UID: "7", Groups: []string{"devs"}, Extra: map[string][]string{"scopes": {"a", "b"}}}
	r, err := clientset(t, adminCfg).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || r.Status.UserInfo.Username != "alice" || r.Status.UserInfo.UID != "7" || len(r.Status.UserInfo.Extra["scopes"]) != 2 ||
		strings.Join(r.Status.UserInfo.Groups, " ") != "devs system:authenticated" {
		t.Errorf("impersonated: %+v %v", r, err)
	}

	// Reviews answer what requests would meet.
	ask := func(user, verb, resource, namespace string) (bool, string) {
		t.Helper()
		r, err := admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status.Allowed, r.Status.Reason
	}
	if ok, reason := ask("bob", "create", "pods", "default"); ok {
		t.Errorf("bob may create pods: %s", reason)
	}
	self, err := bob.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: "default"},
	}}, metav1.CreateOptions{})
	if err != nil || !self.Status.Allowed || self.Status.Reason != `RBAC: allowed by RoleBinding "devs-see/default" of ClusterRole "system:aggregate-to-view" to Group "devs"` {
		t.Errorf("self: %+v %v", self, err)
	}
	rules, err := bob.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}}, metav1.CreateOptions{})
	if err != nil || len(rules.Status.ResourceRules) < 5 || len(rules.Status.NonResourceRules) == 0 {
		t.Errorf("rules: %+v %v", rules, err)
	}
	_, err = admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{}, metav1.CreateOptions{})
	wantError(t, "an empty review", err, apierrors.IsInvalid, "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	_, err = bob.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{}, metav1.CreateOptions{})
	wantError(t, "a review of others", err, apierrors.IsForbidden, `cannot create resource "subjectaccessreviews"`)
}

func TestImpersonationNeedsAUser(t *testing.T) {
	g := newSecured(t)
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer h.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Impersonate-Group", "ops")
	resp, err := h.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "without impersonating a user") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestNodesSeeWhatTheirPodsNeed(t *testing.T) {
	g := newSecured(t)
	ctx := t.Context()
	admin := g.admin()
	for _, name := range []string{"n1", "n2"} {
		if _, err := admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"mine", "other"} {
		if _, err := admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.account("default")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}},
			Volumes: []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "mine"}}}}},
	}
	if _, err := admin.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n1 := clientset(t, g.certified(g.ca, "system:node:n1", "system:nodes"))
	n2 := clientset(t, g.certified(g.ca, "system:node:n2", "system:nodes"))
	secret := func(c *kubernetes.Clientset, name string) error {
		_, err := c.CoreV1().Secrets("default").Get(ctx, name, metav1.GetOptions{})
		return err
	}
	if err := secret(n1, "mine"); err != nil {
		t.Errorf("n1 does not see what its pod mounts: %v", err)
	}
	wantError(t, "another secret", secret(n1, "other"), apierrors.IsForbidden, "no relationship found between node 'n1' and this object")
	wantError(t, "the secret of another node", secret(n2, "mine"), apierrors.IsForbidden, "no relationship found between node 'n2' and this object")
	if _, err := n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}); err != nil {
		t.Errorf("n1 does not see its pods: %v", err)
	}
	_, err := n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	wantError(t, "all pods", err, apierrors.IsForbidden, "can only list/watch pods with spec.nodeName field selector")
	ref := authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p"}
	_, err = n1.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	wantError(t, "a token for nothing", err, apierrors.IsForbidden, `serviceaccounts "default" is forbidden: node requested token not bound to a pod`)
	_, err = n1.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &ref}}, metav1.CreateOptions{})
	wantError(t, "a token for any pod of the name", err, apierrors.IsForbidden, "node requested token with a pod binding without a uid")
}

// memoryFile is a file that can be read while it is written.
type memoryFile struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.data.Write(p)
}

func (f *memoryFile) Close() error { return nil }

func TestRequestsAreWrittenDown(t *testing.T) {
	file := new(memoryFile)
	log := audit.New(file, audit.Everything(), silent())
	g := newSecured(t, func(c *apiserver.Config) { c.Audit = log })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- log.Run(ctx) }()

	cfg := g.certified(g.ca, "root", "system:masters")
	cfg.Impersonate = rest.ImpersonationConfig{UserName: "alice"}
	_, err := clientset(t, cfg).CoreV1().ConfigMaps("default").Get(t.Context(), "x", metav1.GetOptions{})
	wantError(t, "alice", err, apierrors.IsForbidden, `User "alice"`)
	root := clientset(t, g.certified(g.ca, "root", "system:masters"))
	made, err := root.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.withToken("bad").CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	wantError(t, "a bad token", err, apierrors.IsUnauthorized, "")
	g.close() // an answer may be there before its request is written down
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var events []auditv1.Event
	for line := range strings.Lines(file.data.String()) {
		var e auditv1.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, e)
	}
	if len(events) != 5 {
		t.Fatalf("%d events: %s", len(events), file.data.String())
	}
	got := events[1]
	if got.Kind != "Event" || got.APIVersion != "audit.k8s.io/v1" || got.Level != auditv1.LevelMetadata || got.Stage != auditv1.StageResponseComplete ||
		got.AuditID == "" || got.AuditID != events[0].AuditID || events[0].Stage != auditv1.StageRequestReceived ||
		got.Verb != "get" || got.User.Username != "root" || got.ImpersonatedUser == nil || got.ImpersonatedUser.Username != "alice" ||
		got.AuthenticationMetadata == nil || got.AuthenticationMetadata.ImpersonationConstraint != "impersonate:user-info" ||
		got.ObjectRef == nil || got.ObjectRef.Resource != "configmaps" || got.ObjectRef.Namespace != "default" || got.ObjectRef.Name != "x" ||
		got.ResponseStatus.Code != http.StatusForbidden || got.Annotations["authorization.k8s.io/decision"] != "forbid" || got.RequestURI != "/api/v1/namespaces/default/configmaps/x" || len(got.SourceIPs) != 1 {
		t.Errorf("event %+v", got)
	}
	if e := events[3]; e.ObjectRef.Name != made.Name || e.ResponseStatus.Code != http.StatusCreated || events[2].ObjectRef.Name != "" {
		t.Errorf("event of a creation %+v", e)
	}
	if e := events[4]; e.Stage != auditv1.StageResponseStarted || e.User.Username != "" || e.ResponseStatus.Code != http.StatusUnauthorized || e.ObjectRef.Resource != "secrets" {
		t.Errorf("event of who did not get in %+v", e)
	}
}
