package place

import (
	"slices"
	"strconv"
	"strings"

	"sampan/view"
)

// Result is where a pod goes, or why it goes nowhere.
type Result struct {
	// Node is the node's name, or "" when none can take the pod.
	Node string
	// Wait names the claims that must be bound to volumes before the pod can be bound to the node, and Give those of
	// them that must be given the node first (the annotation volume.kubernetes.io/selected-node).
	Wait, Give []view.Key
	// Message says why no node can take the pod, in upstream's words.
	Message string
}

// Large clusters are not searched to the end: a pod is placed as soon as this many nodes can take it, or the
// percentage that upstream's default gives, whichever is more.
const enoughNodes = 100

// sample returns how many nodes that can take a pod are enough to choose from.
func sample(nodes int) int {
	if nodes < enoughNodes {
		return nodes
	}
	percentage := max(5, 50-nodes/125)
	return max(enoughNodes, nodes*percentage/100)
}

// Decide returns the best node for a pod; snap is asked only about volumes. Nothing is counted: see [Cluster.Hold].
// Where the search begins, and ties, are decided by the pod's UID.
func (c *Cluster) Decide(snap *view.Snapshot, r *Request) Result {
	total := len(c.order)
	if total == 0 {
		return Result{Message: "no nodes available to schedule pods"}
	}
	v, message := volumesOf(snap, r)
	if message != "" {
		return Result{Message: explain(total, map[string]int{}, message)}
	}
	var rejected map[string]int
	reject := func(reason string) {
		if rejected == nil {
			rejected = make(map[string]int)
		}
		rejected[reason]++
	}
	c.candidates = c.candidates[:0]
	limit, start := sample(total), 0
	if limit < total {
		start = int(r.hash % uint64(total))
	}
	for i := 0; i < total && len(c.candidates) < limit; i++ {
		at := start + i
		if at >= total {
			at -= total
		}
		if n := c.order[at]; n.filter(r, v, reject) {
			c.candidates = append(c.candidates, candidate{node: n})
		}
	}
	n := c.best(r)
	if n == nil {
		return Result{Message: explain(total, rejected, "")}
	}
	wait, give := v.claims()
	return Result{Node: n.name, Wait: wait, Give: give}
}

// Fits reports whether one node can take a pod, by the same rules as [Cluster.Decide].
func (c *Cluster) Fits(snap *view.Snapshot, r *Request, nodeName string) bool {
	n := c.nodes[nodeName]
	if n == nil || n.object == nil {
		return false
	}
	v, message := volumesOf(snap, r)
	return message == "" && n.filter(r, v, func(string) {})
}

// explain words a refusal: "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
func explain(total int, rejected map[string]int, message string) string {
	var b strings.Builder
	b.WriteString("0/")
	b.WriteString(strconv.Itoa(total))
	b.WriteString(" nodes are available: ")
	if message != "" {
		b.WriteString(message)
	} else {
		reasons := make([]string, 0, len(rejected))
		for reason, count := range rejected {
			reasons = append(reasons, strconv.Itoa(count)+" "+reason)
		}
		slices.Sort(reasons)
		b.WriteString(strings.Join(reasons, ", "))
	}
	b.WriteString(".")
	return b.String()
}
