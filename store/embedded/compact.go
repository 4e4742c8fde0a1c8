package embedded

// sweepMax is how many old events one transaction looks at, if it does not add more itself.
const sweepMax = 256

// retain forgets what is older than the newest history revisions, a piece at a time.
//
// The piece is larger than what the transaction added, so the sweep keeps up.
func (c *committer) retain(b buckets, history int64, added int) error {
	if history > 0 {
		// In steps of a tenth: the oldest pages are then rewritten once, not with every commit.
		if oldest := c.revision - history; oldest-c.compacted >= max(history/10, 1) {
			c.compacted = oldest
		}
	}
	if c.swept < c.compacted {
		return c.sweep(b, max(sweepMax, 2*added))
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
