package rbac

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/auth/rbac/validation"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/view"
)

// MissingRoleError says that a binding refers to a role that is not there, so that nobody can tell what it grants.
type MissingRoleError struct{ Kind, Name string }

func (e *MissingRoleError) Error() string {
	return fmt.Sprintf("%s.rbac.authorization.k8s.io %q not found", strings.ToLower(e.Kind), e.Name)
}

// ConfirmNoEscalation returns an error if a write to a role or a binding would grant what the user does not have.
// Who may "escalate" the role, or "bind" the role of a binding, may do so all the same. obj is the new state and old
// the one before, nil on creation; an object of another kind is none of its business.
func ConfirmNoEscalation(snap *view.Snapshot, authorize auth.Authorizer, user auth.User, obj, old kind.Object) error {
	if user.In(auth.GroupMasters) {
		return nil
	}
	may := func(verb, resource, namespace, name string) bool {
		ok, _ := authorize(auth.Attributes{
			User: user, Verb: verb, Group: rbacv1.GroupName, Version: "v1", Resource: resource, Namespace: namespace, Name: name,
		})
		return ok
	}
	switch obj := obj.(type) {
	case *rbacv1.Role:
		if onlyForCollection(obj, old) || may("escalate", "roles", obj.Namespace, obj.Name) {
			return nil
		}
		return covered(snap, user, obj.Namespace, obj.Rules)
	case *rbacv1.ClusterRole:
		if onlyForCollection(obj, old) || may("escalate", "clusterroles", "", obj.Name) {
			return nil
		}
		if err := covered(snap, user, "", obj.Rules); err != nil {
			return err
		}
		// What an aggregation rule selects may become anything, and what it is taken from may have more than its rules
		// should: only who has everything may have to do with one.
		if was, _ := old.(*rbacv1.ClusterRole); (aggregates(obj) || aggregates(was)) && covered(snap, user, "", everything()) != nil {
			return errors.New("must have cluster-admin privileges to use the aggregationRule")
		}
	case *rbacv1.RoleBinding:
		if !onlyForCollection(obj, old) {
			return boundBy(snap, may, user, obj.RoleRef, obj.Namespace)
		}
	case *rbacv1.ClusterRoleBinding:
		if !onlyForCollection(obj, old) {
			return boundBy(snap, may, user, obj.RoleRef, "")
		}
	}
	return nil
}

// onlyForCollection reports whether an update changes nothing but what the garbage collector needs to do away with the
// object in the end. Everything else counts: by a label the rules of a role become part of another role.
func onlyForCollection(obj, old kind.Object) bool {
	if old == nil {
		return false
	}
	same := obj.DeepCopyObject().(kind.Object)
	same.SetOwnerReferences(old.GetOwnerReferences())
	same.SetFinalizers(old.GetFinalizers())
	same.SetManagedFields(old.GetManagedFields())
	return equality.Semantic.DeepEqual(same, old)
}

func aggregates(r *rbacv1.ClusterRole) bool {
	return r != nil && r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

func boundBy(snap *view.Snapshot, may func(verb, resource, namespace, name string) bool, user auth.User, ref rbacv1.RoleRef, namespace string) error {
	if may("bind", strings.ToLower(ref.Kind)+"s", namespace, ref.Name) {
		return nil
	}
	rules, missing := roleRules(snap, ref, namespace)
	if missing != "" {
		return &MissingRoleError{Kind: ref.Kind, Name: ref.Name}
	}
	return covered(snap, user, namespace, rules)
}

func everything() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}
}

// covered returns an error that lists those of the rules that the user does not have.
func covered(snap *view.Snapshot, user auth.User, namespace string, rules []rbacv1.PolicyRule) error {
	own, missing := RulesFor(snap, user, namespace)
	ok, lacking := validation.Covers(own, rules)
	if ok {
		return nil
	}
	var lines []string
	for _, r := range compact(lacking) {
		lines = append(lines, describe(r))
	}
	slices.Sort(lines)
	text := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s", user.Name, user.Groups, strings.Join(lines, "\n"))
	if len(missing) > 0 {
		text += fmt.Sprintf("; resolution errors: %v", missing)
	}
	return fmt.Errorf("%s", text)
}

// compact joins rules that differ in their verbs only.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range rules {
		i := slices.IndexFunc(out, func(o rbacv1.PolicyRule) bool {
			return slices.Equal(o.APIGroups, r.APIGroups) && slices.Equal(o.Resources, r.Resources) &&
				slices.Equal(o.ResourceNames, r.ResourceNames) && slices.Equal(o.NonResourceURLs, r.NonResourceURLs)
		})
		if i < 0 {
			out = append(out, *r.DeepCopy())
			continue
		}
		for _, v := range r.Verbs {
			if !slices.Contains(out[i].Verbs, v) {
				out[i].Verbs = append(out[i].Verbs, v)
			}
		}
	}
	return out
}

// describe writes a rule down as upstream does in such messages.
func describe(r rbacv1.PolicyRule) string {
	var parts []string
	for _, f := range []struct {
		name   string
		values []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(f.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", f.name, f.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
