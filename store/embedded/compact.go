package embedded

import (
	"fmt"

	"sampan/store"
)

// sweepMax is how many old events one commit looks at. It is above what a commit usually adds on average, so
// the sweep keeps up, and small enough to hide behind the write to the disk.
const sweepMax = 256

// compact carries out a Compact request, all of it.
func (c *committer) compact(b buckets, r *request) error {
	if r.compact > c.revision {
		r.err = fmt.Errorf("compact to revision %d: %w", r.compact, store.ErrFuture)
		return nil
	}
	c.compacted = max(c.compacted, r.compact)
	for c.swept < c.compacted {
		if err := c.sweep(b, sweepMax); err != nil {
			return err
		}
	}
	return nil
}

// retain forgets what is older than the newest history revisions, a piece at a time.
func (c *committer) retain(b buckets, history int64) error {
	if history > 0 {
		// In steps of a tenth: the oldest pages are then rewritten once, not with every commit.
		if oldest := c.revision - history; oldest-c.compacted >= max(history/10, 1) {
			c.compacted = oldest
		}
	}
	if c.swept < c.compacted {
		return c.sweep(b, sweepMax)
	}
	return nil
}

// sweep removes the records that the next events up to the compacted revision have replaced, and those events
// themselves if they are deletions. It stops between transactions.
func (c *committer) sweep(b buckets, events int) error {
	var remove [][]byte // after the walk: a cursor must not see the bucket change
	cursor := b.history.Cursor()
	swept := c.compacted
	at, value := cursor.Seek(place{c.swept + 1, 0}.append(nil))
	for n := 0; at != nil; n++ {
		p := decodePlace(at)
		if p.revision > c.compacted {
			break
		}
		if n >= events && p.index == 0 {
			swept = p.revision - 1
			break
		}
		rec := decodeRecord(value)
		if rec.previous != (place{}) {
			remove = append(remove, rec.previous.append(nil))
		}
		if rec.deleted {
			remove = append(remove, p.append(nil))
		}
		at, value = cursor.Next()
	}
	for _, key := range remove {
		if err := b.history.Delete(key); err != nil {
			return err
		}
	}
	c.swept = swept
	return nil
}
