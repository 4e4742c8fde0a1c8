package sim

import (
	"container/heap"
	"time"
)

// clock is virtual time: an event heap ordered by time, then by the order in which events were asked for.
type clock struct {
	now   time.Time
	seq   uint64
	queue eventQueue
}

type event struct {
	at  time.Time
	seq uint64
	do  func()
}

func (c *clock) Now() time.Time { return c.now }

// after calls do when d has passed.
func (c *clock) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.queue, event{c.now.Add(max(0, d)), c.seq, do})
}

// step takes the next event; ok is false if there is none before end.
func (c *clock) step(end time.Time) (ok bool) {
	if len(c.queue) == 0 || c.queue[0].at.After(end) {
		c.now = end
		return false
	}
	e := heap.Pop(&c.queue).(event)
	c.now = e.at
	e.do()
	return true
}

type eventQueue []event

func (e eventQueue) Len() int      { return len(e) }
func (e eventQueue) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e eventQueue) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}
func (e *eventQueue) Push(x any) { *e = append(*e, x.(event)) }
func (e *eventQueue) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}
