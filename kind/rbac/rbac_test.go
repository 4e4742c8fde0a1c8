package rbac_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/rbac"
)

const (
	role    = `{rules: [{verbs: [get], apiGroups: [""], resources: [pods]}]}`
	binding = `{roleRef: {kind: ClusterRole, name: "system:node"}, subjects: [{kind: User, name: jane}, {kind: Group, name: g}, {kind: ServiceAccount, name: sa, namespace: ns}]}`
)

func TestValidation(t *testing.T) {
	for _, c := range []struct {
		kind            *kind.Kind
		manifest, patch string
		want            []string
	}{
		{rbac.Role(), role, `{}`, nil},
		{rbac.Role(), role, `{metadata: {name: "a:b"}}`, nil},
		{rbac.Role(), role, `{rules: [{verbs: []}]}`, []string{"rules[0].verbs: Required value",
			"rules[0].apiGroups: Required value: resource rules must supply at least one api group", "rules[0].resources: Required value: resource rules must supply at least one resource"}},
		{rbac.Role(), role, `{rules: [{verbs: [get], nonResourceURLs: [/x]}]}`, []string{`rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs`}},
		{rbac.ClusterRole(), role, `{rules: [{verbs: [get], nonResourceURLs: [/x]}]}`, nil},
		{rbac.ClusterRole(), role, `{rules: [{verbs: [get], nonResourceURLs: [/x], resources: [pods]}]}`, []string{
			`rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs`}},
		{rbac.ClusterRole(), role, `{aggregationRule: {}}`, []string{"aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"}},
		{rbac.RoleBinding(), binding, `{}`, nil},
		{rbac.RoleBinding(), binding, `{roleRef: {kind: Role}}`, nil},
		{rbac.ClusterRoleBinding(), binding, `{roleRef: {kind: Role}}`, []string{`roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"`}},
		{rbac.RoleBinding(), binding, `{roleRef: {apiGroup: x, name: ""}}`, []string{
			`roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"`, "roleRef.name: Required value"}},
		{rbac.RoleBinding(), binding, `{subjects: [{kind: Robot, name: r}]}`, []string{`subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"`}},
		{rbac.ClusterRoleBinding(), binding, `{subjects: [{kind: ServiceAccount, name: sa}]}`, []string{"subjects[0].namespace: Required value"}},
		{rbac.RoleBinding(), binding, `{subjects: [{kind: ServiceAccount, name: sa}, {kind: User, apiGroup: x, name: ""}]}`, []string{
			"subjects[1].name: Required value", `subjects[1].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"`}},
	} {
		t.Run(string(c.kind.ID)+c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, c.kind, c.manifest, c.patch), c.want...)
		})
	}
}

func TestBindingKeepsItsRole(t *testing.T) {
	for _, k := range []*kind.Kind{rbac.RoleBinding(), rbac.ClusterRoleBinding()} {
		_, errs := kindtest.Update(t, k, kindtest.Created(t, k, binding), `{roleRef: {name: other}}`)
		kindtest.Check(t, errs, `roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"other"}: field is immutable`)
		_, errs = kindtest.Update(t, k, kindtest.Created(t, k, binding), `{subjects: null}`)
		kindtest.Check(t, errs)
	}
}

func TestAggregationSelectors(t *testing.T) {
	k := rbac.ClusterRole()
	const bad = `{aggregationRule: {clusterRoleSelectors: [{matchExpressions: [{key: a, operator: In, values: ["no label"]}]}]}}`
	at := "aggregationRule.clusterRoleSelectors[0]"
	kindtest.Check(t, kindtest.Create(t, k, role, bad), at+`.matchExpressions[0].values[0]: Invalid value: "no label"`, at+": Invalid value: null: invalid label selector.")
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, role), bad)
	kindtest.Check(t, errs, at+`.matchExpressions[0].values[0]: Invalid value: "no label"`, at+": Invalid value: null: invalid label selector.")
	_, errs = kindtest.Update(t, k, kindtest.Created(t, k, role, bad), `{metadata: {labels: {x: "1"}}}`)
	kindtest.Check(t, errs, at+": Invalid value: null: invalid label selector.")
	kindtest.Check(t, kindtest.Create(t, k, role, `{metadata: {name: a%b}}`), `metadata.name: Invalid value: "a%b": may not contain '%'`)
}

func TestTable(t *testing.T) {
	k := rbac.RoleBinding()
	if d := cmp.Diff(`NAME   ROLE                      AGE   [USERS]   [GROUPS]   [SERVICEACCOUNTS]
a      ClusterRole/system:node   5m    jane      g          ns/sa
`, kindtest.Table(t, k, kindtest.Parse(t, k, binding))); d != "" {
		t.Error(d)
	}
	k = rbac.Role()
	if d := cmp.Diff(`NAME   CREATED AT
a      2026-05-01T11:55:00Z
`, kindtest.Table(t, k, kindtest.Parse(t, k, role))); d != "" {
		t.Error(d)
	}
}
