package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"sampan/store"
)

// mmapBytes is address space, not memory: it lets the file grow this far without the pause of a new mapping.
const mmapBytes = 256 << 20

// Open opens the store in the file, and creates it (mode 0600) and its folder (mode 0700) if they are not
// there. The error says what to do about a file that another server has open, is damaged, or may not be read.
func Open(path string, opts Options) (*Store, error) {
	return open(path, opts, func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error {
			if bucketsOf(tx).meta.Get([]byte(metaRestoring)) != nil {
				return errUnfinished
			}
			return nil
		})
	})
}

// open opens the store after begin has looked at the file.
func open(path string, opts Options, begin func(*bolt.DB) error) (*Store, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the store: %w", err)
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeFile(path); err != nil {
			return nil, explain(path, err)
		}
	}
	db, err := openFile(path)
	if err != nil {
		return nil, explain(path, err)
	}
	s := &Store{
		path: path, opts: opts, db: db,
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
		commitTx: (*bolt.Tx).Commit,
	}
	if err := begin(db); err != nil {
		db.Close()
		return nil, explain(path, err)
	}
	if err := s.guard(s.recover); err != nil {
		s.wal.close()
		db.Close()
		return nil, err
	}
	go s.run()
	return s, nil
}

// makeFile makes the file of an empty store. It gets its name when it is whole: what a crash or a full disk leaves of
// half a file would be taken for a damaged one.
func makeFile(path string) error {
	unnamed := path + ".new"
	// A start that was cut off has left it.
	if err := os.Remove(unnamed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openFile(unnamed)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		// Unlike a renaming, this does not replace the file of somebody who was faster.
		if err = os.Link(unnamed, path); errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err = errors.Join(err, os.Remove(unnamed)); err != nil {
		return err
	}
	// The name of a new file is durable only when its folder is.
	return syncDir(filepath.Dir(path))
}

// openFile opens and checks the file. bbolt reads it through a memory mapping and trusts it, so that a
// damaged file shows as a panic or a fault; both become errors here.
func openFile(path string) (db *bolt.DB, err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	var file *os.File
	defer func() {
		if r := recover(); r != nil {
			err = &damagedError{fmt.Errorf("%v", r)}
			switch {
			case db != nil:
				db.Close()
				db = nil
			case file != nil:
				// bbolt leaves its mapping, which would keep the lock.
				_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
				file.Close()
			}
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         time.Nanosecond, // one attempt: whoever holds the lock is a running server
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mmapBytes,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	if err != nil {
		return nil, err
	}
	empty := false
	err = db.View(func(tx *bolt.Tx) error {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return &damagedError{fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())}
		}
		if first, _ := tx.Cursor().First(); first == nil {
			empty = true
			return nil
		}
		if err := check(tx); err != nil {
			return &damagedError{err}
		}
		return nil
	})
	if err == nil && empty {
		err = db.Update(create)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// newerError says that the file has a format that this version does not know.
type newerError struct{ format string }

func (e *newerError) Error() string {
	return fmt.Sprintf("it has format %q, and this version reads formats %q and %q", e.format, formatAlone, formatLogged)
}

// damagedError says that the content of the file is wrong.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }

func explain(path string, err error) error {
	var damaged *damagedError
	var newer *newerError
	switch {
	case errors.As(err, &newer):
		return fmt.Errorf("store file %s is of another version of Sampan (%w): start the version that has written it, or restore a backup of this version into another data directory", path, err)
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("store file %s is in use by another running server: stop that one, or use another data directory", path)
	case errors.As(err, &damaged), errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrChecksum), strings.Contains(err.Error(), "file size too small"):
		return fmt.Errorf("store file %s is damaged (%w): move it away%s, and restore a backup in its place or start with an empty cluster", path, err, withLog(path))
	case errors.Is(err, errUnfinished):
		return fmt.Errorf("store file %s: %w: run the restore again, or move the file away to start with an empty cluster", path, err)
	case errors.Is(err, store.ErrNotEmpty):
		return fmt.Errorf("store file %s holds a cluster already (%w): move it away, or use another data directory", path, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("open store file %s: permission denied: run as its owner%s, or use another data directory", path, ownerOf(path))
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("store file %s is a directory: move it away, or use another data directory", path)
	case isNoSpace(err):
		return fmt.Errorf("open store file %s: %w: make room on the disk (%v)", path, store.ErrNoSpace, err)
	}
	return fmt.Errorf("open store file %s: %w", path, err)
}

// withLog names the log of a store file if there is one.
func withLog(path string) string {
	if _, err := os.Stat(logPath(path)); err != nil {
		return ""
	}
	return " with its log " + filepath.Base(logPath(path))
}

func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(" (user %d)", st.Uid)
	}
	return ""
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
