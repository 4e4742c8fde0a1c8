package deployment

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func size(s *appsv1.ReplicaSet) int32 {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

func rolling(d *appsv1.Deployment) bool {
	return d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType
}

// limits resolves maxSurge (rounded up) and maxUnavailable (rounded down) to numbers of pods. They are never
// both 0, or nothing could move.
func limits(d *appsv1.Deployment) (surge, unavailable int32) {
	n := int(replicas(d))
	resolve := func(v *intstr.IntOrString, up bool) int {
		if v == nil {
			return 0
		}
		i, err := intstr.GetScaledValueFromIntOrPercent(v, n, up)
		if err != nil {
			return 0
		}
		return max(0, i)
	}
	if ru := d.Spec.Strategy.RollingUpdate; ru != nil {
		surge, unavailable = int32(resolve(ru.MaxSurge, true)), int32(resolve(ru.MaxUnavailable, false))
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

func maxSurge(d *appsv1.Deployment) int32 {
	if !rolling(d) {
		return 0
	}
	surge, _ := limits(d)
	return surge
}

func maxUnavailable(d *appsv1.Deployment) int32 {
	if !rolling(d) || replicas(d) == 0 {
		return 0
	}
	_, unavailable := limits(d)
	return min(unavailable, replicas(d))
}

// total is the sum of the sizes that the sets ask for.
func total(sets []*appsv1.ReplicaSet) int32 {
	var n int32
	for _, s := range sets {
		n += size(s)
	}
	return n
}

// available is how many available pods of the set can be relied upon: no more than it asks for.
func available(s *appsv1.ReplicaSet) int32 { return min(s.Status.AvailableReplicas, size(s)) }

// alive is how many pods of the sets there may be: those that they ask for, or those that are still there.
func alive(sets []*appsv1.ReplicaSet) int32 {
	var n int32
	for _, s := range sets {
		n += max(size(s), s.Status.Replicas)
	}
	return n
}

// observed reports whether every set has acted on its size.
func observed(sets []*appsv1.ReplicaSet) bool {
	for _, s := range sets {
		if s.Status.ObservedGeneration < s.Generation {
			return false
		}
	}
	return true
}

// currentSize returns how large the current set, of size have, may be in a rollout, given all sets.
func currentSize(d *appsv1.Deployment, all []*appsv1.ReplicaSet, have int32) int32 {
	want := replicas(d)
	if !rolling(d) || have > want {
		return want
	}
	room := want + maxSurge(d) - alive(all)
	if room <= 0 {
		return have
	}
	return have + min(room, want-have)
}

// proportional returns the new sizes of the active sets when the Deployment is scaled in the middle of a
// rollout: each grows or shrinks in proportion to its size, and the largest takes what rounding leaves.
func proportional(d *appsv1.Deployment, active []*appsv1.ReplicaSet) []sized {
	var allowed int32
	if replicas(d) > 0 {
		allowed = replicas(d) + maxSurge(d)
	}
	toAdd := allowed - total(active)
	if toAdd > 0 {
		toAdd = max(0, allowed-alive(active))
	}
	sets := slices.Clone(active)
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if toAdd > 0 {
			return cmp.Or(cmp.Compare(size(b), size(a)), byAge(b, a)) // larger first, then newer
		}
		return cmp.Or(cmp.Compare(size(b), size(a)), byAge(a, b)) // larger first, then older
	})
	out := make([]sized, len(sets))
	var added int32
	for i, s := range sets {
		out[i] = sized{s, size(s)}
		if toAdd == 0 || toAdd == added || size(s) == 0 {
			continue
		}
		share := fraction(s, d)
		if toAdd > 0 {
			share = min(share, toAdd-added)
		} else {
			share = max(share, toAdd-added)
		}
		out[i].size += share
		added += share
	}
	if len(out) > 0 && toAdd != 0 {
		out[0].size = max(0, out[0].size+toAdd-added)
	}
	return out
}

// sized is a set and the size that it shall have.
type sized struct {
	set  *appsv1.ReplicaSet
	size int32
}

// fraction is by how much a set grows (or shrinks) in proportion to the Deployment.
func fraction(s *appsv1.ReplicaSet, d *appsv1.Deployment) int32 {
	if replicas(d) == 0 {
		return -size(s)
	}
	before, ok := annotation(s, maxAnnotation)
	if !ok || before == 0 {
		before = d.Status.Replicas
		if before == 0 {
			return 0
		}
	}
	grown := float64(size(s)) * float64(replicas(d)+maxSurge(d)) / float64(before)
	return int32(math.Round(grown)) - size(s)
}
