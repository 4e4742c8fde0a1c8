package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sampan/store"
)

// logFile is what the log needs of a file. Tests put faults in between.
type logFile interface {
	io.WriterAt
	// Sync makes what was written durable.
	Sync() error
	Truncate(size int64) error
	Close() error
}

// syncedFile is a file whose Sync leaves out what only matters to those who look at its times.
type syncedFile struct{ *os.File }

func (f syncedFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// writeLog is the log that an open store appends to. The zero value has no file and no room.
type writeLog struct {
	path string
	id   logID
	file logFile
	size int    // of the file; a multiple of the page size
	end  int    // where the next batch goes
	buf  []byte // of the last batch
}

// keepBuffer is how large a buffer is kept from one batch to the next.
const keepBuffer = 256 << 10

// room returns how many bytes of batches still fit.
func (l *writeLog) room() int { return l.size - l.end }

// append makes events durable at the end of the log, which must have room for them. If it fails for want of space the
// log is as it was before. After any other error it is not known what it holds.
func (l *writeLog) append(events []store.Event) error {
	l.buf = appendBatch(l.buf[:0], l.id, events)
	batch := l.buf
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	if _, err := l.file.WriteAt(batch, int64(l.end)); err != nil {
		if !isNoSpace(err) {
			return fmt.Errorf("write to %s: %w", l.path, err)
		}
		// Only padding may be missing. What was refused must not come back after a crash.
		if void := l.void(); void != nil {
			return fmt.Errorf("take back what was written to %s: %w (after %v)", l.path, void, err)
		}
		return fmt.Errorf("write to %s: %w (%w)", l.path, store.ErrNoSpace, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.path, err)
	}
	l.end += len(batch)
	return nil
}

func (l *writeLog) close() {
	if l.file != nil {
		_ = l.file.Close() // what counts is synced
		l.file = nil
	}
}

// void makes sure that there is no batch at the end.
func (l *writeLog) void() error {
	if _, err := l.file.WriteAt(make([]byte, logPage), int64(l.end)); err != nil {
		return err
	}
	return l.file.Sync()
}

// createLog makes a log of a given size whose pages are all there, so that a batch need not allocate any.
func createLog(path string, size int) (l writeLog, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return writeLog{}, err
	}
	defer func() {
		if err != nil {
			// An empty log is none; a file may name this one.
			_ = f.Truncate(0)
			f.Close()
		}
	}()
	// Pages that were only reserved would have to be marked as written with the first batch in each.
	if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
		return writeLog{}, err
	}
	if err := f.Sync(); err != nil {
		return writeLog{}, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return writeLog{}, err
	}
	l = writeLog{path: path, file: syncedFile{f}, size: size}
	_, _ = rand.Read(l.id[:]) // never fails
	return l, nil
}

// logMax is larger than any log that this package makes.
const logMax = 1 << 30

// readLog returns what a log file holds; nil if it is not there.
func readLog(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > logMax:
		return nil, &damagedError{fmt.Errorf("it is %s of %d bytes", info.Mode(), info.Size())}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// errNoLog says that a log is not there that a store file names.
var errNoLog = errors.New("it is missing, and may have had the newest writes")

// reopenLog opens the log of a store that was not closed, and returns the events that the store file lacks.
func reopenLog(path string, id logID, stored int64) (writeLog, []store.Event, error) {
	data, err := readLog(path)
	if err != nil {
		return writeLog{}, nil, err
	}
	if data == nil {
		return writeLog{}, nil, errNoLog
	}
	events, end, err := replay(data, id, stored)
	if err != nil {
		return writeLog{}, nil, &damagedError{err}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return writeLog{}, nil, err
	}
	l := writeLog{path: path, id: id, file: syncedFile{f}, size: len(data) / logPage * logPage, end: end}
	// What is read here may never have been synced, if the server was killed in the middle of it.
	if err := l.file.Sync(); err != nil {
		f.Close()
		return writeLog{}, nil, err
	}
	return l, events, nil
}
