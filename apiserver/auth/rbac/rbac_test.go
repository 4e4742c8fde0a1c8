package rbac_test

import (
	"reflect"
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
	created, _, _ := rbac.Reconcile(w.Snapshot())
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
		{rule("get", "", "services/log"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, false},
		{rule("get", "", "log"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, false},
		{rule("get", "", "*"), auth.Attributes{Verb: "get", Resource: "pods", Subresource: "exec"}, true},
		{rule("get", "", "pods", "a", "b"), auth.Attributes{Verb: "get", Resource: "pods", Name: "b"}, true},
		{rule("get", "", "pods", "a"), auth.Attributes{Verb: "get", Resource: "pods", Name: "c"}, false},
		{rule("list", "", "pods", "a"), auth.Attributes{Verb: "list", Resource: "pods"}, false},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz/*"}}, auth.Attributes{Verb: "get", Path: "/healthz/ping"}, true},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz/*"}}, auth.Attributes{Verb: "get", Path: "/healthz"}, false},
		{rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz"}}, auth.Attributes{Verb: "get", Path: "/healthz/ping"}, false},
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
		bound("shop", "Role", "gone", rbacv1.Subject{Kind: "User", Name: "eve"}, rbacv1.Subject{Kind: "User", Name: "bob"}, rbacv1.Subject{Kind: "User", Name: "mallory"}),
		bound("shop", "ClusterRole", "gone-too", rbacv1.Subject{Kind: "User", Name: "mallory"}),
		bound("kept", "ClusterRole", "gone-too", rbacv1.Subject{Kind: "User", Name: "mallory"}),
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "no-namespace"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, Subjects: []rbacv1.Subject{account("", "web")}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "no-role-here"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "look"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "ann"}}},
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
		"another verb":                       {pods(user("bob"), "list", "shop"), false, `RBAC: role.rbac.authorization.k8s.io "gone" not found`},
		"another namespace":                  {pods(user("bob"), "get", "ops"), false, ""},
		"the whole cluster":                  {pods(user("bob"), "get", ""), false, ""},
		"a group":                            {pods(user("x", "devs"), "watch", "ops"), true, ""},
		"a group elsewhere":                  {pods(user("x", "devs"), "watch", "shop"), false, ""},
		"a role that is gone":                {pods(user("eve"), "get", "shop"), false, `RBAC: role.rbac.authorization.k8s.io "gone" not found`},
		"a role that is gone, and another":   {pods(user("bob"), "get", "shop"), true, `RBAC: allowed by RoleBinding "b-look/shop" of Role "look" to User "bob"`},
		"a cluster role that is gone":        {pods(user("mallory"), "get", "kept"), false, `RBAC: clusterrole.rbac.authorization.k8s.io "gone-too" not found`},
		"two roles that are gone":            {pods(user("mallory"), "get", "shop"), false, `RBAC: [role.rbac.authorization.k8s.io "gone" not found, clusterrole.rbac.authorization.k8s.io "gone-too" not found]`},
		"a group, cluster wide":              {pods(user("x", "devs"), "watch", ""), false, ""},
		"a user named like an account":       {pods(user("ops:bot"), "get", "shop"), false, ""},
		"an account of no namespace":         {pods(sa("", "web"), "get", ""), false, ""},
		"a role bound on the cluster":        {pods(user("ann"), "get", ""), false, `RBAC: role.rbac.authorization.k8s.io "look" not found`},
		"a role of this name, for all":       {pods(user("ann"), "get", "shop"), false, `RBAC: role.rbac.authorization.k8s.io "look" not found`},
		"a cluster binding":                  {auth.Attributes{User: sa("kube-system", "dns"), Verb: "list", Resource: "services", Namespace: "shop"}, true, ""},
		"a cluster binding, cluster wide":    {auth.Attributes{User: sa("kube-system", "dns"), Verb: "list", Resource: "services"}, true, ""},
		"masters":                            {pods(user("root", auth.GroupMasters), "delete", ""), true, `RBAC: allowed by ClusterRoleBinding "cluster-admin" of ClusterRole "cluster-admin" to Group "system:masters"`},
		"discovery for everyone known":       {auth.Attributes{User: user("x", auth.GroupAuthenticated), Verb: "get", Path: "/apis/apps/v1"}, true, ""},
		"discovery for nobody":               {auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/apis"}, false, ""},
		"version for nobody":                 {auth.Attributes{User: auth.Anonymous(), Verb: "get", Path: "/version"}, true, ""},
		"asking about oneself":               {auth.Attributes{User: user("x", auth.GroupAuthenticated), Verb: "create", Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"}, true, ""},
	} {
		ok, reason := rbac.Authorizer(snap)(c.a)
		if ok != c.want || (c.reason != "" || !ok) && reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", name, ok, reason, c.want, c.reason)
		}
	}
}

func TestDefaultRolesAreRepairedButNotTakenFromTheirOwner(t *testing.T) {
	if create, update, foreign := rbac.Reconcile(world()); len(create)+len(update)+len(foreign) != 0 {
		t.Fatalf("a cluster with everything lacks %d, needs %d changes and has %d foreign bindings", len(create), len(update), len(foreign))
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
	first := less.Rules[0]
	less.Rules = append(less.Rules[1:], rule("get", "", "extra"))
	off := role("system:kube-dns")
	off.Rules, off.Annotations["rbac.authorization.kubernetes.io/autoupdate"] = nil, "false"
	unlabelled := role("view")
	unlabelled.Labels = nil
	unmarked := role("edit")
	unmarked.Annotations = nil
	lonely := role("admin")
	lonely.AggregationRule = nil
	mine := role("system:discovery")
	mine.Labels["team"] = "ops"
	offBinding := binding("system:basic-user")
	offBinding.Subjects, offBinding.Annotations["rbac.authorization.kubernetes.io/autoupdate"] = nil, "false"
	unbound := binding("system:discovery")
	unbound.Subjects = []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}}
	elsewhere := binding("system:monitoring")
	elsewhere.RoleRef.Name, elsewhere.Subjects = "view", nil
	kept := binding("system:kube-dns")
	kept.RoleRef.Name, kept.Annotations["rbac.authorization.kubernetes.io/autoupdate"] = "view", "false"
	create, update, foreign := rbac.Reconcile(world(kept, less, off, unlabelled, unmarked, lonely, mine, offBinding, unbound, elsewhere))
	if len(foreign) != 1 || foreign[0].GetName() != "system:monitoring" {
		t.Errorf("foreign bindings %v", foreign)
	}
	var names []string
	for _, obj := range update {
		names = append(names, obj.GetName())
	}
	slices.Sort(names)
	if want := []string{"admin", "edit", "system:discovery", "system:kube-scheduler", "view"}; len(create) != 0 || !slices.Equal(names, want) {
		t.Fatalf("creates %d, updates %v, want %v", len(create), names, want)
	}
	for _, obj := range update {
		switch obj := obj.(type) {
		case *rbacv1.ClusterRole:
			if obj.Name == "system:kube-scheduler" && !slices.ContainsFunc(obj.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "extra") }) {
				t.Error("what somebody added to a role is lost")
			}
			if obj.Name == "system:kube-scheduler" && !slices.ContainsFunc(obj.Rules, func(r rbacv1.PolicyRule) bool {
				return slices.Equal(r.APIGroups, first.APIGroups) && slices.Equal(r.Resources, first.Resources)
			}) {
				t.Error("the rule that a role lacks is not put back")
			}
			if obj.Name == "admin" && obj.AggregationRule == nil {
				t.Error("the aggregation rule that a role lacks is not put back")
			}
			if obj.Name == "edit" && obj.Annotations["rbac.authorization.kubernetes.io/autoupdate"] != "true" {
				t.Error("the annotation that a role lacks is not put back")
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

func TestAggregationOfDefaultRolesIsRepaired(t *testing.T) {
	role := func(name string, change func(*rbacv1.ClusterRole)) *rbacv1.ClusterRole {
		for _, r := range rbac.ClusterRoles() {
			if r.Name == name {
				change(r)
				return r
			}
		}
		panic(name)
	}
	more := metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	create, update, foreign := rbac.Reconcile(world(
		role("edit", func(r *rbacv1.ClusterRole) { // somebody wants it to be no part of admin, and to have more parts
			r.Labels["rbac.authorization.k8s.io/aggregate-to-admin"] = "false"
			r.AggregationRule.ClusterRoleSelectors = append(r.AggregationRule.ClusterRoleSelectors, more)
		}),
		role("admin", func(r *rbacv1.ClusterRole) { r.AggregationRule.ClusterRoleSelectors = []metav1.LabelSelector{more} }),
		role("system:basic-user", func(r *rbacv1.ClusterRole) {
			r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{more}}
		})))
	if len(create)+len(foreign) != 0 || len(update) != 2 {
		t.Fatalf("creates %v, updates %v, foreign %v", create, update, foreign)
	}
	for _, obj := range update {
		switch r := obj.(*rbacv1.ClusterRole); {
		case r.Name == "admin" && len(r.AggregationRule.ClusterRoleSelectors) == 2:
		case r.Name == "system:basic-user" && r.AggregationRule == nil:
		default:
			t.Errorf("%s has %v", r.Name, r.AggregationRule)
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
	everywhere := func(role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
	}
	bobs := rbacv1.Subject{Kind: "User", Name: "bob"}
	// what bob may do on the whole cluster: escalate the role r only.
	escalates := []kind.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "escalates"}, Rules: []rbacv1.PolicyRule{rule("escalate", rbacv1.GroupName, "clusterroles", "r")}},
		everywhere("escalates", bobs),
	}
	reading := cluster()
	reading.Name, reading.AggregationRule = "r2", aggregated.AggregationRule
	nothingSelected := cluster()
	nothingSelected.AggregationRule = &rbacv1.AggregationRule{}
	written := shop(rule("*", "*", "*"))
	written.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
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
		"less than it has":         {own, shop(rule("get", "", "pods")), nil, ""},
		"more than it has":         {own, shop(rule("get delete", "", "pods")), nil, `{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}`},
		"the same on the cluster":  {own, cluster(rule("get", "", "pods")), nil, "not currently held"},
		"unchanged rules":          {own, shop(rule("*", "*", "*")), shop(rule("*", "*", "*")), ""},
		"may escalate":             {with("escalate", "roles"), shop(rule("*", "*", "*")), nil, ""},
		"an aggregation rule":      {own, aggregated, nil, "must have cluster-admin privileges to use the aggregationRule"},
		"an end of aggregation":    {own, cluster(), aggregated, "must have cluster-admin privileges to use the aggregationRule"},
		"a label that aggregates":  {own, labelled, cluster(rule("*", "*", "*")), "not currently held"},
		"an owner and a finalizer": {own, owned, cluster(rule("*", "*", "*")), ""},
		"who wrote it":             {own, written, shop(rule("*", "*", "*")), ""},
		"verbs of one resource": {own, shop(rule("get", "", "secrets"), rule("get list", "", "secrets"), rule("get", "x", "secrets"), rule("get", "", "nodes"), rule("get", "", "nodes", "n")), nil,
			"held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], ResourceNames:[\"n\"], Verbs:[\"get\"]}\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}\n" +
				"{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}\n{APIGroups:[\"x\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"},
		"paths":                     {own, cluster(rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}}), nil, `{NonResourceURLs:["/x"], Verbs:["get"]}`},
		"no aggregation after all":  {own, nothingSelected, cluster(), ""},
		"aggregation by escalation": {escalates, aggregated, nil, ""},
		"escalating another role":   {escalates, reading, nil, "must have cluster-admin privileges to use the aggregationRule"},
		"binding on the cluster":    {own, everywhere("view", account("shop", "x")), nil, ""},
		"stronger on the cluster":   {own, everywhere("cluster-admin", account("shop", "x")), nil, "not currently held"},
		"nothing on the cluster":    {own, everywhere("none", account("shop", "x")), nil, `clusterrole.rbac.authorization.k8s.io "none" not found`},
		"unchanged on the cluster":  {own, everywhere("cluster-admin", account("shop", "x")), everywhere("cluster-admin", account("shop", "x")), ""},
		"a missing role of its own": {append(slices.Clone(own), bound("shop", "Role", "gone", bobs)), shop(rule("delete", "", "pods")), nil, `; resolution errors: [role.rbac.authorization.k8s.io "gone" not found]`},
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
		var none view.World
		if err := rbac.ConfirmNoEscalation(none.Snapshot(), rbac.Authorizer(snap), master, c.obj, c.old); err != nil {
			t.Errorf("%s, by a master of a cluster without roles: %v", name, err)
		}
	}
}

// Rights are written as a request each: verb resource[/subresource][.group][ name], or verb and path.
func TestDefaultRolesGrantWhatUpstreamsDo(t *testing.T) {
	roles := make(map[string]*rbacv1.ClusterRole)
	for _, r := range rbac.ClusterRoles() {
		roles[r.Name] = r
		if r.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" || r.Annotations["rbac.authorization.kubernetes.io/autoupdate"] != "true" {
			t.Errorf("%s is not marked as a default role: %v %v", r.Name, r.Labels, r.Annotations)
		}
	}
	approves := func(signer string) [2]string {
		return [2]string{"approve signers.certificates.k8s.io kubernetes.io/" + signer, "approve signers.certificates.k8s.io kubernetes.io/other; sign signers.certificates.k8s.io kubernetes.io/" + signer}
	}
	for name, rights := range map[string][2]string{ // what it grants, and what it does not
		"cluster-admin":     {"delete nodes; anything a/b.c; get /anything", ""},
		"system:discovery":  {"get /api; get /apis/apps/v1; get /openapi/v3; get /version/; get /livez", "get /metrics; post /api; get pods"},
		"system:monitoring": {"get /metrics; get /metrics/slis; get /readyz/ping; get /livez", "get /api"},
		"system:basic-user": {"create selfsubjectaccessreviews.authorization.k8s.io; create selfsubjectrulesreviews.authorization.k8s.io; create selfsubjectreviews.authentication.k8s.io",
			"create subjectaccessreviews.authorization.k8s.io"},
		"system:public-info-viewer":               {"get /version; get /healthz", "get /api; get /metrics"},
		"system:service-account-issuer-discovery": {"get /openid/v1/jwks; get /.well-known/openid-configuration", "get /api"},
		"system:aggregate-to-admin": {"create localsubjectaccessreviews.authorization.k8s.io; deletecollection roles.rbac.authorization.k8s.io; watch rolebindings.rbac.authorization.k8s.io",
			"create clusterroles.rbac.authorization.k8s.io; escalate roles.rbac.authorization.k8s.io; bind roles.rbac.authorization.k8s.io"},
		"system:aggregate-to-edit": {"get secrets; get pods/exec; impersonate serviceaccounts; create pods; delete pods; update pods; create pods/exec; patch pods/resize; update pods/resize; create pods/eviction; " +
			"deletecollection configmaps; create serviceaccounts/token; patch deployments/scale.apps; update horizontalpodautoscalers.autoscaling; create cronjobs.batch; create events; " +
			"delete poddisruptionbudgets.policy; create ingresses.networking.k8s.io; watch leases.coordination.k8s.io; create leases.coordination.k8s.io",
			"create resourcequotas; update namespaces; update pods/status; create roles.rbac.authorization.k8s.io; create endpoints; create endpointslices.discovery.k8s.io; get nodes; create daemonsets/status.apps"},
		"system:aggregate-to-view": {"get pods; list configmaps; watch resourcequotas; get pods/log; get namespaces; list endpointslices.discovery.k8s.io; get statefulsets/status.apps; " +
			"get horizontalpodautoscalers.autoscaling; get jobs/status.batch; list poddisruptionbudgets.policy; get networkpolicies.networking.k8s.io",
			"get secrets; get pods/exec; create pods; get roles.rbac.authorization.k8s.io; get nodes; get persistentvolumes"},
		"system:auth-delegator": {"create tokenreviews.authentication.k8s.io; create subjectaccessreviews.authorization.k8s.io", "create localsubjectaccessreviews.authorization.k8s.io"},
		"system:node": {"create tokenreviews.authentication.k8s.io; create subjectaccessreviews.authorization.k8s.io; watch services; create nodes; get nodes; patch nodes/status; update nodes; create events; " +
			"patch events.events.k8s.io; watch pods; create pods; delete pods; patch pods/status; create pods/eviction; watch secrets; get configmaps; get persistentvolumes; patch persistentvolumeclaims/status; " +
			"get endpoints; get serviceaccounts; create serviceaccounts/token; create certificatesigningrequests.certificates.k8s.io; get certificatesigningrequests.certificates.k8s.io; update leases.coordination.k8s.io; " +
			"get volumeattachments.storage.k8s.io; watch csidrivers.storage.k8s.io; delete csinodes.storage.k8s.io; list runtimeclasses.node.k8s.io",
			"delete nodes; update pods; create secrets; list persistentvolumes; list leases.coordination.k8s.io; update certificatesigningrequests/approval.certificates.k8s.io; create pods/exec; create pods/binding"},
		"system:node-problem-detector": {"get nodes; patch nodes/status; create events; patch events.events.k8s.io", "update nodes/status; list nodes"},
		"system:node-proxier":          {"watch services; list endpoints; get nodes; watch endpointslices.discovery.k8s.io; create events", "get services; update nodes"},
		"system:kubelet-api-admin":     {"list nodes; proxy nodes; create nodes/proxy; get nodes/metrics; get nodes/stats; get nodes/log; get nodes/configz; get nodes/healthz; get nodes/pods", "update nodes; get pods"},
		"system:node-bootstrapper":     {"create certificatesigningrequests.certificates.k8s.io; watch certificatesigningrequests.certificates.k8s.io", "update certificatesigningrequests.certificates.k8s.io"},
		"system:certificates.k8s.io:certificatesigningrequests:nodeclient":     {"create certificatesigningrequests/nodeclient.certificates.k8s.io", "create certificatesigningrequests.certificates.k8s.io"},
		"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": {"create certificatesigningrequests/selfnodeclient.certificates.k8s.io", "create certificatesigningrequests/nodeclient.certificates.k8s.io"},
		"system:certificates.k8s.io:kube-apiserver-client-approver":            approves("kube-apiserver-client"),
		"system:certificates.k8s.io:kube-apiserver-client-kubelet-approver":    approves("kube-apiserver-client-kubelet"),
		"system:certificates.k8s.io:kubelet-serving-approver":                  approves("kubelet-serving"),
		"system:certificates.k8s.io:legacy-unknown-approver":                   approves("legacy-unknown"),
		"system:kube-controller-manager": {"create leases.coordination.k8s.io; update leases.coordination.k8s.io kube-controller-manager; create secrets; delete secrets; get configmaps; update serviceaccounts; " +
			"create tokenreviews.authentication.k8s.io; create subjectaccessreviews.authorization.k8s.io; watch anything.at.all; create serviceaccounts/token; create events",
			"update leases.coordination.k8s.io kube-scheduler; delete pods; update configmaps"},
		"system:kube-scheduler": {"create leases.coordination.k8s.io; get leases.coordination.k8s.io kube-scheduler; list nodes; delete pods; watch pods; create pods/binding; create bindings; patch pods/status; list services; " +
			"list replicasets.apps; list poddisruptionbudgets.policy; list persistentvolumeclaims; list namespaces; create tokenreviews.authentication.k8s.io; create subjectaccessreviews.authorization.k8s.io; " +
			"list csinodes.storage.k8s.io; list volumeattachments.storage.k8s.io; create events.events.k8s.io", "update leases.coordination.k8s.io kube-controller-manager; create pods; update pods; get secrets"},
		"system:volume-scheduler":              {"patch persistentvolumes; list storageclasses.storage.k8s.io; update persistentvolumeclaims", "delete persistentvolumes; create persistentvolumeclaims"},
		"system:kube-dns":                      {"watch services; list endpoints", "get services"},
		"system:persistent-volume-provisioner": {"create persistentvolumes; delete persistentvolumes; update persistentvolumeclaims; watch storageclasses.storage.k8s.io; watch events; create events", "update persistentvolumes; get secrets"},
	} {
		role, ok := roles[name]
		if !ok {
			t.Errorf("there is no role %s", name)
			continue
		}
		delete(roles, name)
		for i, list := range rights {
			for request := range strings.SplitSeq(list, "; ") {
				if request == "" {
					continue
				}
				verb, what, _ := strings.Cut(request, " ")
				a := auth.Attributes{Verb: verb, Path: what}
				if !strings.HasPrefix(what, "/") {
					what, object, _ := strings.Cut(what, " ")
					what, group, _ := strings.Cut(what, ".")
					resource, sub, _ := strings.Cut(what, "/")
					a = auth.Attributes{Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: object}
				}
				if got, want := slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return rbac.Allows(r, a) }), i == 0; got != want {
					t.Errorf("%s grants %q: %v", name, request, got)
				}
			}
		}
	}
	for name, want := range map[string]string{"admin": "", "edit": "admin", "view": "edit", "system:aggregate-to-admin": "admin", "system:aggregate-to-edit": "edit", "system:aggregate-to-view": "view"} {
		for _, r := range rbac.ClusterRoles() {
			if r.Name != name {
				continue
			}
			for _, of := range []string{"admin", "edit", "view"} {
				if got := r.Labels["rbac.authorization.k8s.io/aggregate-to-"+of] == "true"; got != (of == want) {
					t.Errorf("%s is part of %s: %v", name, of, got)
				}
			}
			if rule, collects := r.AggregationRule, !strings.HasPrefix(name, "system:"); collects != (rule != nil) {
				t.Errorf("%s collects other roles: %v", name, rule)
			} else if collects && (len(r.Rules) != 0 || rule.ClusterRoleSelectors[0].MatchLabels["rbac.authorization.k8s.io/aggregate-to-"+name] != "true") {
				t.Errorf("%s collects %v, and has rules of its own: %v", name, rule, r.Rules)
			}
		}
		delete(roles, name)
	}
	for name := range roles {
		t.Errorf("nobody says what %s grants", name)
	}
}

func TestDefaultRolesAreBoundToWhomUpstreamBindsThem(t *testing.T) {
	got := make(map[string][]string)
	for _, b := range rbac.ClusterRoleBindings() {
		if b.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" || b.Annotations["rbac.authorization.kubernetes.io/autoupdate"] != "true" ||
			b.RoleRef != (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: b.Name}) {
			t.Errorf("%s: %v %v %v", b.Name, b.Labels, b.Annotations, b.RoleRef)
		}
		got[b.Name] = []string{}
		for _, s := range b.Subjects {
			if (s.APIGroup == rbacv1.GroupName) != (s.Kind != rbacv1.ServiceAccountKind) {
				t.Errorf("%s: subject of the group %q: %v", b.Name, s.APIGroup, s)
			}
			got[b.Name] = append(got[b.Name], s.Kind+" "+s.Namespace+"/"+s.Name)
		}
	}
	want := map[string][]string{
		"cluster-admin":                           {"Group /system:masters"},
		"system:monitoring":                       {"Group /system:monitoring"},
		"system:discovery":                        {"Group /system:authenticated"},
		"system:basic-user":                       {"Group /system:authenticated"},
		"system:public-info-viewer":               {"Group /system:authenticated", "Group /system:unauthenticated"},
		"system:service-account-issuer-discovery": {"Group /system:serviceaccounts"},
		"system:node":                             {},
		"system:node-proxier":                     {"User /system:kube-proxy"},
		"system:kube-controller-manager":          {"User /system:kube-controller-manager"},
		"system:kube-scheduler":                   {"User /system:kube-scheduler"},
		"system:volume-scheduler":                 {"User /system:kube-scheduler"},
		"system:kube-dns":                         {"ServiceAccount kube-system/kube-dns"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("bindings:\n%v\nwant\n%v", got, want)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	authorize := rbac.Authorizer(world())
	a := auth.Attributes{User: auth.User{Name: "x", Groups: []string{auth.GroupAuthenticated}}, Verb: "get", Resource: "pods", Namespace: "shop"}
	for b.Loop() {
		authorize(a)
	}
}
