// Package rbac is role-based access control: who may do what according to the Roles, ClusterRoles and their
// bindings in a snapshot of the cluster, which roles every cluster has, and who may hand out which rights.
//
// Everything is a function of its arguments. [Authorizer] makes the decision for one snapshot; [ConfirmNoEscalation]
// guards writes to roles and bindings; [Reconcile] says what a cluster lacks of the roles that it should have.
// A binding to a role that is not there grants nothing, and is named in the reason of a refusal.
package rbac

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/view"
)

// Authorizer decides by the roles and bindings in a snapshot.
func Authorizer(snap *view.Snapshot) auth.Authorizer {
	return func(a auth.Attributes) (allowed bool, reason string) {
		var missing []string
		for g := range grants(snap, a.User, a.Namespace) {
			if g.missing != "" {
				missing = append(missing, g.missing)
				continue
			}
			if slices.ContainsFunc(g.rules, func(r rbacv1.PolicyRule) bool { return Allows(r, a) }) {
				return true, "RBAC: allowed by " + g.describe()
			}
		}
		if len(missing) == 0 {
			return false, ""
		}
		if len(missing) == 1 {
			return false, "RBAC: " + missing[0]
		}
		return false, "RBAC: [" + strings.Join(missing, ", ") + "]"
	}
}

// RulesFor returns the rules that a user has in a namespace, or on the cluster alone when it is empty. missing names
// the roles that bindings refer to and that are not there.
func RulesFor(snap *view.Snapshot, user auth.User, namespace string) (rules []rbacv1.PolicyRule, missing []string) {
	for g := range grants(snap, user, namespace) {
		if g.missing != "" {
			missing = append(missing, g.missing)
		}
		rules = append(rules, g.rules...)
	}
	return rules, missing
}

// grant is one binding that applies to a user.
type grant struct {
	binding kind.Object
	ref     rbacv1.RoleRef
	subject rbacv1.Subject
	rules   []rbacv1.PolicyRule
	missing string // says that the role is not there
}

// describe names a grant in upstream's words.
func (g grant) describe() string {
	name, what := g.binding.GetName(), "ClusterRoleBinding"
	if ns := g.binding.GetNamespace(); ns != "" {
		name, what = name+"/"+ns, "RoleBinding"
	}
	subject := g.subject.Name
	if g.subject.Kind == rbacv1.ServiceAccountKind {
		subject += "/" + g.subject.Namespace
	}
	return fmt.Sprintf("%s %q of %s %q to %s %q", what, name, g.ref.Kind, g.ref.Name, g.subject.Kind, subject)
}

// grants returns the bindings that apply to a user: those of the cluster, then those of the namespace.
func grants(snap *view.Snapshot, user auth.User, namespace string) func(yield func(grant) bool) {
	return func(yield func(grant) bool) {
		for b := range view.All[*rbacv1.ClusterRoleBinding](snap, kind.ClusterRoleBindings, "") {
			if s, ok := applies(b.Subjects, user, ""); ok && !yield(granted(snap, b, b.RoleRef, s, "")) {
				return
			}
		}
		if namespace == "" {
			return
		}
		for b := range view.All[*rbacv1.RoleBinding](snap, kind.RoleBindings, namespace) {
			if s, ok := applies(b.Subjects, user, namespace); ok && !yield(granted(snap, b, b.RoleRef, s, namespace)) {
				return
			}
		}
	}
}

func granted(snap *view.Snapshot, binding kind.Object, ref rbacv1.RoleRef, s rbacv1.Subject, namespace string) grant {
	rules, missing := roleRules(snap, ref, namespace)
	return grant{binding: binding, ref: ref, subject: s, rules: rules, missing: missing}
}

// roleRules returns the rules of a role that a binding in a namespace refers to.
func roleRules(snap *view.Snapshot, ref rbacv1.RoleRef, namespace string) (rules []rbacv1.PolicyRule, missing string) {
	switch ref.Kind {
	case "Role":
		if r, ok := view.Get[*rbacv1.Role](snap, kind.Roles, namespace, ref.Name); ok && namespace != "" {
			return r.Rules, ""
		}
		return nil, fmt.Sprintf("role.rbac.authorization.k8s.io %q not found", ref.Name)
	case "ClusterRole":
		if r, ok := view.Get[*rbacv1.ClusterRole](snap, kind.ClusterRoles, "", ref.Name); ok {
			return r.Rules, ""
		}
		return nil, fmt.Sprintf("clusterrole.rbac.authorization.k8s.io %q not found", ref.Name)
	}
	return nil, fmt.Sprintf("unsupported role reference kind: %q", ref.Kind)
}

// applies returns the subject that is the user, or a group of the user. namespace is the one of service accounts
// that do not name theirs.
func applies(subjects []rbacv1.Subject, user auth.User, namespace string) (rbacv1.Subject, bool) {
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			if s.Name == user.Name {
				return s, true
			}
		case rbacv1.GroupKind:
			if user.In(s.Name) {
				return s, true
			}
		case rbacv1.ServiceAccountKind:
			if s.Namespace == "" {
				s.Namespace = namespace
			}
			if rest, ok := strings.CutPrefix(user.Name, auth.ServiceAccountPrefix); ok && s.Namespace != "" && rest == s.Namespace+":"+s.Name {
				return s, true
			}
		}
	}
	return rbacv1.Subject{}, false
}

// Allows reports whether a rule covers a request.
func Allows(rule rbacv1.PolicyRule, a auth.Attributes) bool {
	if !has(rule.Verbs, a.Verb) {
		return false
	}
	if a.Path != "" {
		return slices.ContainsFunc(rule.NonResourceURLs, func(pattern string) bool { return pathMatches(pattern, a.Path) })
	}
	return has(rule.APIGroups, a.Group) && hasResource(rule.Resources, a.Resource, a.Subresource) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

func has(list []string, wanted string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return s == "*" || s == wanted })
}

func hasResource(list []string, resource, subresource string) bool {
	for _, s := range list {
		if s == "*" {
			return true
		}
		if subresource == "" {
			if s == resource {
				return true
			}
			continue
		}
		if left, right, ok := strings.Cut(s, "/"); ok && right == subresource && (left == resource || left == "*") {
			return true
		}
	}
	return false
}

func pathMatches(pattern, path string) bool {
	if pattern == "*" || pattern == path {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, "*")
	return ok && strings.HasPrefix(path, strings.TrimRight(prefix, "*"))
}
