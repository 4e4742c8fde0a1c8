package rbac_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/rbac"
	"sampan/kind"
	"sampan/view"
)

// world returns a snapshot with what every cluster has, and more.
func world(more ...kind.Object) *view.Snapshot {
	var w view.World
	created, _ := rbac.Reconcile(w.Snapshot())
	for i, obj := range append(created, more...) {
		w.Put(idOf(obj), obj, int64(i+1))
	}
	return w.Snapshot()
}

func idOf(obj kind.Object) kind.ID {
	switch obj.(type) {
	case *rbacv1.ClusterRole:
		return kind.ClusterRoles
	case *rbacv1.ClusterRoleBinding:
		return kind.ClusterRoleBindings
	case *rbacv1.Role:
		return kind.Roles
	case *rbacv1.RoleBinding:
		return kind.RoleBindings
	case *corev1.ConfigMap:
		return kind.ConfigMaps
	}
	panic("no such kind")
}

func rule(verbs, group, resources string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: []string{group}, Resources: strings.Fields(resources), ResourceNames: names}
}

func TestRulesAllowWhatTheyName(t *testing.T) {
	for _, c := range []struct {
		rule rbacv1.PolicyRule
		a    auth.Attributes
		want bool
	}{
		{rule("get", "", "pods"), auth.Attributes{Verb: "get", Resource: "pods"}, true},
		{rule("get", "", "pods"), auth.Attributes{Verb: "list", Resource: "pods"}, false},
		{rule("*", "", "pods"), auth.Attributes{Verb: "anything", Resource: "pods"}, true},
		{rule("get", "", "pods"), auth.Attributes{Verb: "get", Resource: "pods", Group: "apps"}, false},
		{rule("get", "*", "pods"), auth.Attributes{Verb: "get", Resource: "pods", Group: "apps"}, true},
		{rule("get", "", "pods"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, false},
		{rule("get", "", "pods/log"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, true},
		{rule("get", "", "pods/log"), auth.Attributes{Verb: "get", Resource: "pods"}, false},
		{rule("get", "", "*/log"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, true},
		{rule("get", "", "*/log"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "exec"}, false},
		{rule("get", "", "*"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "exec"}, true},
		{rule("get", "", "pods", "a", "b"), auth.Attributes{Verb: "get", Resource: "pods", Name: "b"}, true},
		{rule("get", "", "pods", "a"), auth.Attributes{Verb: "get", Resource: "pods", Name: "c"}, false},
		{rule("list", "", "pods", "a"), auth.Attributes{Verb: "list", Resource: "pods"}, false},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz/*"}}, auth.Attributes{Verb: "get", Path: "/healthz/ping"}, true},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz/*"}}, auth.Attributes{Verb: "get", Path: "/healthz"}, false},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"*"}}, auth.Attributes{Verb: "get", Path: "/x"}, true},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}}, auth.Attributes{Verb: "post", Path: "/x"}, false},
		{rule("*", "*", "*"), auth.Attributes{Verb: "get", Path: "/x"}, false},
		{rbacv1.PolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}, auth.Attributes{Verb: "get", Resource: "pods"}, false},
	} {
		if got := rbac.Allows(c.rule, c.a); got != c.want {
			t.Errorf("%+v allows %+v: %v", c.rule, c.a, got)
		}
	}
}

func account(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name}
}

func bound(namespace, kind, role string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "b-" + role}, RoleRef: rbacv1.RoleRef{Kind: kind, Name: role}, Subjects: subjects}
}

func TestBindingsGrantWhereTheyStand(t *testing.T) {
	snap := world(
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "look"}, Rules: []rbacv1.PolicyRule{rule("get", "", "pods")}},
		bound("shop", "Role", "look", account("", "web"), account("ops", "bot"), rbacv1.Subject{Kind: "User", Name: "bob"}),
		bound("ops", "ClusterRole", "system:aggregate-to-view", rbacv1.Subject{Kind: "Group", Name: "devs"}),
		bound("shop", "Role", "gone", rbacv1.Subject{Kind: "User", Name: "eve"}),
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "everywhere"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "system:kube-dns"}, Subjects: []rbacv1.Subject{account("kube-system", "dns")}},
	)
	sa := func(namespace, name string) auth.User {
		return auth.User{Name: auth.ServiceAccountPrefix + namespace + ":" + name, Groups: []string{auth.GroupServiceAccounts, auth.GroupAuthenticated}}
	}
	user := func(name string, groups ...string) auth.User { return auth.User{Name: name, Groups: groups} }
	pods := func(u auth.User, verb, namespace string) auth.Attributes {
		return auth.Attributes{User: u, Verb: verb, Resource: "pods", Namespace: namespace}
	}
	for name, c := range map[string]struct {
		a      auth.Attributes
		want   bool
		reason string
	}{
		"account of the binding's namespace": {pods(sa("shop", "web"), "get", "shop"), true, `RBAC: allowed by RoleBinding "b-look/shop" of Role "look" to ServiceAccount "web/shop"`},
		"account of another namespace":       {pods(sa("ops", "bot"), "get", "shop"), true, ""},
		"the same name elsewhere":            {pods(sa("ops", "web"), "get", "shop"), false, ""},
		"another verb":                       {pods(user("bob"), "list", "shop"), false, ""},
		"another namespace":                  {pods(user("bob"), "get", "ops"), false, ""},
		"the whole cluster":                  {pods(user("bob"), "get", ""), false, ""},
		"a group":                            {pods(user("x", "devs"), "watch", "ops"), true, ""},
		"a group elsewhere":                  {pods(user("x", "devs"), "watch", "shop"), false, ""},
		"a role that is gone":                {pods(user("eve"), "get", "shop"), false, `RBAC: role.rbac.authorization.k8s.io "gone" not found`},
		"a cluster binding":                  {auth.Attributes{User: sa("kube-system", "dns"), Verb: "list", Resource: "services", Namespace: "shop"}, true, ""},
		"a cluster binding, cluster wide":    {auth.Attributes{User: sa("kube-system", "dns"), Verb: "list", Resource: "services"}, true, ""},
		"masters":                            {pods(user("root", auth.GroupMasters), "delete", ""), true, `RBAC: allowed by ClusterRoleBinding "cluster-admin" of ClusterRole "cluster-admin" to Group "system:masters"`},
		"discovery for everyone known":       {auth.Attributes{User: user("x", auth.GroupAuthenticated), Verb: "get", Path: "/apis/apps/v1"}, true, ""},
		"discovery for nobody":               {auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/apis"}, false, ""},
		"version for nobody":                 {auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/version"}, true, ""},
		"asking about oneself":               {auth.Attributes{User: user("x", auth.GroupAuthenticated), Verb: "create", Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"}, true, ""},
	} {
		ok, reason := rbac.Authorizer(snap)(c.a)
		if ok != c.want || c.reason != "" && reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", name, ok, reason, c.want, c.reason)
		}
	}
}

func TestDefaultRolesAreRepairedButNotTakenFromTheirOwner(t *testing.T) {
	if create, update := rbac.Reconcile(world()); len(create)+len(update) != 0 {
		t.Fatalf("a cluster with everything lacks %d and needs %d changes", len(create), len(update))
	}
	role := func(name string) *rbacv1.ClusterRole {
		for _, r := range rbac.ClusterRoles() {
			if r.Name == name {
				return r
			}
		}
		panic(name)
	}
	binding := func(name string) *rbacv1.ClusterRoleBinding {
		for _, b := range rbac.ClusterRoleBindings() {
			if b.Name == name {
				return b
			}
		}
		panic(name)
	}
	less := role("system:kube-scheduler")
	less.Rules = append(less.Rules[1:], rule("get", "", "extra"))
	off := role("system:kube-dns")
	off.Rules, off.Annotations["rbac.authorization.kubernetes.io/autoupdate"] = nil, "false"
	unlabelled := role("view")
	unlabelled.Labels = nil
	unbound := binding("system:discovery")
	unbound.Subjects = []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}}
	elsewhere := binding("system:monitoring")
	elsewhere.RoleRef.Name, elsewhere.Subjects = "view", nil
	create, update := rbac.Reconcile(world(less, off, unlabelled, unbound, elsewhere))
	var names []string
	for _, obj := range update {
		names = append(names, obj.GetName())
	}
	slices.Sort(names)
	if want := []string{"system:discovery", "system:kube-scheduler", "view"}; len(create) != 0 || !slices.Equal(names, want) {
		t.Fatalf("creates %d, updates %v, want %v", len(create), names, want)
	}
	for _, obj := range update {
		switch obj := obj.(type) {
		case *rbacv1.ClusterRole:
			if obj.Name == "system:kube-scheduler" && !slices.ContainsFunc(obj.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "extra") }) {
				t.Error("what somebody added to a role is lost")
			}
			if obj.Name == "view" && obj.Labels["rbac.authorization.k8s.io/aggregate-to-edit"] != "true" {
				t.Error("the label that makes a role part of another one is not put back")
			}
		case *rbacv1.ClusterRoleBinding:
			if len(obj.Subjects) != 2 {
				t.Errorf("subjects %v", obj.Subjects)
			}
		}
	}
}

func TestNobodyGrantsWhatItLacks(t *testing.T) {
	bob := auth.User{Name: "bob", Groups: []string{auth.GroupAuthenticated}}
	shop := func(rules ...rbacv1.PolicyRule) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "r"}, Rules: rules}
	}
	cluster := func(rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: rules}
	}
	aggregated := cluster()
	aggregated.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}}
	labelled := cluster(rule("*", "*", "*"))
	labelled.Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
	owned := cluster(rule("*", "*", "*"))
	owned.OwnerReferences, owned.Finalizers = []metav1.OwnerReference{{Kind: "X", Name: "x"}}, []string{"x/y"}
	own := []kind.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "own"}, Rules: []rbacv1.PolicyRule{rule("get list", "", "pods services")}},
		bound("shop", "Role", "own", rbacv1.Subject{Kind: "User", Name: "bob"}),
	}
	with := func(verb, resource string) []kind.Object {
		return append(slices.Clone(own),
			&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "more"}, Rules: []rbacv1.PolicyRule{rule(verb, rbacv1.GroupName, resource)}},
			bound("shop", "Role", "more", rbacv1.Subject{Kind: "User", Name: "bob"}))
	}
	for name, c := range map[string]struct {
		has      []kind.Object
		obj, old kind.Object
		err      string // "": allowed
	}{
		"less than it has":          {own, shop(rule("get", "", "pods")), nil, ""},
		"more than it has":          {own, shop(rule("get delete", "", "pods")), nil, `{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}`},
		"the same on the cluster":   {own, cluster(rule("get", "", "pods")), nil, "not currently held"},
		"unchanged rules":           {own, shop(rule("*", "*", "*")), shop(rule("*", "*", "*")), ""},
		"may escalate":              {with("escalate", "roles"), shop(rule("*", "*", "*")), nil, ""},
		"an aggregation rule":       {own, aggregated, nil, "must have cluster-admin privileges to use the aggregationRule"},
		"an end of aggregation":     {own, cluster(), aggregated, "must have cluster-admin privileges to use the aggregationRule"},
		"a label that aggregates":   {own, labelled, cluster(rule("*", "*", "*")), "not currently held"},
		"an owner and a finalizer":  {own, owned, cluster(rule("*", "*", "*")), ""},
		"binding its own role":      {own, bound("shop", "Role", "own", account("shop", "x")), nil, ""},
		"binding a stronger role":   {own, bound("shop", "ClusterRole", "cluster-admin", account("shop", "x")), nil, "not currently held"},
		"may bind":                  {with("bind", "clusterroles"), bound("shop", "ClusterRole", "cluster-admin", account("shop", "x")), nil, ""},
		"binding nothing":           {own, bound("shop", "Role", "none", account("shop", "x")), nil, `role.rbac.authorization.k8s.io "none" not found`},
		"unchanged binding":         {own, bound("shop", "ClusterRole", "cluster-admin", account("shop", "x")), bound("shop", "ClusterRole", "cluster-admin", account("shop", "x")), ""},
		"one more subject":          {own, bound("shop", "ClusterRole", "cluster-admin", account("shop", "x"), account("shop", "y")), bound("shop", "ClusterRole", "cluster-admin", account("shop", "x")), "not currently held"},
		"something else altogether": {own, &corev1.ConfigMap{}, nil, ""},
	} {
		snap := world(c.has...)
		err := rbac.ConfirmNoEscalation(snap, rbac.Authorizer(snap), bob, c.obj, c.old)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		master := auth.User{Name: "root", Groups: []string{auth.GroupMasters}}
		if err := rbac.ConfirmNoEscalation(snap, rbac.Authorizer(snap), master, c.obj, c.old); err != nil {
			t.Errorf("%s, by a master: %v", name, err)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	authorize := rbac.Authorizer(world())
	a := auth.Attributes{User: auth.User{Name: "x", Groups: []string{auth.GroupAuthenticated}}, Verb: "get", Resource: "pods", Namespace: "shop"}
	for b.Loop() {
		authorize(a)
	}
}
