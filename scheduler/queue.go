package scheduler

import (
	"container/heap"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan/scheduler/place"
	"sampan/view"
)

// state is where a pod that has no node is on its way to one.
type state int

const (
	active        state = iota // in the queue, to be decided at once
	inFlight                   // a decision is being carried out
	awaitsClaims               // has a node in mind; its claims are not bound yet
	unschedulable              // fits nowhere; waits for a change that could help
	backingOff                 // a write failed; waits until notBefore

	states // how many there are
)

// pending is a pod without a node that this scheduler is responsible for.
type pending struct {
	pod     *corev1.Pod // newest seen
	request *place.Request
	claims  map[view.Key]bool // that the pod uses
	state   state
	dirty   bool // something that could help changed while the decision was in flight
	moved   bool // the pod or a claim of it changed while the decision was in flight
	stale   bool // backing off because a write met a newer state than the decision: until that is seen
	order   int  // of activation; earlier goes first among equal priorities

	decision  Decision  // the one in flight
	attempts  int       // how often it was decided about
	first     time.Time // when that was for the first time
	failures  int       // writes failed in a row
	notBefore time.Time
}

// queue is a heap of pods by an order of its own. It may hold pods that have left the state meanwhile; who pops one
// must look.
type queue struct {
	less func(a, b *pending) bool
	pods []*pending
}

func (q *queue) push(p *pending) { heap.Push((*pods)(q), p) }

func (q *queue) pop() *pending { return heap.Pop((*pods)(q)).(*pending) }

func (q *queue) peek() *pending {
	if len(q.pods) == 0 {
		return nil
	}
	return q.pods[0]
}

// pods is queue as container/heap wants it.
type pods queue

func (q *pods) Len() int           { return len(q.pods) }
func (q *pods) Less(i, j int) bool { return q.less(q.pods[i], q.pods[j]) }
func (q *pods) Swap(i, j int)      { q.pods[i], q.pods[j] = q.pods[j], q.pods[i] }
func (q *pods) Push(x any)         { q.pods = append(q.pods, x.(*pending)) }
func (q *pods) Pop() any {
	last := len(q.pods) - 1
	p := q.pods[last]
	q.pods[last] = nil
	q.pods = q.pods[:last]
	return p
}

// before orders active pods: higher priority first, then first come, first served.
func before(a, b *pending) bool {
	if x, y := priority(a.pod), priority(b.pod); x != y {
		return x > y
	}
	return a.order < b.order
}

func sooner(a, b *pending) bool { return a.notBefore.Before(b.notBefore) }

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority != nil {
		return *pod.Spec.Priority
	}
	return 0
}
