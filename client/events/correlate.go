package events

import (
	"container/list"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sampan/view"
)

const (
	keysMax         = 4096             // how many keys each of the correlator's memories holds
	similarMax      = 10               // that many different messages of one kind are written one by one,
	similarInterval = 10 * time.Minute // within this time; the rest are combined
	burst           = 25               // events about one object before the bucket is empty
	refill          = 5 * time.Minute  // for one more
	combinedPrefix  = "(combined from similar events): "
)

// Correlator decides which events are written, and which raise the count of one written before. It has no
// clock and no goroutine. The zero value is ready to use; it belongs to one goroutine.
type Correlator struct {
	buckets memory[source, bucket]
	similar memory[group, messages]
	written memory[Event, Written]
}

// source is who reports about which object.
type source struct {
	component, host string
	about           view.Key
	uid             types.UID
}

// group is events that differ in the message only.
type group struct {
	source
	fieldPath, reason string
	warning           bool
}

type bucket struct {
	tokens float64
	at     time.Time
}

type messages struct {
	seen map[string]bool
	at   time.Time
}

// Written is an event as it stands, or shall stand, in the API.
type Written struct {
	Event       Event
	Name        string // of the Event object
	Count       int32
	First, Last time.Time
}

// Observe takes an event at a time. ok is false if it must not be written. Otherwise it shall be written as
// w: created if w.Count is 1, else by a patch of count, message and last time.
func (c *Correlator) Observe(e Event, now time.Time) (w Written, ok bool) {
	src := source{e.Component, e.Host, e.About, e.UID}
	g := group{source: src, fieldPath: e.FieldPath, reason: e.Reason, warning: e.Warning}

	key := e
	key.Revision = ""
	if c.combine(g, e.Message, now) {
		e.Message = combinedPrefix + e.Message
		key.Message = combinedPrefix
	}
	w, found := c.written.get(key)
	if !found {
		w = Written{Name: name(e, now), First: now}
	}
	w.Event, w.Last = e, now
	w.Count++
	// The count rises even for an event that is not written, so that the next one tells the truth.
	c.written.set(key, w)
	return w, c.take(src, now)
}

// Forget makes the next observation of the event a new one: its object is gone from the API.
func (c *Correlator) Forget(e Event) {
	e.Revision = ""
	c.written.remove(e)
	e.Message = combinedPrefix
	c.written.remove(e)
}

// combine reports whether the message is one too many different ones of its group.
func (c *Correlator) combine(g group, message string, now time.Time) bool {
	m, ok := c.similar.get(g)
	if !ok || now.Sub(m.at) > similarInterval {
		m = messages{seen: make(map[string]bool)}
	}
	m.at = now
	tooMany := len(m.seen) >= similarMax-1 && !m.seen[message]
	if !tooMany {
		m.seen[message] = true
	}
	c.similar.set(g, m)
	return tooMany
}

// take takes a token of the source's bucket.
func (c *Correlator) take(s source, now time.Time) bool {
	b, ok := c.buckets.get(s)
	if !ok {
		b = bucket{tokens: burst, at: now}
	}
	b.tokens = min(burst, b.tokens+float64(now.Sub(b.at))/float64(refill))
	b.at = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	c.buckets.set(s, b)
	return allowed
}

// memory is a map that forgets the least recently used keys beyond keysMax.
type memory[K comparable, V any] struct {
	byKey map[K]*list.Element
	order list.List // of entry[K, V], most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func (m *memory[K, V]) get(k K) (v V, ok bool) {
	el, ok := m.byKey[k]
	if !ok {
		return v, false
	}
	return el.Value.(entry[K, V]).value, true
}

func (m *memory[K, V]) set(k K, v V) {
	if m.byKey == nil {
		m.byKey = make(map[K]*list.Element)
	}
	if el, ok := m.byKey[k]; ok {
		el.Value = entry[K, V]{k, v}
		m.order.MoveToFront(el)
		return
	}
	m.byKey[k] = m.order.PushFront(entry[K, V]{k, v})
	if m.order.Len() > keysMax {
		last := m.order.Back()
		delete(m.byKey, last.Value.(entry[K, V]).key)
		m.order.Remove(last)
	}
}

func (m *memory[K, V]) remove(k K) {
	if el, ok := m.byKey[k]; ok {
		delete(m.byKey, k)
		m.order.Remove(el)
	}
}
