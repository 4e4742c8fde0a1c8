package place

import (
	"math"
	"math/bits"
)

// The weights of upstream's default profile; each score is 0 to 100.
const (
	weightTaints   = 3
	weightAffinity = 2
	weightSpread   = 2
	weightLeast    = 1
	weightBalanced = 1
	weightImages   = 1

	maxScore = 100
)

// Images below the first size are not worth going to a node for; above the second, per container, nothing more is gained.
const (
	imageBytesMin = 23 << 20
	imageBytesMax = 1000 << 20
)

// candidate is a node that can take the pod, with the scores that must be seen beside those of the others.
type candidate struct {
	node       *node
	score      int64
	discourage int64 // untolerated PreferNoSchedule taints
	preferred  int64 // weight of the preferred affinity terms that match
	siblings   int64 // pods of the same controller
}

// best returns the candidate with the highest score; among equals the pod's UID decides.
func (c *Cluster) best(r *Request) *node {
	siblings := c.owners[r.owner] // nil for pods without a controller
	var most candidate
	for i := range c.candidates {
		x := &c.candidates[i]
		n := x.node
		x.score = weightLeast*n.least(r) + weightBalanced*n.balanced(r)
		if len(c.images) > 0 {
			x.score += weightImages * c.imageScore(n, r)
		}
		for j := range n.discourage {
			if !r.tolerates(&n.discourage[j]) {
				x.discourage++
			}
		}
		if r.preferred != nil {
			x.preferred = r.preferred.Score(n.object)
		}
		if len(siblings) > 0 {
			x.siblings = int64(siblings[n])
		}
		most.discourage = max(most.discourage, x.discourage)
		most.preferred = max(most.preferred, x.preferred)
		most.siblings = max(most.siblings, x.siblings)
	}
	top, ties := int64(math.MinInt64), uint64(0)
	for i := range c.candidates {
		x := &c.candidates[i]
		x.score += weightTaints*fewer(x.discourage, most.discourage) +
			weightSpread*fewer(x.siblings, most.siblings)
		if most.preferred > 0 {
			x.score += weightAffinity * maxScore * x.preferred / most.preferred
		}
		switch {
		case x.score > top:
			top, ties = x.score, 1
		case x.score == top:
			ties++
		}
	}
	pick, _ := bits.Mul64(r.hash*0x9e3779b97f4a7c15, ties) // hash scaled to [0, ties)
	for i := range c.candidates {
		if c.candidates[i].score == top {
			if pick == 0 {
				return c.candidates[i].node
			}
			pick--
		}
	}
	return nil
}

// fewer scores a count: 100 for none, 0 for the most.
func fewer(count, most int64) int64 {
	if most == 0 {
		return maxScore
	}
	return maxScore * (most - count) / most
}

// least prefers nodes of which little is taken.
func (n *node) least(r *Request) int64 {
	return (share(n.allocatable.cpu, n.scoreTaken[0]+r.scoreCPU) + share(n.allocatable.memory, n.scoreTaken[1]+r.scoreMemory)) / 2
}

func share(offered, taken int64) int64 {
	if offered <= 0 || taken >= offered {
		return 0
	}
	return int64(float64(offered-taken) * maxScore / float64(offered))
}

// balanced prefers nodes of which CPU and memory would be taken alike.
func (n *node) balanced(r *Request) int64 {
	if r.cpu == 0 && r.memory == 0 {
		return maxScore
	}
	difference := fraction(n.taken.cpu+r.cpu, n.allocatable.cpu) - fraction(n.taken.memory+r.memory, n.allocatable.memory)
	return int64((1 - math.Abs(difference)/2) * maxScore)
}

func fraction(taken, offered int64) float64 {
	if offered <= 0 {
		return 1
	}
	return min(1, float64(taken)/float64(offered))
}

// imageScore prefers nodes that have the pod's images, less so the fewer nodes have them, lest those few get every pod.
func (c *Cluster) imageScore(n *node, r *Request) int64 {
	var sum int64
	for _, name := range r.images {
		if size, ok := n.images[name]; ok {
			sum += size * int64(c.images[name]) / int64(len(c.order))
		}
	}
	most := int64(imageBytesMax) * int64(max(1, len(r.images)))
	return maxScore * (min(max(sum, imageBytesMin), most) - imageBytesMin) / (most - imageBytesMin)
}
