// Package clusterroleaggregation decides the rules of ClusterRoles that are made of others: a role with an
// aggregationRule has the rules of the roles that its selectors select, and no others.
//
// [New] is a value for package controller (or package sim) to run; it is pure and keeps no state.
package clusterroleaggregation

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// in is everything that a decision about one role may know.
type in struct {
	role  *rbacv1.ClusterRole // nil if it is gone or has its rules from nowhere else
	rules []rbacv1.PolicyRule // what it should have
}

// none is the memory of decisions that remember nothing.
type none struct{}

// New returns the controller that keeps the rules of aggregated ClusterRoles.
func New() plan.Controller {
	return plan.Define("clusterrole-aggregation-controller", []plan.Watch{
		{Kind: kind.ClusterRoles, Keys: plan.Self},
		{Kind: kind.ClusterRoles, Keys: aggregatesOf},
	}, gather, decide)
}

// aggregatesOf returns the aggregated roles that a changed role is, or was, a part of.
func aggregatesOf(snap *view.Snapshot, c view.Change) []view.Key {
	var keys []view.Key
	for role := range view.All[*rbacv1.ClusterRole](snap, kind.ClusterRoles, "") {
		if role.AggregationRule == nil || role.Name == c.Key.Name {
			continue
		}
		for _, part := range []kind.Object{c.Old, c.New} {
			if part != nil && selects(role, part.GetLabels()) {
				keys = append(keys, view.KeyOf(kind.ClusterRoles, role))
				break
			}
		}
	}
	return keys
}

func selects(role *rbacv1.ClusterRole, set labels.Set) bool {
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err == nil && selector.Matches(set) { // validation refuses what is no selector
			return true
		}
	}
	return false
}

// gather finds the rules in the order of the selectors and, for each, of the roles' names; each rule once.
func gather(snap *view.Snapshot, key view.Key, _ time.Time) in {
	role, ok := view.Get[*rbacv1.ClusterRole](snap, kind.ClusterRoles, "", key.Name)
	if !ok || role.AggregationRule == nil || role.DeletionTimestamp != nil {
		return in{}
	}
	i := in{role: role}
	for n := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[n])
		if err != nil {
			continue // validation refuses it
		}
		for part := range view.All[*rbacv1.ClusterRole](snap, kind.ClusterRoles, "") {
			if part.Name == role.Name || !selector.Matches(labels.Set(part.Labels)) {
				continue
			}
			for _, rule := range part.Rules {
				if !contains(i.rules, rule) {
					i.rules = append(i.rules, rule)
				}
			}
		}
	}
	return i
}

func contains(rules []rbacv1.PolicyRule, rule rbacv1.PolicyRule) bool {
	for _, r := range rules {
		if equality.Semantic.DeepEqual(r, rule) {
			return true
		}
	}
	return false
}

func decide(i in, _ none) (p plan.Plan, _ none) {
	if i.role == nil || equality.Semantic.DeepEqual(i.role.Rules, i.rules) {
		return p, none{}
	}
	next := i.role.DeepCopy()
	next.Rules = nil
	for _, r := range i.rules {
		next.Rules = append(next.Rules, *r.DeepCopy())
	}
	p.Do(plan.Update{Object: next})
	return p, none{}
}
