package embedded

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"sampan/store"
)

var errUnfinished = errors.New("a restore into it did not finish")

// Restore opens an empty store to be filled, whose revisions are above the given one. Until FinishRestore,
// Open refuses the file; a restore that was begun and did not finish is dropped with all that it wrote.
func Restore(path string, opts Options, revision int64) (*Store, error) {
	// If there is a store already, what counts may still be in its log.
	if s, err := Open(path, Options{LogBytes: -1}); err == nil {
		if err := s.Close(); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, errUnfinished) {
		return nil, err
	}
	opts.LogBytes = -1 // the writes of a restore are large
	return open(path, opts, func(db *bolt.DB) error {
		return db.Update(func(tx *bolt.Tx) error {
			b := bucketsOf(tx)
			if b.meta.Get([]byte(metaRestoring)) != nil {
				for _, name := range []string{bucketMeta, bucketKeys, bucketHistory} {
					if err := tx.DeleteBucket([]byte(name)); err != nil {
						return err
					}
				}
				if err := create(tx); err != nil {
					return err
				}
				b = bucketsOf(tx)
			}
			if b.number(metaRevision) != 0 {
				return store.ErrNotEmpty
			}
			// The revision that the new history begins with is one that nobody has seen yet.
			first := revision + 1
			c := committer{stored: first, compacted: first, swept: first}
			return errors.Join(c.save(b), b.meta.Put([]byte(metaRestoring), []byte("1")))
		})
	})
}

// FinishRestore makes a store that Restore has opened one that Open opens too.
func (s *Store) FinishRestore(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	err := s.db.Update(func(tx *bolt.Tx) error { return bucketsOf(tx).meta.Delete([]byte(metaRestoring)) })
	if err != nil {
		return s.failure(fmt.Errorf("finish the restore into %s: %w", s.path, err))
	}
	return nil
}
