package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"sampan/store"
)

// Bounds of what is read, so that a damaged file asks for no senseless memory.
const (
	keyMax   = 1 << 12
	valueMax = 64 << 20
)

// Bounds of one transaction of a restore; etcd refuses larger ones.
const (
	batchKeys  = 100
	batchBytes = 512 << 10
)

// Target is an empty store that is being filled: that of the Restore functions of the back ends.
type Target interface {
	store.Store
	// FinishRestore says that everything is there. A store without it cannot be opened.
	FinishRestore(ctx context.Context) error
}

// ErrDamaged is a file that is no backup, or not a whole one.
var ErrDamaged = errors.New("it is damaged, or no backup")

// Above returns the revision that a store goes on above which is filled at a time from a backup of a revision. The old
// store may have gone on after the backup, and the backup may have been restored before: revisions that were given out
// then must be old too, or their readers would go on in a history that is not theirs. They are below the microseconds
// since 1970, since no store takes a million transactions a second.
func Above(revision int64, now time.Time) int64 { return max(revision, now.UnixMicro()) }

// Check reads a backup to its end and compares the checksum.
func Check(r io.Reader) (Summary, error) {
	return read(r, func(int64) error { return nil }, func(store.Record) error { return nil })
}

// Restore fills the store that open returns, which must give revisions above the one that it is told ([Above]), and
// closes it. Nothing can be opened from it if the backup turns out to be damaged; use Check first.
func Restore(ctx context.Context, r io.Reader, now time.Time, open func(ctx context.Context, revision int64) (Target, error)) (Summary, error) {
	var into Target
	var batch []store.Write
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := into.Apply(ctx, batch...)
		batch, size = nil, 0
		return err
	}
	begin := func(revision int64) error {
		target, err := open(ctx, Above(revision, now))
		if err == nil {
			into = target
		}
		return err
	}
	sum, err := read(r, begin, func(rec store.Record) error {
		if n := len(rec.Key) + len(rec.Value); len(batch) == batchKeys || size+n > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		size += len(rec.Key) + len(rec.Value)
		batch = append(batch, store.Write{Key: rec.Key, Value: rec.Value})
		return nil
	})
	if into == nil {
		return Summary{}, err
	}
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = into.FinishRestore(ctx)
	}
	if err = errors.Join(err, into.Close()); err != nil {
		return Summary{}, err
	}
	return sum, nil
}

// read hands out what is in a backup. Its own errors are ErrDamaged.
func read(from io.Reader, begin func(revision int64) error, each func(store.Record) error) (Summary, error) {
	zip, err := gzip.NewReader(from)
	if err != nil {
		return Summary{}, damaged(err)
	}
	r := &reader{from: bufio.NewReaderSize(zip, 64<<10), sum: sha256.New()}
	head, err := r.bytes(uint64(len(magic)))
	if err != nil {
		return Summary{}, damaged(err)
	}
	if string(head) != magic {
		return Summary{}, damaged(fmt.Errorf("it begins with %q", head))
	}
	var sum Summary
	if sum.Revision, err = r.revision(); err != nil {
		return Summary{}, damaged(err)
	}
	if err := begin(sum.Revision); err != nil {
		return Summary{}, err
	}
	last := ""
	for {
		rec, err := r.record()
		if err == nil && rec.Key == "" {
			break
		}
		if err == nil && rec.Key <= last {
			err = fmt.Errorf("key %q follows %q", rec.Key, last)
		}
		if err != nil {
			return Summary{}, damaged(err)
		}
		last = rec.Key
		sum.Keys++
		if err := each(rec); err != nil {
			return Summary{}, err
		}
	}
	if err := r.end(sum.Keys); err != nil {
		return Summary{}, damaged(err)
	}
	return sum, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

type reader struct {
	from *bufio.Reader
	sum  hash.Hash
}

// ReadByte implements io.ByteReader for numbers.
func (r *reader) ReadByte() (byte, error) {
	b, err := r.from.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b})
	}
	return b, err
}

func (r *reader) bytes(n uint64) ([]byte, error) {
	b := make([]byte, 0, min(n, 1<<20))
	buf := bytes.NewBuffer(b)
	if _, err := io.CopyN(buf, r.from, int64(n)); err != nil {
		return nil, err
	}
	r.sum.Write(buf.Bytes())
	return buf.Bytes(), nil
}

func (r *reader) number(max uint64) (uint64, error) {
	n, err := binary.ReadUvarint(r)
	if err == nil && n > max {
		err = fmt.Errorf("number %d is above %d", n, max)
	}
	return n, err
}

func (r *reader) revision() (int64, error) {
	n, err := r.number(1<<62 - 1)
	return int64(n), err
}

// record returns a record without a key at the end.
func (r *reader) record() (store.Record, error) {
	n, err := r.number(keyMax)
	if err != nil || n == 0 {
		return store.Record{}, err
	}
	key, err := r.bytes(n)
	if err != nil {
		return store.Record{}, err
	}
	rec := store.Record{Key: string(key)}
	if rec.Revision, err = r.revision(); err != nil {
		return store.Record{}, err
	}
	if n, err = r.number(valueMax); err != nil {
		return store.Record{}, err
	}
	rec.Value, err = r.bytes(n)
	return rec, err
}

func (r *reader) end(keys int) error {
	n, err := r.number(1<<62 - 1)
	if err != nil {
		return err
	}
	if n != uint64(keys) {
		return fmt.Errorf("it has %d keys of %d", keys, n)
	}
	want := r.sum.Sum(nil)
	got, err := r.bytes(uint64(len(want)))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("its checksum does not hold")
	}
	// To the end of the gzip stream, whose own checksum stands there.
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows its end (%v)", err)
	}
	return nil
}
