package rbac

import (
	"maps"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"sampan/kind"
	"sampan/view"
)

// Reconcile returns what must be created and updated so that the cluster has the roles and bindings of
// [ClusterRoles] and [ClusterRoleBindings], as upstream does it at a start. Rules, subjects, labels and annotations that
// somebody added or changed stay. foreign are bindings to other roles than they should be to: they must be deleted, and
// are to be created then. Everything whose autoupdate annotation says "false" is left alone.
func Reconcile(snap *view.Snapshot) (create, update, foreign []kind.Object) {
	for _, want := range ClusterRoles() {
		have, ok := view.Get[*rbacv1.ClusterRole](snap, kind.ClusterRoles, "", want.Name)
		if !ok {
			create = append(create, want)
			continue
		}
		next := have.DeepCopy()
		if next.Annotations[autoUpdateAnnotation] == "false" {
			continue
		}
		changed := furnish(&next.ObjectMeta, &want.ObjectMeta)
		if _, lacking := validation.Covers(have.Rules, want.Rules); len(lacking) > 0 {
			next.Rules = append(next.Rules, lacking...)
			changed = true
		}
		if aggregate(next, want.AggregationRule) || changed {
			update = append(update, next)
		}
	}
	for _, want := range ClusterRoleBindings() {
		have, ok := view.Get[*rbacv1.ClusterRoleBinding](snap, kind.ClusterRoleBindings, "", want.Name)
		if !ok {
			create = append(create, want)
			continue
		}
		next := have.DeepCopy()
		switch {
		case next.Annotations[autoUpdateAnnotation] == "false":
			continue
		case next.RoleRef != want.RoleRef: // never changes
			if next.DeletionTimestamp == nil {
				foreign = append(foreign, next)
			}
			continue
		}
		changed := furnish(&next.ObjectMeta, &want.ObjectMeta)
		for _, s := range want.Subjects {
			if !slices.Contains(next.Subjects, s) {
				next.Subjects = append(next.Subjects, s)
				changed = true
			}
		}
		if changed {
			update = append(update, next)
		}
	}
	return create, update, foreign
}

// aggregate gives a role the selectors that it lacks of those by which it should aggregate others. A role that should not
// aggregate at all does so no more.
func aggregate(role *rbacv1.ClusterRole, want *rbacv1.AggregationRule) (changed bool) {
	if want == nil {
		changed = role.AggregationRule != nil
		role.AggregationRule = nil
		return changed
	}
	if role.AggregationRule == nil {
		role.AggregationRule = new(rbacv1.AggregationRule)
	}
	have := &role.AggregationRule.ClusterRoleSelectors
	for _, s := range want.ClusterRoleSelectors {
		if !slices.ContainsFunc(*have, func(h metav1.LabelSelector) bool { return equality.Semantic.DeepEqual(h, s) }) {
			*have = append(*have, s)
			changed = true
		}
	}
	return changed
}

// furnish adds the labels and annotations that are missing.
func furnish(meta, want *metav1.ObjectMeta) (changed bool) {
	add := func(have *map[string]string, want map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if _, ok := (*have)[name]; ok {
				continue
			}
			if *have == nil {
				*have = make(map[string]string)
			}
			(*have)[name] = want[name]
			changed = true
		}
	}
	add(&meta.Labels, want.Labels)
	add(&meta.Annotations, want.Annotations)
	return changed
}
