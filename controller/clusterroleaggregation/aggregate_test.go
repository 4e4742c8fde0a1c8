package clusterroleaggregation_test

import (
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/clusterroleaggregation"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func rule(resource string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{resource}}
}

func role(name string, labels map[string]string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Rules: rules}
}

func aggregate(rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	r := role("all", map[string]string{"in": "all"}, rules...) // it selects itself, which counts for nothing
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{"in": "all"}}, {MatchLabels: map[string]string{"also": "all"}},
	}}
	return r
}

func TestAggregatedRolesHaveTheRulesOfTheirParts(t *testing.T) {
	in := map[string]string{"in": "all"}
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    []string // resources of the rules; nil: nothing is done
	}{
		{"parts", []kind.Object{aggregate(), role("a", in, rule("pods")), role("b", map[string]string{"also": "all"}, rule("nodes")), role("c", nil, rule("secrets"))}, []string{"pods", "nodes"}},
		{"the same rule twice", []kind.Object{aggregate(), role("a", in, rule("pods")), role("b", in, rule("pods"))}, []string{"pods"}},
		{"what somebody wrote into it goes", []kind.Object{aggregate(rule("secrets")), role("a", in, rule("pods"))}, []string{"pods"}},
		{"as it should be", []kind.Object{aggregate(rule("pods")), role("a", in, rule("pods"))}, nil},
		{"no parts", []kind.Object{aggregate()}, nil},
		{"not aggregated", []kind.Object{role("all", nil, rule("pods"))}, nil},
		{"gone", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := view.Key{Kind: kind.ClusterRoles, Name: "all"}
			ctl := clusterroleaggregation.New()
			plantest.Check(t, ctl, key, now(), c.objects...)
			p, _ := ctl.Decide(plantest.New(now(), c.objects...).Snapshot(), key, now(), nil)
			if c.want == nil {
				if got := plantest.Text(p, now()); got != "nothing\n" {
					t.Errorf("plan: %s", got)
				}
				return
			}
			var got []string
			for _, r := range p.Actions[0].(plan.Update).Object.(*rbacv1.ClusterRole).Rules {
				got = append(got, r.Resources...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("rules for %v, want %v", got, c.want)
			}
		})
	}
}
