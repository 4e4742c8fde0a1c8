package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"sampan/store/internal/recent"
)

// logPath returns the name of the log of a store file.
func logPath(path string) string { return path + ".wal" }

// recover reads the state of the store from its file and its log, and makes a log if it has none.
func (s *Store) recover() error {
	var id logID
	named := false
	err := s.db.View(func(tx *bolt.Tx) error {
		b := bucketsOf(tx)
		s.committer = committer{
			stored:    b.number(metaRevision),
			compacted: b.number(metaCompacted),
			swept:     b.number(metaSwept),
			count:     b.number(metaCount),
		}
		if string(b.meta.Get([]byte(metaFormat))) == formatLogged {
			id, named = decodeLogID(b.meta.Get([]byte(metaLog)))
		}
		return nil
	})
	if err != nil {
		return explain(s.path, err)
	}
	stored := s.committer.stored
	s.committer.revision = stored
	s.log = recent.New(stored, recent.Limits{Events: s.opts.RecentEvents, Bytes: s.opts.RecentBytes})
	s.log.Hold(stored)
	path := logPath(s.path)
	if named {
		wal, events, err := reopenLog(path, id, stored)
		if err != nil {
			return explainLog(s.path, err)
		}
		s.wal = wal
		if len(events) > 0 {
			s.committer.revision = events[len(events)-1].Revision
			s.log.Append(s.committer.revision, events)
		}
	} else if data, err := readLog(path); err != nil {
		return explainLog(s.path, err)
	} else if err := checkUnused(data); err != nil {
		return explainLog(s.path, err)
	}
	s.unsaved = unsavedOf(s.log)
	if s.wal.size == 0 && s.opts.LogBytes >= logPage {
		if err := s.startLog(); err != nil && !isNoSpace(err) {
			return fmt.Errorf("begin the log of the store: %w", err)
		}
	}
	return nil
}

// startLog makes a log, and has the file name it. There is nothing in an older one.
func (s *Store) startLog() error {
	s.wal.close()
	wal, err := createLog(logPath(s.path), s.opts.LogBytes/logPage*logPage)
	if err != nil {
		return err
	}
	err = s.guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			meta := bucketsOf(tx).meta
			return errors.Join(
				meta.Put([]byte(metaFormat), []byte(formatLogged)),
				meta.Put([]byte(metaLog), wal.id[:]),
			)
		})
	})
	if err != nil {
		wal.close()
		return err
	}
	s.wal = wal
	return nil
}

// settle leaves the store as one file, without a log. If there is no room for that, or the disk has failed, the log
// stays, and the next opening takes it up.
func (s *Store) settle() error {
	if s.wal.file == nil {
		return nil
	}
	defer s.wal.close()
	if s.committer.failed != nil {
		return nil
	}
	if s.committer.revision > s.committer.stored {
		if err := s.checkpoint(nil, 0); err != nil {
			return unlessNoSpace(err)
		}
	}
	// The log is emptied before the file ceases to name it: whatever is in a log that no file names is kept.
	if err := errors.Join(s.wal.file.Truncate(0), s.wal.file.Sync()); err != nil {
		return unlessNoSpace(fmt.Errorf("empty the log of the store: %w", err))
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		meta := bucketsOf(tx).meta
		return errors.Join(meta.Put([]byte(metaFormat), []byte(formatAlone)), meta.Delete([]byte(metaLog)))
	})
	if err != nil {
		return unlessNoSpace(fmt.Errorf("close the log of %s: %w", s.path, err))
	}
	if err := os.Remove(s.wal.path); err != nil {
		return fmt.Errorf("remove the log of the store: %w", err)
	}
	return nil
}

func unlessNoSpace(err error) error {
	if isNoSpace(err) {
		return nil
	}
	return err
}

// explainLog says what to do about the log of a store file.
func explainLog(path string, err error) error {
	log, file := logPath(path), filepath.Base(path)
	var damaged *damagedError
	switch {
	case errors.As(err, &damaged):
		return fmt.Errorf("store log %s is damaged (%w): move it and %s away, and restore a backup in their place or start with an empty cluster", log, err, file)
	case errors.Is(err, errForeignLog):
		return fmt.Errorf("store log %s is in the way (%w): put it beside the file that it belongs to, or move it away", log, err)
	case errors.Is(err, errNoLog):
		return fmt.Errorf("store log %s: %w: put it back beside %s, or restore a backup in the place of that file", log, err, file)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("open store log %s: permission denied: run as its owner%s, or use another data directory", log, ownerOf(log))
	}
	return fmt.Errorf("open store log %s: %w", log, err)
}
