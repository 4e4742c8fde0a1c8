package embedded_test

import (
	"path/filepath"
	"testing"

	"sampan/store"
	"sampan/store/embedded"
	"sampan/store/storetest"
)

// open returns a store on a new file.
func open(t testing.TB, opts embedded.Options) *embedded.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "state", "store.db"), opts)
}

func openAt(t testing.TB, path string, opts embedded.Options) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, embedded.Options{History: -1}) })
}

// With no room in memory, every event is read from the disk.
func TestStoreReadingEventsFromDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, embedded.Options{History: -1, RecentEvents: 1})
	})
}

func TestStoreWithoutLog(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, embedded.Options{History: -1, LogBytes: -1})
	})
}

// With room for two pages, most commits take the log into the file.
func TestStoreWithSmallLog(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, embedded.Options{History: -1, LogBytes: 8192, RecentEvents: 1})
	})
}
