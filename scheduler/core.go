package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/scheduler/place"
	"sampan/view"
)

// Back-off after a failed write: as upstream, one second, doubled up to ten.
const (
	backoffMin = time.Second
	backoffMax = 10 * time.Second
)

// Core is the scheduler without goroutine, clock or client: changes go in, decisions come out, and the outcome of
// carrying each of them out goes in again. It belongs to one goroutine.
type Core struct {
	name    string
	cluster *place.Cluster
	snap    *view.Snapshot
	pending map[types.UID]*pending
	states  [states]int            // how many of the pending are in each
	gated   map[types.UID]struct{} // pods that must not be decided about yet
	active  queue
	backoff queue
	touched map[string]bool // nodes that may have more room than when pods were refused
	orders  int
}

// Verb is what a Decision asks for.
type Verb int

// The verbs of a Decision.
const (
	Bind   Verb = iota // bind the pod to the node
	Give               // give the claims the node (annotation volume.kubernetes.io/selected-node)
	Refuse             // tell the user why the pod fits nowhere
)

// Decision is one thing to carry out for one pod. Until [Core.Done] is told how that went, the pod is not decided again.
type Decision struct {
	Verb    Verb
	Pod     *corev1.Pod
	Node    string     // of Bind and Give
	Claims  []view.Key // of Give
	Message string     // of Refuse

	Attempts int       // how often the pod was decided about, this time included
	First    time.Time // when that was for the first time
}

// Pending is how many pods have no node. Those whose decision is being carried out, and those that wait for their
// claims, are left out.
type Pending struct{ Active, Backoff, Unschedulable, Gated int }

// Pending returns how many pods wait for what.
func (c *Core) Pending() Pending {
	return Pending{Active: c.states[active], Backoff: c.states[backingOff], Unschedulable: c.states[unschedulable], Gated: len(c.gated)}
}

// NewCore returns a scheduler for the pods that ask for it by name (spec.schedulerName). It knows nothing before Reset.
func NewCore(name string) *Core {
	return &Core{
		name:    name,
		cluster: place.NewCluster(),
		snap:    new(view.Snapshot),
		pending: make(map[types.UID]*pending),
		gated:   make(map[types.UID]struct{}),
		active:  queue{less: before},
		backoff: queue{less: sooner},
		touched: make(map[string]bool),
	}
}

// Reset takes everything from a snapshot: at the start, and when the history of changes is gone. Decisions in flight
// stay in flight, and what was bound but is not seen as bound yet stays counted.
func (c *Core) Reset(snap *view.Snapshot) {
	old := c.cluster
	c.cluster, c.snap = place.NewCluster(), snap
	clear(c.gated)
	for node := range view.All[*corev1.Node](snap, kind.Nodes, "") {
		c.cluster.SetNode(node)
	}
	seen := make(map[types.UID]bool)
	for pod := range view.All[*corev1.Pod](snap, kind.Pods, "") {
		seen[pod.UID] = true
		if node, request := old.Holds(pod.UID); node != "" && pod.Spec.NodeName == "" && !finished(pod) {
			c.cluster.Hold(request, node)
		}
		c.setPod(pod)
	}
	for uid := range c.pending {
		if !seen[uid] {
			c.forget(uid)
		}
	}
	for _, p := range c.inOrder(func(p *pending) bool { return true }) {
		c.followUp(p)
	}
	c.wakeAll(func(p *pending) bool { return true })
	clear(c.touched)
}

// Observe takes changes, oldest first, and the snapshot at the last of them.
func (c *Core) Observe(changes []view.Change, snap *view.Snapshot) {
	c.snap = snap
	volumes := false
	for _, change := range changes {
		switch change.Key.Kind {
		case kind.Nodes:
			c.observeNode(change)
		case kind.Pods:
			c.observePod(change)
		case kind.PersistentVolumeClaims:
			volumes = true
			c.observeClaim(change.Key)
		case kind.PersistentVolumes, kind.StorageClasses:
			volumes = true
		}
	}
	if volumes {
		c.wakeVolumeUsers()
	}
	c.wakeTouched()
}

func (c *Core) observeNode(change view.Change) {
	if change.New == nil {
		c.cluster.RemoveNode(change.Key.Name)
		return
	}
	c.cluster.SetNode(change.New.(*corev1.Node))
	c.touched[change.Key.Name] = true
}

func (c *Core) observePod(change view.Change) {
	if old, ok := change.Old.(*corev1.Pod); ok && (change.New == nil || change.New.GetUID() != old.UID) {
		c.forget(old.UID)
		c.release(old.UID)
		delete(c.gated, old.UID)
	}
	if pod, ok := change.New.(*corev1.Pod); ok {
		c.setPod(pod)
	}
}

func (c *Core) setPod(pod *corev1.Pod) {
	held, request := c.cluster.Holds(pod.UID)
	if c.gates(pod) {
		c.gated[pod.UID] = struct{}{}
	} else {
		delete(c.gated, pod.UID)
	}
	switch {
	case finished(pod):
		c.forget(pod.UID)
		c.release(pod.UID)
	case pod.Spec.NodeName != "":
		c.forget(pod.UID)
		if held == pod.Spec.NodeName && sameDemand(request.Pod, pod) {
			return
		}
		if held != "" {
			c.touched[held] = true
		}
		c.cluster.Hold(place.NewRequest(pod), pod.Spec.NodeName)
	case c.pending[pod.UID] != nil:
		c.updatePending(c.pending[pod.UID], pod)
	case held != "":
		// Bound by us, but this view is older than that.
	case c.responsible(pod):
		p := &pending{pod: pod, request: place.NewRequest(pod), claims: claimKeys(pod)}
		c.pending[pod.UID] = p
		c.states[p.state]++
		c.activate(p)
	}
}

// asks reports whether a pod wants this scheduler.
func (c *Core) asks(pod *corev1.Pod) bool {
	return pod.Spec.SchedulerName == c.name && pod.DeletionTimestamp == nil
}

func (c *Core) responsible(pod *corev1.Pod) bool {
	return c.asks(pod) && len(pod.Spec.SchedulingGates) == 0
}

// gates reports whether a pod wants this scheduler, but not yet.
func (c *Core) gates(pod *corev1.Pod) bool {
	return c.asks(pod) && len(pod.Spec.SchedulingGates) > 0 && pod.Spec.NodeName == "" && !finished(pod)
}

func (c *Core) updatePending(p *pending, pod *corev1.Pod) {
	if !c.responsible(pod) {
		inFlight := p.state == inFlight
		c.forget(pod.UID)
		if !inFlight { // else the outcome says whether the node is taken
			c.release(pod.UID)
		}
		return
	}
	changed := !sameDemand(p.pod, pod)
	if p.pod.ResourceVersion != pod.ResourceVersion {
		c.followUp(p)
	}
	p.pod = pod
	if changed {
		p.request = place.NewRequest(pod)
		c.wake(p)
	}
}

// followUp takes notice that the pod, or a claim of it, is newer than what it was decided on.
func (c *Core) followUp(p *pending) {
	p.moved = true
	if p.state == backingOff && p.stale {
		c.activate(p)
	}
}

// sameDemand reports whether two versions of a pod ask for the same: the generation counts changes of the spec, and
// the node confirms a resize in the status.
func sameDemand(a, b *corev1.Pod) bool {
	if a == b {
		return true
	}
	return a.Generation == b.Generation && !resized(a, b)
}

func resized(a, b *corev1.Pod) bool {
	if len(a.Status.ContainerStatuses) != len(b.Status.ContainerStatuses) {
		// Statuses appear without changing what a pod asks for; only a resize changes allocated resources later.
		return false
	}
	for i := range a.Status.ContainerStatuses {
		x, y := a.Status.ContainerStatuses[i].AllocatedResources, b.Status.ContainerStatuses[i].AllocatedResources
		for name, q := range x {
			if q.Cmp(y[name]) != 0 {
				return true
			}
		}
	}
	return false
}

func (c *Core) observeClaim(key view.Key) {
	for _, p := range c.inOrder(func(p *pending) bool { return p.claims[key] }) {
		c.followUp(p)
	}
	c.wakeAll(func(p *pending) bool { return p.claims[key] })
}

// wakeVolumeUsers decides pods again that were refused and have claims; volumes change rarely, so all of them.
func (c *Core) wakeVolumeUsers() {
	c.wakeAll(func(p *pending) bool { return len(p.claims) > 0 && p.state != awaitsClaims })
}

// wakeTouched decides those refused pods again that fit on a node that changed: one look per pod and such node.
func (c *Core) wakeTouched() {
	if len(c.touched) == 0 {
		return
	}
	c.wakeAll(func(p *pending) bool {
		if p.state != unschedulable && !(p.state == inFlight && p.decision.Verb == Refuse) {
			return false
		}
		for name := range c.touched {
			if c.cluster.Fits(c.snap, p.request, name) {
				return true
			}
		}
		return false
	})
	clear(c.touched)
}

// wakeAll wakes the waiting pods that could be helped, in the order in which they began to wait.
func (c *Core) wakeAll(helped func(p *pending) bool) {
	for _, p := range c.inOrder(func(p *pending) bool { return p.state != active && p.state != backingOff && helped(p) }) {
		c.wake(p)
	}
}

// inOrder returns the pods that match, in the order in which they began to wait.
func (c *Core) inOrder(match func(p *pending) bool) []*pending {
	var found []*pending
	for _, p := range c.pending {
		if match(p) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *pending) int { return a.order - b.order })
	return found
}

// wake has a pod decided again, now or when its decision in flight is carried out.
func (c *Core) wake(p *pending) {
	switch p.state {
	case inFlight:
		p.dirty = true
	case unschedulable, awaitsClaims:
		c.activate(p)
	}
}

func (c *Core) activate(p *pending) {
	c.orders++
	c.move(p, active)
	p.dirty, p.order = false, c.orders
	c.active.push(p)
}

// move puts a pending pod into a state.
func (c *Core) move(p *pending, s state) {
	c.states[p.state]--
	c.states[s]++
	p.state = s
}

func (c *Core) forget(uid types.UID) {
	if p := c.pending[uid]; p != nil {
		c.states[p.state]--
		delete(c.pending, uid)
	}
}

func (c *Core) release(uid types.UID) {
	if node := c.cluster.Release(uid); node != "" {
		c.touched[node] = true
	}
}

// WakeAt returns when the next pod's back-off ends; zero: none is backing off.
func (c *Core) WakeAt() time.Time {
	for p := c.backoff.peek(); p != nil; p = c.backoff.peek() {
		if c.is(p, backingOff) {
			return p.notBefore
		}
		c.backoff.pop()
	}
	return time.Time{}
}

// is reports whether p is current and in the state: queues are not searched when a pod leaves.
func (c *Core) is(p *pending, s state) bool { return p.state == s && c.pending[p.pod.UID] == p }

// Next decides the next pod and assumes that the decision will be carried out. ok is false when no pod can be
// decided now.
func (c *Core) Next(now time.Time) (d Decision, ok bool) {
	for at := c.WakeAt(); !at.IsZero() && !at.After(now); at = c.WakeAt() {
		c.activate(c.backoff.pop())
	}
	for len(c.active.pods) > 0 {
		p := c.active.pop()
		if !c.is(p, active) {
			continue
		}
		if p.first.IsZero() {
			p.first = now
		}
		if d, ok := c.decide(p); ok {
			d.Attempts, d.First = p.attempts, p.first
			c.move(p, inFlight)
			p.decision, p.moved, p.stale = d, false, false
			return d, true
		}
	}
	return Decision{}, false
}

// decide returns what to carry out for a pod, or false if it only has to wait.
func (c *Core) decide(p *pending) (Decision, bool) {
	freed := c.cluster.Release(p.pod.UID) // the node in mind while claims were bound
	if freed == "" || p.failures > 0 {    // else the attempt goes on
		p.attempts++
	}
	r := c.cluster.Decide(c.snap, p.request)
	if freed != "" && freed != r.Node {
		c.touched[freed] = true
		defer c.wakeTouched()
	}
	if r.Node == "" {
		return Decision{Verb: Refuse, Pod: p.pod, Message: r.Message}, true
	}
	c.cluster.Hold(p.request, r.Node)
	switch {
	case len(r.Give) > 0:
		return Decision{Verb: Give, Pod: p.pod, Node: r.Node, Claims: r.Give}, true
	case len(r.Wait) > 0:
		c.move(p, awaitsClaims)
		return Decision{}, false
	}
	return Decision{Verb: Bind, Pod: p.pod, Node: r.Node}, true
}

// Done says how carrying out a decision went.
func (c *Core) Done(d Decision, err error, now time.Time) {
	uid := d.Pod.UID
	p := c.pending[uid]
	if p == nil || p.state != inFlight {
		// The pod was seen bound, or is no longer ours. If it was not bound, its node is free.
		if d.Verb == Give || d.Verb == Bind && err != nil {
			c.releaseUnbound(d)
		}
		return
	}
	switch {
	case err == nil && d.Verb == Bind:
		c.forget(uid) // stays counted; the view will show it bound
	case err == nil:
		c.settle(p, d.Verb)
	case apierrors.IsNotFound(err) && d.Verb != Give:
		c.forget(uid)
		c.release(uid)
	case apierrors.IsConflict(err) && d.Verb != Bind && p.moved:
		c.release(uid) // written meanwhile by someone else: decide on the new state
		c.activate(p)
	default:
		p.stale = apierrors.IsConflict(err) && d.Verb != Bind
		if d.Verb != Bind || refused(err) { // else the pod may be bound all the same: the view will tell before the back-off ends
			c.release(uid)
		}
		c.backOff(p, now)
	}
	c.wakeTouched()
}

// refused reports whether the API server certainly did not carry out a write.
func refused(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonInternalError:
		return false
	}
	return true
}

// settle puts a pod where its carried-out decision leaves it.
func (c *Core) settle(p *pending, verb Verb) {
	p.failures = 0
	dirty := p.dirty
	if verb == Give {
		c.move(p, awaitsClaims)
	} else {
		c.move(p, unschedulable)
	}
	if dirty {
		c.wake(p)
	}
}

func (c *Core) backOff(p *pending, now time.Time) {
	delay := backoffMin << min(p.failures, 4)
	p.failures++
	c.move(p, backingOff)
	p.notBefore = now.Add(min(delay, backoffMax))
	c.backoff.push(p)
}

// releaseUnbound stops counting a pod whose decision failed after the pod had left the queue, unless it is seen bound.
func (c *Core) releaseUnbound(d Decision) {
	pod, ok := view.Get[*corev1.Pod](c.snap, kind.Pods, d.Pod.Namespace, d.Pod.Name)
	if ok && pod.UID == d.Pod.UID && pod.Spec.NodeName != "" {
		return
	}
	c.release(d.Pod.UID)
	c.wakeTouched()
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func claimKeys(pod *corev1.Pod) map[view.Key]bool {
	names := core.ClaimsOf(pod)
	if len(names) == 0 {
		return nil
	}
	keys := make(map[view.Key]bool, len(names))
	for _, name := range names {
		keys[view.Key{Kind: kind.PersistentVolumeClaims, Namespace: pod.Namespace, Name: name}] = true
	}
	return keys
}

// Snapshot returns the view that decisions are made on.
func (c *Core) Snapshot() *view.Snapshot { return c.snap }
