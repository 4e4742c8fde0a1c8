package rbac

import (
	"maps"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"sampan/kind"
	"sampan/view"
)

// Reconcile returns what must be created and updated so that the cluster has the roles and bindings of
// [ClusterRoles] and [ClusterRoleBindings]. Rules, subjects and labels that somebody added stay. A binding to
// another role than it should be is left alone: a role reference never changes. So is everything whose
// autoupdate annotation says "false".
func Reconcile(snap *view.Snapshot) (create, update []kind.Object) {
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
		if want.AggregationRule != nil && next.AggregationRule == nil {
			next.AggregationRule = want.AggregationRule
			changed = true
		}
		if changed {
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
		if next.Annotations[autoUpdateAnnotation] == "false" || next.RoleRef != want.RoleRef {
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
	return create, update
}

// furnish adds the labels and annotations that are missing.
func furnish(meta, want *metav1.ObjectMeta) (changed bool) {
	add := func(have *map[string]string, want map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if (*have)[name] == want[name] {
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
