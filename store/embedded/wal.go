package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sampan/store"
)

// The log, format 1. It is a file of pages, with batches from its beginning on: each is what one group commit made
// durable, begins on a page of its own, and is padded with zeros. Numbers are big-endian.
//
//	magic     8 bytes, "SampanL1"
//	id        16 bytes, those that the store file names
//	first     revision of the first transaction, 8 bytes
//	length    of the batch without its padding, 4 bytes
//	events    4 bytes, their number
//	EVENTS    flags (1: deleted, 2: the first of its transaction), length of KEY (uvarint), KEY, and, if it is not
//	          deleted, length of VALUE (uvarint), VALUE
//	checksum  CRC-32C of all before it, 4 bytes
//
// A batch is written only when the one before it is durable. So if one is damaged, and a later one is there, that
// cannot be from a power loss. Batches that the store file has taken in are not removed, but overwritten by and by;
// their revisions tell them apart from those that count.
const (
	logMagic      = "SampanL1"
	logIDSize     = 16
	logHeaderSize = len(logMagic) + logIDSize + 8 + 4 + 4
	logPage       = 4096

	logDeleted = 1
	logBegins  = 2
)

// logID says to which store a log belongs.
type logID [logIDSize]byte

// batchSize returns the bytes that appendBatch adds, padding included.
func batchSize(events []store.Event) int {
	size := logHeaderSize + checksumSize
	for _, e := range events {
		size += 1 + uvarintSize(len(e.Key)) + len(e.Key)
		if e.Value != nil {
			size += uvarintSize(len(e.Value)) + len(e.Value)
		}
	}
	return padded(size)
}

func padded(size int) int { return (size + logPage - 1) / logPage * logPage }

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// appendBatch appends a batch of whole transactions, whose revisions rise by one, to b, whose length is a multiple of
// the page size.
func appendBatch(b []byte, id logID, events []store.Event) []byte {
	start := len(b)
	b = append(b, logMagic...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(events[0].Revision))
	length := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(events)))
	last := int64(0)
	for _, e := range events {
		var flags byte
		if e.Revision != last {
			flags |= logBegins
			last = e.Revision
		}
		if e.Value == nil {
			flags |= logDeleted
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(len(e.Key)))
		b = append(b, e.Key...)
		if e.Value != nil {
			b = binary.AppendUvarint(b, uint64(len(e.Value)))
			b = append(b, e.Value...)
		}
	}
	binary.BigEndian.PutUint32(b[length:], uint32(len(b)-start+checksumSize))
	b = binary.BigEndian.AppendUint32(b, checksum(b[start:]))
	return append(b, make([]byte, start+padded(len(b)-start)-len(b))...)
}

// logBatch is a batch as it stands in the log.
type logBatch struct {
	id     logID
	first  int64
	size   int    // with its padding
	events []byte // still encoded
	count  int
}

// readBatch returns the batch that b begins with. ok is false if there is none, or not all of it.
func readBatch(b []byte) (_ logBatch, ok bool) {
	if len(b) < logHeaderSize+checksumSize || string(b[:len(logMagic)]) != logMagic {
		return logBatch{}, false
	}
	var batch logBatch
	rest := b[len(logMagic):]
	copy(batch.id[:], rest)
	rest = rest[logIDSize:]
	batch.first = int64(binary.BigEndian.Uint64(rest))
	length := uint64(binary.BigEndian.Uint32(rest[8:]))
	batch.count = int(binary.BigEndian.Uint32(rest[12:]))
	if length < uint64(logHeaderSize+checksumSize) || length > uint64(len(b)) {
		return logBatch{}, false
	}
	content := b[:length-checksumSize]
	if checksum(content) != binary.BigEndian.Uint32(b[len(content):]) {
		return logBatch{}, false
	}
	batch.size = padded(int(length))
	batch.events = content[logHeaderSize:]
	return batch, true
}

// decode returns the events of the batch, which share nothing with the log.
func (b logBatch) decode() ([]store.Event, error) {
	broken := fmt.Errorf("the batch of revision %d does not hold together", b.first)
	rest, revision := b.events, b.first-1
	take := func() ([]byte, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, false
		}
		part := rest[size : size+int(n)]
		rest = rest[size+int(n):]
		return part, true
	}
	var events []store.Event
	for len(rest) > 0 {
		flags := rest[0]
		rest = rest[1:]
		if flags&logBegins != 0 {
			revision++
		}
		key, ok := take()
		if !ok || revision < b.first {
			return nil, broken
		}
		e := store.Event{Key: string(key), Revision: revision}
		if flags&logDeleted == 0 {
			value, ok := take()
			if !ok {
				return nil, broken
			}
			e.Value = copied(value)
		}
		events = append(events, e)
	}
	if len(events) != b.count || b.count == 0 {
		return nil, broken
	}
	return events, nil
}

// replay returns what a log adds to a store file that has everything up to a revision, and where the next batch
// goes. A batch at the end that is not whole is what a power loss leaves: nobody was told that it is durable.
// Everything else that is not whole is damage.
func replay(log []byte, id logID, stored int64) (events []store.Event, end int, err error) {
	next := stored + 1
	at := 0
	for at < len(log) {
		batch, ok := readBatch(log[at:])
		if !ok || batch.id != id || batch.first != next {
			break
		}
		more, err := batch.decode()
		if err != nil {
			return nil, 0, err
		}
		events = append(events, more...)
		next = events[len(events)-1].Revision + 1
		at += batch.size
	}
	end = at
	// Behind the end there is only what the store file has already.
	for at < len(log) {
		batch, ok := readBatch(log[at:])
		if !ok || batch.id != id {
			at += logPage
			continue
		}
		old, err := batch.decode()
		if err != nil {
			return nil, 0, err
		}
		if last := old[len(old)-1].Revision; last >= next {
			return nil, 0, fmt.Errorf("it has revisions %d to %d at byte %d, but not %d", batch.first, last, at, next)
		}
		at += batch.size
	}
	return events, end, nil
}

// errForeignLog says that the log has writes of a store that is not here.
var errForeignLog = errors.New("it belongs to another store file")

// checkUnused returns an error if there are batches in a log that no store file names.
func checkUnused(log []byte) error {
	for at := 0; at < len(log); at += logPage {
		if batch, ok := readBatch(log[at:]); ok {
			return fmt.Errorf("%w: it has revision %d of one", errForeignLog, batch.first)
		}
	}
	return nil
}

// decodeLogID returns the id in the store file's meta; ok is false if there is none.
func decodeLogID(b []byte) (id logID, ok bool) {
	ok = len(b) == logIDSize
	copy(id[:], b)
	return id, ok
}
