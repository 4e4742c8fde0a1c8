package dns

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	keepMax    = 30 * time.Second // whatever an answer's own time is
	entriesMax = 10_000
	headerSize = 12
)

// cacheKey is a question, with what of a query changes the answer.
type cacheKey struct {
	name     string // lower case
	kind     dnsmessage.Type
	edns     bool
	dnssecOK bool
	checking bool // the client checks signatures itself
	tcp      bool
}

type cacheEntry struct {
	reply  []byte
	stored time.Time
	until  time.Time
}

// cache keeps answers of other servers as they came. It is safe for concurrent use.
type cache struct {
	mu      sync.Mutex // guards entries
	entries map[cacheKey]cacheEntry
}

func newCache() *cache { return &cache{entries: map[cacheKey]cacheEntry{}} }

func (c *cache) clear() {
	c.mu.Lock()
	clear(c.entries)
	c.mu.Unlock()
}

// get returns a kept answer, made to suit the query: its number, its letters, and the time that is left.
func (c *cache) get(q query, now time.Time) []byte {
	c.mu.Lock()
	e, ok := c.entries[keyOf(q)]
	c.mu.Unlock()
	if !ok || !now.Before(e.until) || len(e.reply) > q.size {
		return nil
	}
	out := bytes.Clone(e.reply)
	binary.BigEndian.PutUint16(out, q.header.ID)
	copy(out[headerSize:], q.raw[headerSize:headerSize+nameSize(q.raw)])
	age := uint32(now.Sub(e.stored) / time.Second)
	_ = eachTTL(out, func(ttl []byte) {
		left := min(binary.BigEndian.Uint32(ttl), uint32(keepMax/time.Second))
		binary.BigEndian.PutUint32(ttl, left-min(left, age))
	})
	return out
}

// put keeps an answer for as long as its shortest record lives, at most keepMax.
func (c *cache) put(q query, reply []byte, now time.Time) {
	code := dnsmessage.RCode(reply[3] & 0xf)
	truncated := reply[2]&2 != 0
	if truncated || code != dnsmessage.RCodeSuccess && code != dnsmessage.RCodeNameError {
		return
	}
	keep, records := keepMax, 0
	err := eachTTL(reply, func(ttl []byte) {
		records++
		keep = min(keep, time.Duration(binary.BigEndian.Uint32(ttl))*time.Second)
	})
	if err != nil || records == 0 || keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= entriesMax {
		c.makeRoom(now)
	}
	c.entries[keyOf(q)] = cacheEntry{bytes.Clone(reply), now, now.Add(keep)}
}

// makeRoom drops what is old, or half of everything if that is not much.
func (c *cache) makeRoom(now time.Time) {
	for k, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, k)
		}
	}
	for k := range c.entries {
		if len(c.entries) <= entriesMax/2 {
			return
		}
		delete(c.entries, k)
	}
}

func keyOf(q query) cacheKey {
	const checkingDisabled = 1 << 4
	return cacheKey{
		name: string(bytes.ToLower(q.question.Name.Data[:q.question.Name.Length])), kind: q.question.Type,
		edns: q.edns, dnssecOK: q.dnssecOK, checking: q.raw[3]&checkingDisabled != 0, tcp: q.tcp,
	}
}

// nameSize returns the length of the question's name in a message for which plainName was true.
func nameSize(raw []byte) int {
	n := headerSize
	for n < len(raw) && raw[n] != 0 {
		n += 1 + int(raw[n])
	}
	return n + 1 - headerSize
}

// plainName reports whether the question's name is written out in the message, not by pointers. There is nothing
// in front of it that an honest pointer could lead to, and we write over it in place.
func plainName(raw []byte, name dnsmessage.Name) bool {
	want := int(name.Length) + 1
	if want == 2 { // the root, "."
		want = 1
	}
	return nameSize(raw) == want && headerSize+want <= len(raw)
}
