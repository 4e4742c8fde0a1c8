package place

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Cluster is the account of the nodes. The zero value is not usable; see [NewCluster].
type Cluster struct {
	nodes  map[string]*node   // known by a Node object, or only by pods that name them
	order  []*node            // those with a Node object, by name
	pods   map[types.UID]held // every pod that is counted
	owners map[types.UID]map[*node]int
	images map[string]int // number of nodes that have the image

	candidates []candidate // scratch of Decide
}

// held is a pod that is counted on a node.
type held struct {
	request *Request
	on      *node
}

// node is what one node offers and what its pods take.
type node struct {
	name   string
	object *corev1.Node // nil while only pods name the node

	allocatable, taken amounts
	maxPods, pods      int64
	scoreTaken         [2]int64 // CPU and memory as scores count them
	ports              []hostPort
	repel              []corev1.Taint // NoSchedule and NoExecute
	discourage         []corev1.Taint // PreferNoSchedule
	images             map[string]int64
}

type amounts struct {
	cpu, memory, ephemeral int64
	extended               map[corev1.ResourceName]int64
}

// NewCluster returns an account without nodes.
func NewCluster() *Cluster {
	return &Cluster{
		nodes:  make(map[string]*node),
		pods:   make(map[types.UID]held),
		owners: make(map[types.UID]map[*node]int),
		images: make(map[string]int),
	}
}

// Len returns the number of nodes.
func (c *Cluster) Len() int { return len(c.order) }

// SetNode adds a node or replaces what is known of it. Pods counted on it stay.
func (c *Cluster) SetNode(object *corev1.Node) {
	n := c.named(object.Name)
	if n.object == nil {
		at, _ := slices.BinarySearchFunc(c.order, object.Name, byName)
		c.order = slices.Insert(c.order, at, n)
	}
	c.countImages(n, -1)
	n.set(object)
	c.countImages(n, 1)
}

// RemoveNode forgets a node. What its pods take stays counted until they are removed too, so that a node which
// comes back is not thought empty.
func (c *Cluster) RemoveNode(name string) {
	n := c.nodes[name]
	if n == nil || n.object == nil {
		return
	}
	at, _ := slices.BinarySearchFunc(c.order, name, byName)
	c.order = slices.Delete(c.order, at, at+1)
	c.countImages(n, -1)
	n.object, n.images = nil, nil
	c.dropUnused(n)
}

// Hold counts a pod on a node, instead of where it was counted before.
func (c *Cluster) Hold(r *Request, nodeName string) {
	c.Release(r.Pod.UID)
	h := held{r, c.named(nodeName)}
	c.pods[r.Pod.UID] = h
	c.count(h, 1)
}

// Release stops counting a pod and returns the node that it was counted on, or "".
func (c *Cluster) Release(uid types.UID) string {
	h, ok := c.pods[uid]
	if !ok {
		return ""
	}
	delete(c.pods, uid)
	c.count(h, -1)
	c.dropUnused(h.on)
	return h.on.name
}

// Holds returns the node that a pod is counted on, or "", and what it was counted for.
func (c *Cluster) Holds(uid types.UID) (string, *Request) {
	if h, ok := c.pods[uid]; ok {
		return h.on.name, h.request
	}
	return "", nil
}

func byName(n *node, name string) int { return strings.Compare(n.name, name) }

func (c *Cluster) named(name string) *node {
	n := c.nodes[name]
	if n == nil {
		n = &node{name: name}
		c.nodes[name] = n
	}
	return n
}

func (c *Cluster) dropUnused(n *node) {
	if n.object == nil && n.pods == 0 {
		delete(c.nodes, n.name)
	}
}

func (c *Cluster) countImages(n *node, sign int) {
	for name := range n.images {
		if c.images[name] += sign; c.images[name] == 0 {
			delete(c.images, name)
		}
	}
}

func (c *Cluster) count(h held, sign int64) {
	n, r := h.on, h.request
	n.pods += sign
	n.taken.cpu += sign * r.cpu
	n.taken.memory += sign * r.memory
	n.taken.ephemeral += sign * r.ephemeral
	n.scoreTaken[0] += sign * r.scoreCPU
	n.scoreTaken[1] += sign * r.scoreMemory
	for _, q := range r.extended {
		if n.taken.extended == nil {
			n.taken.extended = make(map[corev1.ResourceName]int64)
		}
		n.taken.extended[q.name] += sign * q.value
	}
	for _, p := range r.ports {
		if sign > 0 {
			n.ports = append(n.ports, p)
		} else if i := slices.Index(n.ports, p); i >= 0 {
			n.ports = slices.Delete(n.ports, i, i+1)
		}
	}
	if r.owner != "" {
		c.countOwner(r.owner, n, int(sign))
	}
}

func (c *Cluster) countOwner(owner types.UID, n *node, sign int) {
	per := c.owners[owner]
	if per == nil {
		per = make(map[*node]int)
		c.owners[owner] = per
	}
	if per[n] += sign; per[n] == 0 {
		delete(per, n)
		if len(per) == 0 {
			delete(c.owners, owner)
		}
	}
}

func (n *node) set(object *corev1.Node) {
	n.object = object
	n.allocatable, n.maxPods = amounts{}, 0
	for name, q := range object.Status.Allocatable {
		switch name {
		case corev1.ResourceCPU:
			n.allocatable.cpu = q.MilliValue()
		case corev1.ResourceMemory:
			n.allocatable.memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			n.allocatable.ephemeral = q.Value()
		case corev1.ResourcePods:
			n.maxPods = q.Value()
		default:
			if n.allocatable.extended == nil {
				n.allocatable.extended = make(map[corev1.ResourceName]int64)
			}
			n.allocatable.extended[name] = q.Value()
		}
	}
	n.repel, n.discourage = nil, nil
	for _, t := range object.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			n.discourage = append(n.discourage, t)
		} else {
			n.repel = append(n.repel, t)
		}
	}
	n.images = nil
	for _, image := range object.Status.Images {
		if n.images == nil {
			n.images = make(map[string]int64)
		}
		for _, name := range image.Names {
			n.images[name] = image.SizeBytes
		}
	}
}
