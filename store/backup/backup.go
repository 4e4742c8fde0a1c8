// Package backup writes everything that a store shows at one revision to one file, while writes go on, and fills
// an empty store from it, of either back end. So it also moves a cluster from one back end to the other.
//
// The file is gzip of the following; numbers are unsigned varints.
//
//	"sampan backup 1\n"
//	REVISION                                        that the backup shows
//	length of KEY, KEY, REVISION, length of VALUE, VALUE   for each key, in order; the length is not 0
//	0, number of keys
//	SHA-256 of all bytes before it
//
// Values are what the store holds, so those that are encrypted at rest stay encrypted. History is not in the file.
// A restored store goes on above all revisions that the old one has given out, also after the backup: clients that knew
// it find revisions that rise, and that what they knew is compacted.
package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"sampan/store"
)

const magic = "sampan backup 1\n"

// Summary is what a file holds.
type Summary struct {
	Revision int64
	Keys     int
}

// pages are how many records are asked for at a time. When writers are so fast that the revision is compacted
// before the last page, the next attempt takes larger ones; the last takes everything at once.
func pages() []int { return []int{2000, 20_000, 0} }

// Write writes a backup of the store to the file, which is empty, and syncs it.
func Write(ctx context.Context, file *os.File, s store.Store) (Summary, error) {
	var sum Summary
	var err error
	for _, page := range pages() {
		if err = rewind(file); err != nil {
			break
		}
		if sum, err = write(ctx, file, s, page); !errors.Is(err, store.ErrCompacted) {
			break
		}
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return Summary{}, fmt.Errorf("back up to %s: %w", file.Name(), err)
	}
	return sum, nil
}

func rewind(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}

func write(ctx context.Context, out io.Writer, s store.Store, page int) (Summary, error) {
	zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return Summary{}, err
	}
	w := &writer{to: bufio.NewWriterSize(zip, 64<<10), sum: sha256.New()}
	var done Summary
	after := ""
	for more := true; more; {
		list, err := s.List(ctx, "/", store.ListOptions{At: done.Revision, After: after, Limit: page})
		if err != nil {
			return Summary{}, err
		}
		if done.Revision == 0 {
			done.Revision = list.Revision
			w.text(magic)
			w.number(uint64(list.Revision))
		}
		for _, r := range list.Records {
			w.number(uint64(len(r.Key)))
			w.text(r.Key)
			w.number(uint64(r.Revision))
			w.number(uint64(len(r.Value)))
			w.bytes(r.Value)
			after = r.Key
		}
		done.Keys += len(list.Records)
		more = list.More
	}
	w.number(0)
	w.number(uint64(done.Keys))
	w.bytes(w.sum.Sum(nil))
	return done, errors.Join(w.err, w.to.Flush(), zip.Close())
}

// writer keeps the first error.
type writer struct {
	to  *bufio.Writer
	sum hash.Hash
	err error
}

func (w *writer) bytes(b []byte) {
	if w.err == nil {
		w.sum.Write(b)
		_, w.err = w.to.Write(b)
	}
}

func (w *writer) text(s string) { w.bytes([]byte(s)) }

func (w *writer) number(n uint64) { w.bytes(binary.AppendUvarint(nil, n)) }
