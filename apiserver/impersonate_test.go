package apiserver_test

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// grant gives subjects of the whole cluster a role with rules.
func (g *secured) grant(name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	g.t.Helper()
	ctx, admin := g.t.Context(), g.admin().RbacV1()
	if _, err := admin.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{}); err != nil {
		g.t.Fatal(err)
	}
	if _, err := admin.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{subject}}, metav1.CreateOptions{}); err != nil {
		g.t.Fatal(err)
	}
}

func userSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

// mayDo is a rule for one verb on one resource, and objects of these names if there are any.
func mayDo(verb, group, resource string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names}
}

func as(cfg *rest.Config, user string, groups ...string) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return cfg
}

func whoami(t *testing.T, c *kubernetes.Clientset) (string, error) {
	t.Helper()
	r, err := c.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.UserInfo.Username + ": " + strings.Join(r.Status.UserInfo.Groups, " "), nil
}

func TestImpersonationMayBeForSomeRequestsOnly(t *testing.T) {
	g := newSecured(t)
	ctx := t.Context()
	const authn = "authentication.k8s.io"
	g.grant("alice", userSubject("alice"), mayDo("*", "", "configmaps"))
	g.grant("deputy", userSubject("deputy"),
		mayDo("impersonate-on:user-info:list", "", "configmaps"),
		mayDo("impersonate:user-info", authn, "users", "alice"),
		mayDo("impersonate:user-info", authn, "groups"),
		mayDo("impersonate:user-info", authn, "userextras/acme.io/scopes", "view"))
	deputy := g.certified(g.ca, "deputy")
	list := func(cfg *rest.Config) error {
		_, err := clientset(t, cfg).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err
	}
	if err := list(as(deputy, "alice", "devs")); err != nil {
		t.Errorf("a request that is allowed: %v", err)
	}
	_, err := clientset(t, as(deputy, "alice")).CoreV1().ConfigMaps("default").Get(ctx, "x", metav1.GetOptions{})
	wantError(t, "another verb", err, apierrors.IsForbidden,
		`configmaps "x" is forbidden: User "deputy" cannot impersonate-on:user-info:get resource "configmaps" in API group "" in the namespace "default"`)
	wantError(t, "another user", list(as(deputy, "bob")), apierrors.IsForbidden,
		`users.authentication.k8s.io "bob" is forbidden: User "deputy" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope`)
	wantError(t, "the masters", list(as(deputy, "alice", "system:masters")), apierrors.IsForbidden, "impersonating the system:masters group is not allowed")
	extra := as(deputy, "alice")
	extra.Impersonate.Extra = map[string][]string{"acme.io/scopes": {"view"}}
	if err := list(extra); err != nil {
		t.Errorf("an extra value that is allowed: %v", err)
	}
	extra.Impersonate.Extra = map[string][]string{"acme.io/scopes": {"view", "edit"}}
	wantError(t, "another extra value", list(extra), apierrors.IsForbidden, `cannot impersonate:user-info resource "userextras/acme.io/scopes"`)
	extra.Impersonate.Extra = map[string][]string{"scopes": {"view"}}
	wantError(t, "an extra key that is none", list(extra), apierrors.IsForbidden, "impersonating an invalid key in extra is not allowed")
	wantError(t, "a node", list(as(deputy, "system:node:n1")), apierrors.IsForbidden, "cannot impersonate-on:arbitrary-node:list")
	wantError(t, "an account", list(as(deputy, "system:serviceaccount:default:web")), apierrors.IsForbidden, "cannot impersonate-on:serviceaccount:list")

	// The older right is for everything, and the masters have all rights.
	g.grant("old", userSubject("old"), mayDo("impersonate", "", "users", "alice"))
	if err := list(as(g.certified(g.ca, "old"), "alice")); err != nil {
		t.Errorf("by the older right: %v", err)
	}
	root := g.certified(g.ca, "root", "system:masters")
	for user, want := range map[string]string{
		"alice":                             "alice: system:authenticated",
		"system:node:n1":                    "system:node:n1: system:nodes system:authenticated",
		"system:serviceaccount:default:web": "system:serviceaccount:default:web: system:serviceaccounts system:serviceaccounts:default system:authenticated",
	} {
		if got, err := whoami(t, clientset(t, as(root, user))); err != nil || got != want {
			t.Errorf("as %s: %q %v, want %q", user, got, err, want)
		}
	}
	if got, err := whoami(t, clientset(t, as(root, "alice", "system:masters"))); err != nil || got != "alice: system:masters system:authenticated" {
		t.Errorf("a master as another: %q %v", got, err)
	}
}

func TestAccountsMayActAsTheNodeThatTheyAreOn(t *testing.T) {
	g := newSecured(t)
	ctx, admin := t.Context(), g.admin()
	for _, name := range []string{"n1", "n2"} {
		if _, err := admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.account("agent")
	pod, err := admin.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
		Spec:       corev1.PodSpec{ServiceAccountName: "agent", NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.grant("agent", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "agent"},
		mayDo("impersonate:associated-node", "authentication.k8s.io", "nodes"),
		mayDo("impersonate-on:associated-node:get", "", "nodes"))
	cfg := g.config()
	cfg.BearerToken = g.token("agent", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: pod.UID}})
	get := func(cfg *rest.Config, node string) error {
		_, err := clientset(t, as(cfg, "system:node:"+node)).CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		return err
	}
	if err := get(cfg, "n1"); err != nil {
		t.Errorf("the node that it is on: %v", err)
	}
	wantError(t, "another node", get(cfg, "n2"), apierrors.IsForbidden, "cannot impersonate-on:arbitrary-node:get")
	_, err = clientset(t, as(cfg, "system:node:n1")).CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"})
	wantError(t, "another request", err, apierrors.IsForbidden, "cannot impersonate-on:associated-node:list")
	cfg.BearerToken = g.token("agent", authenticationv1.TokenRequestSpec{})
	wantError(t, "a token that says no node", get(cfg, "n1"), apierrors.IsForbidden, "cannot impersonate-on:arbitrary-node:get")
}
