package pods

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeletionCost is the annotation by which a user ranks pods for a scale-down.
const DeletionCost = corev1.PodDeletionCost

// Victims returns the n of the pods that a scale-down removes, the first to go first. crowd gives, by
// node, how many pods of the same workload run there. The order is that of Kubernetes' ReplicaSet: pods
// that serve least, cost least to delete, stand on crowded nodes, and are younger go first; among pods of
// similar age (by powers of two) the order is arbitrary, so that old zones do not empty last.
//
// One rank is added to upstream's: a pod that has not been ready for minReady goes before one that is available.
func Victims(pods []*corev1.Pod, n int, crowd map[string]int, minReady time.Duration, now time.Time) []*corev1.Pod {
	available := func(p *corev1.Pod) int {
		ok, _ := Available(p, minReady, now)
		return btoi(ok)
	}
	ranked := slices.Clone(pods)
	slices.SortFunc(ranked, func(a, b *corev1.Pod) int {
		return cmp.Or(
			rank(a, b, func(p *corev1.Pod) int { return btoi(p.Spec.NodeName != "") }),
			rank(a, b, phaseRank),
			rank(a, b, func(p *corev1.Pod) int { return btoi(Ready(p)) }),
			rank(a, b, available),
			rank(a, b, deletionCost),
			rank(b, a, func(p *corev1.Pod) int { return crowd[p.Spec.NodeName] }),
			younger(readySince(a), readySince(b), now),
			rank(b, a, restarts),
			younger(a.CreationTimestamp, b.CreationTimestamp, now),
			cmp.Compare(a.UID, b.UID),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return ranked[:min(n, len(ranked))]
}

func rank(a, b *corev1.Pod, by func(*corev1.Pod) int) int { return cmp.Compare(by(a), by(b)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func phaseRank(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodPending:
		return 0
	case corev1.PodRunning:
		return 2
	default:
		return 1
	}
}

func deletionCost(p *corev1.Pod) int {
	n, err := strconv.ParseInt(p.Annotations[DeletionCost], 10, 32)
	if err != nil {
		return 0 // as documented: an invalid cost is no cost
	}
	return int(n)
}

func readySince(p *corev1.Pod) metav1.Time {
	if c := Condition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

func restarts(p *corev1.Pod) int {
	var most int32
	for _, s := range p.Status.ContainerStatuses {
		most = max(most, s.RestartCount)
	}
	return int(most)
}

// younger orders by age in powers of two, the younger first; no time is younger than any.
func younger(a, b metav1.Time, now time.Time) int {
	if a.IsZero() || b.IsZero() {
		return cmp.Compare(btoi(!a.IsZero()), btoi(!b.IsZero()))
	}
	return cmp.Compare(magnitude(now.Sub(a.Time)), magnitude(now.Sub(b.Time)))
}

func magnitude(age time.Duration) int64 {
	if age <= 0 {
		return -1
	}
	return int64(math.Log2(float64(age)))
}
