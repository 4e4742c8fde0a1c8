package nodelife

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// taint brings the taints that follow from the node's conditions in step with them. Others are not touched.
func (i in) taint(p *plan.Plan) {
	want := wanted(i.node)
	var taints []corev1.Taint
	changed := false
	for _, have := range i.node.Spec.Taints {
		if !managed(have) {
			taints = append(taints, have)
			continue
		}
		at := slices.IndexFunc(want, func(w corev1.Taint) bool { return w.MatchTaint(&have) })
		if at < 0 {
			changed = true
			continue
		}
		want = slices.Delete(want, at, at+1)
		taints = append(taints, have)
	}
	for _, w := range want {
		added := metav1.NewTime(i.now.Truncate(time.Second))
		w.TimeAdded = &added
		taints = append(taints, w)
		changed = true
	}
	if !changed {
		return
	}
	node := i.node.DeepCopy()
	node.Spec.Taints = taints
	p.Do(plan.Update{Object: node}, plan.Reason{About: view.KeyOf(kind.Nodes, node), Message: "taints follow the node's conditions"})
}

// wanted returns the taints that a node's conditions ask for.
func wanted(node *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	add := func(key string, effects ...corev1.TaintEffect) {
		for _, e := range effects {
			out = append(out, corev1.Taint{Key: key, Effect: e})
		}
	}
	switch c := condition(node, corev1.NodeReady); {
	case c == nil: // it has yet to report for the first time
		add(corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)
	case c.Status == corev1.ConditionFalse:
		add(corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
	case c.Status == corev1.ConditionUnknown:
		add(corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
	}
	for _, pressure := range []struct {
		condition corev1.NodeConditionType
		key       string
	}{
		{corev1.NodeMemoryPressure, corev1.TaintNodeMemoryPressure},
		{corev1.NodeDiskPressure, corev1.TaintNodeDiskPressure},
		{corev1.NodePIDPressure, corev1.TaintNodePIDPressure},
		{corev1.NodeNetworkUnavailable, corev1.TaintNodeNetworkUnavailable},
	} {
		if c := condition(node, pressure.condition); c != nil && c.Status == corev1.ConditionTrue {
			add(pressure.key, corev1.TaintEffectNoSchedule)
		}
	}
	if node.Spec.Unschedulable {
		add(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)
	}
	return out
}

// managed reports whether a taint is one of those that wanted decides on.
func managed(t corev1.Taint) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable:
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	case corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure, corev1.TaintNodePIDPressure,
		corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeUnschedulable:
		return t.Effect == corev1.TaintEffectNoSchedule
	}
	return false
}
