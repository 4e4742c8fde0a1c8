package apiserver

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"sampan/kind/kindtest"
)

func parseReview[T any](t *testing.T, manifest string) *T {
	t.Helper()
	review := new(T)
	if err := yaml.UnmarshalStrict([]byte(manifest), review); err != nil {
		t.Fatalf("%s: %v", manifest, err)
	}
	return review
}

func TestAccessReviewRules(t *testing.T) {
	const (
		one       = "spec: Invalid value: "
		fieldSel  = "spec.resourceAttributes.fieldSelector"
		labelSel  = "spec.resourceAttributes.labelSelector"
		emptyMeta = "metadata: Invalid value: "
	)
	global := func(manifest string) field.ErrorList {
		return validateAccessReview(parseReview[authorizationv1.SubjectAccessReview](t, manifest))
	}
	self := func(manifest string) field.ErrorList {
		return validateSelfAccessReview(parseReview[authorizationv1.SelfSubjectAccessReview](t, manifest))
	}
	local := func(manifest string) field.ErrorList {
		return validateLocalAccessReview(parseReview[authorizationv1.LocalSubjectAccessReview](t, manifest))
	}
	for _, c := range []struct {
		name, manifest string
		validate       func(string) field.ErrorList
		want           []string
	}{
		{"a question", `{spec: {user: u, resourceAttributes: {verb: get}}}`, global, nil},
		{"of a group", `{spec: {groups: [g], nonResourceAttributes: {path: /x}}}`, global, nil},
		{"of nobody", `{spec: {resourceAttributes: {verb: get}}}`, global, []string{`spec.user: Invalid value: "": at least one of user or group must be specified`}},
		{"two questions", `{spec: {user: u, resourceAttributes: {}, nonResourceAttributes: {}}}`, global, []string{one + "{}: exactly one of nonResourceAttributes or resourceAttributes must be specified"}},
		{"no question", `{}`, self, []string{one + "null: exactly one of nonResourceAttributes or resourceAttributes must be specified"}},
		{"a name", `{metadata: {name: a}, spec: {user: u, resourceAttributes: {}}}`, global, []string{emptyMeta}},
		{"a label", `{metadata: {labels: {a: b}}, spec: {resourceAttributes: {}}}`, self, []string{emptyMeta}},
		{"local", `{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {namespace: ns}}}`, local, nil},
		{"another namespace", `{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {namespace: other}}}`, local, []string{`spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace`}},
		{"a path, local", `{metadata: {namespace: ns}, spec: {user: u, nonResourceAttributes: {path: /x}}}`, local, []string{`spec.nonResourceAttributes: Invalid value: {"path":"/x"}: disallowed on this kind of request`}},
		{"a name, local", `{metadata: {namespace: ns, name: a}, spec: {user: u, resourceAttributes: {namespace: ns}}}`, local, []string{emptyMeta}},
		{"both forms", `{spec: {resourceAttributes: {fieldSelector: {rawSelector: a=b, requirements: [{key: a, operator: In, values: [b]}]}, labelSelector: {rawSelector: a, requirements: [{key: a, operator: Exists}]}}}}`, self, []string{
			fieldSel + `.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements`, labelSel + `.rawSelector: Invalid value: "a": may not specified at the same time as requirements`}},
		{"no form", `{spec: {resourceAttributes: {fieldSelector: {}, labelSelector: {}}}}`, self, []string{
			fieldSel + ".requirements: Required value: when " + fieldSel + " is specified, requirements or rawSelector is required", labelSel + ".requirements: Required value: when " + labelSel + " is specified, requirements or rawSelector is required"}},
		{"requirements", `{spec: {resourceAttributes: {fieldSelector: {requirements: [{key: "", operator: In}, {key: a, operator: New}]}, labelSelector: {requirements: [{key: a, operator: Exists, values: [b]}]}}}}`, self, []string{
			fieldSel + ".requirements[0].key: Required value: must be specified", fieldSel + ".requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
			labelSel + ".requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"}},
	} {
		t.Run(c.name, func(t *testing.T) { kindtest.Check(t, c.validate(c.manifest), c.want...) })
	}
}

func TestUnreadableSelectorsOfReviewsAreNamed(t *testing.T) {
	const attributes = "spec.resourceAttributes."
	for _, c := range []struct{ manifest, want, fields, labels string }{
		{`{fieldSelector: {requirements: [{key: a, operator: In, values: [b]}, {key: c, operator: NotIn, values: [d]}]}}`, "", "a=b,c!=d", ""},
		{`{fieldSelector: {requirements: [{key: a, operator: New}]}}`, attributes + "fieldSelector ignored due to parse error", "", ""},
		{`{fieldSelector: {requirements: [{key: a, operator: In, values: [b]}, {key: a, operator: Exists}]}}`, attributes + "fieldSelector partially ignored due to parse error", "a=b", ""},
		{`{labelSelector: {requirements: [{key: a, operator: New}, {key: b, operator: Exists}]}}`, attributes + "labelSelector partially ignored due to parse error", "", "b"},
		{`{fieldSelector: {rawSelector: "a"}, labelSelector: {rawSelector: "a in"}}`, attributes + "fieldSelector ignored due to parse error; " + attributes + "labelSelector ignored due to parse error", "a", "a in"},
		{`{labelSelector: {rawSelector: "a in (b)"}}`, "", "", "a in (b)"},
	} {
		a := parseReview[authorizationv1.ResourceAttributes](t, c.manifest)
		if have := unreadSelectors(a); have != c.want {
			t.Errorf("%s: %q, want %q", c.manifest, have, c.want)
		}
		if f, l := fieldSelectorText(a.FieldSelector), labelSelectorText(a.LabelSelector); f != c.fields || l != c.labels {
			t.Errorf("%s: asked for fields %q and labels %q", c.manifest, f, l)
		}
	}
	if unreadSelectors(nil) != "" {
		t.Error("a question about a path has selectors")
	}
}
