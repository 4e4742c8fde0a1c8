package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// The formats of a file: one that is the whole store, and one whose newest writes may be in a log beside it.
const (
	formatAlone  = "1"
	formatLogged = "2"
)

// The names of buckets and of keys in meta.
const (
	bucketMeta    = "meta"
	bucketKeys    = "keys"
	bucketHistory = "history"

	metaFormat    = "format"
	metaRevision  = "revision"
	metaCompacted = "compacted"
	metaSwept     = "swept"
	metaCount     = "count"
	metaLog       = "log"
	metaRestoring = "restoring"
)

// place is where a record is in the history.
type place struct {
	revision int64
	index    uint32
}

const placeSize = 12

func (p place) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.revision))
	return binary.BigEndian.AppendUint32(b, p.index)
}

func decodePlace(b []byte) place {
	return place{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}
}

const (
	flagDeleted = 1
	// flagChecked says that the record ends in a checksum.
	flagChecked = 2
)

// checksum is the one that processors compute themselves.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

const checksumSize = 4

// damage is the panic of a file whose content cannot be what this package wrote.
type damage string

// record is a value of the history bucket. Decoded, its slices point into the bbolt transaction.
type record struct {
	deleted  bool
	previous place
	key      []byte
	value    []byte
}

func encodeRecord(key string, value []byte, previous place) []byte {
	b := make([]byte, 0, 1+placeSize+binary.MaxVarintLen32+len(key)+len(value)+checksumSize)
	if value == nil {
		b = append(b, flagChecked|flagDeleted)
	} else {
		b = append(b, flagChecked)
	}
	b = previous.append(b)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = append(b, value...)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// decodeRecord panics on what encodeRecord cannot have made: the file is damaged.
func decodeRecord(b []byte) record {
	const header = 1 + placeSize
	if len(b) < header {
		panic(damage(fmt.Sprintf("a record has %d bytes", len(b))))
	}
	if b[0]&flagChecked != 0 {
		content := b[:max(len(b)-checksumSize, 0)]
		if len(content) < header || checksum(content) != binary.BigEndian.Uint32(b[len(content):]) {
			panic(damage("the checksum of a record does not hold"))
		}
		b = content
	}
	keyLen, n := binary.Uvarint(b[header:])
	rest := b[header+max(n, 0):]
	if n <= 0 || keyLen > uint64(len(rest)) {
		panic(damage("a record's key is longer than the record"))
	}
	return record{
		deleted:  b[0]&flagDeleted != 0,
		previous: decodePlace(b[1:]),
		key:      rest[:keyLen],
		value:    rest[keyLen:],
	}
}

// buckets are those of one bbolt transaction.
type buckets struct {
	meta, keys, history *bolt.Bucket
}

func bucketsOf(tx *bolt.Tx) buckets {
	return buckets{
		meta:    tx.Bucket([]byte(bucketMeta)),
		keys:    tx.Bucket([]byte(bucketKeys)),
		history: tx.Bucket([]byte(bucketHistory)),
	}
}

func (b buckets) number(name string) int64 {
	v := b.meta.Get([]byte(name))
	if len(v) != 8 {
		panic(damage("its " + name + " is missing"))
	}
	return int64(binary.BigEndian.Uint64(v))
}

func (b buckets) setNumber(name string, n int64) error {
	return b.meta.Put([]byte(name), binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// newest returns the place of a key's newest record, the zero place if the key does not exist.
func (b buckets) newest(key []byte) place {
	if v := b.keys.Get(key); v != nil {
		return decodePlace(v)
	}
	return place{}
}

// at returns the record of a key at a place, which must be there.
func (b buckets) at(key string, p place) record {
	v := b.history.Get(p.append(make([]byte, 0, placeSize)))
	if v == nil {
		panic(damage(fmt.Sprintf("there is no record at revision %d index %d", p.revision, p.index)))
	}
	rec := decodeRecord(v)
	if string(rec.key) != key {
		panic(damage(fmt.Sprintf("the record at revision %d index %d is of another key", p.revision, p.index)))
	}
	return rec
}

// create makes the buckets of an empty file.
func create(tx *bolt.Tx) error {
	var b buckets
	for name, bucket := range map[string]**bolt.Bucket{
		bucketMeta: &b.meta, bucketKeys: &b.keys, bucketHistory: &b.history,
	} {
		var err error
		if *bucket, err = tx.CreateBucket([]byte(name)); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return errors.Join(
		b.meta.Put([]byte(metaFormat), []byte(formatAlone)),
		b.setNumber(metaRevision, 0),
		b.setNumber(metaCompacted, 0),
		b.setNumber(metaSwept, 0),
		b.setNumber(metaCount, 0),
	)
}

// check returns an error if the file is not one that this package wrote.
func check(tx *bolt.Tx) error {
	b := bucketsOf(tx)
	if b.meta == nil || b.keys == nil || b.history == nil {
		return errors.New("it is a bbolt file, but not one of a Sampan store")
	}
	switch got := string(b.meta.Get([]byte(metaFormat))); got {
	case formatAlone:
	case formatLogged:
		if _, ok := decodeLogID(b.meta.Get([]byte(metaLog))); !ok {
			return errors.New("the name of its log is missing")
		}
	default:
		if got == "" {
			return errors.New("its format is missing")
		}
		return &newerError{got}
	}
	for _, name := range []string{metaRevision, metaCompacted, metaSwept, metaCount} {
		if len(b.meta.Get([]byte(name))) != 8 {
			return fmt.Errorf("its %s is missing", name)
		}
	}
	if err := checkKeys(b); err != nil {
		return err
	}
	last, _ := b.history.Cursor().Last()
	switch {
	case last == nil && b.number(metaCount) > 0:
		return errors.New("its history is missing")
	case last != nil && len(last) != placeSize, last != nil && decodePlace(last).revision > b.number(metaRevision):
		return errors.New("its history does not fit its revision")
	}
	return nil
}

// checkKeys looks at all keys, which takes some ten milliseconds for 100,000. Records have checksums and say what
// key they are of, so with this nothing can be missing, or stand where it does not belong, unnoticed.
func checkKeys(b buckets) error {
	count, last := int64(0), []byte(nil)
	cursor := b.keys.Cursor()
	for key, at := cursor.First(); key != nil; key, at = cursor.Next() {
		if key[0] != '/' || bytes.Compare(last, key) >= 0 || len(at) != placeSize {
			return fmt.Errorf("its key %q does not belong behind %q", key, last)
		}
		last = key
		count++
	}
	if want := b.number(metaCount); count != want {
		return fmt.Errorf("%d keys of %d are found", count, want)
	}
	return nil
}
