package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sampan/store/backup"
)

// Backup writes everything that the cluster keeps in its store to a file, as it is at one revision, while the
// cluster goes on. The running server of the data directory does it; if there is none, the store is read
// directly. The file appears, or takes the place of an older one, only when it is whole. It holds Secrets, so
// only its owner may read it. A data directory that is not a server's is an error, and stays as it is.
func Backup(ctx context.Context, s Settings, file string) (backup.Summary, error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return backup.Summary{}, fmt.Errorf("create the backup: %w", err)
	}
	sum, err := backupTo(ctx, s, tmp)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return backup.Summary{}, errors.Join(err, os.Remove(tmp.Name()))
	}
	return sum, nil
}

func backupTo(ctx context.Context, s Settings, to *os.File) (backup.Summary, error) {
	running := false
	if err := CheckDataDir(s.DataDir); err != nil {
		return backup.Summary{}, err
	}
	if _, err := os.Stat(s.DataDir); err == nil {
		lock, err := takeLock(s)
		var other *runningError
		switch {
		case errors.As(err, &other):
			running = true
		case err != nil:
			return backup.Summary{}, err
		default:
			defer lock.release()
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return backup.Summary{}, fmt.Errorf("data directory: %w", err)
	}
	if running {
		if err := backupFromServer(ctx, s, to); err != nil {
			return backup.Summary{}, err
		}
		// What came through is compared with its checksum.
		if _, err := to.Seek(0, io.SeekStart); err != nil {
			return backup.Summary{}, err
		}
		return backup.Check(to)
	}
	if _, err := os.Stat(s.storeFile()); s.Etcd == nil && errors.Is(err, fs.ErrNotExist) {
		return backup.Summary{}, fmt.Errorf("there is no cluster in %s; name its directory with --data-dir, or its etcd with --store", s.DataDir)
	}
	st, err := openStore(ctx, s, nil)
	if err != nil {
		return backup.Summary{}, err
	}
	sum, err := backup.Write(ctx, to, st)
	if err = errors.Join(err, st.Close()); err == nil && sum.Keys == 0 {
		return backup.Summary{}, errors.New("the store is empty: name the cluster's with --data-dir or --store")
	}
	return sum, err
}

func backupFromServer(ctx context.Context, s Settings, to io.Writer) error {
	client := adminClient(s)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+adminBackup, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the server is still starting, or is of a version without backups: try again, or stop it first")
	case err != nil:
		return fmt.Errorf("ask the running server for a backup: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("the running server made no backup: %s", message)
	}
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("read the backup from the running server: %w", err)
	}
	return nil
}

// Restore fills the empty store that the settings name from a backup. No server may be running on it. A directory
// that is not a server's data directory is an error, and stays as it is.
func Restore(ctx context.Context, s Settings, file string) (backup.Summary, error) {
	f, err := os.Open(file)
	if err != nil {
		return backup.Summary{}, fmt.Errorf("open the backup: %w", err)
	}
	defer f.Close()
	// All of it first: a damaged file shall not leave half a cluster.
	if _, err := backup.Check(f); err != nil {
		return backup.Summary{}, fmt.Errorf("backup %s: %w", file, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return backup.Summary{}, fmt.Errorf("read the backup: %w", err)
	}
	if s.Etcd == nil {
		if err := CheckDataDir(s.DataDir); err != nil {
			return backup.Summary{}, err
		}
		if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
			return backup.Summary{}, fmt.Errorf("data directory: %w", err)
		}
		lock, err := takeLock(s)
		if err != nil {
			return backup.Summary{}, err
		}
		defer lock.release()
	}
	sum, err := backup.Restore(ctx, f, time.Now(), func(ctx context.Context, revision int64) (backup.Target, error) {
		return restoreStore(ctx, s, revision)
	})
	if err != nil {
		return backup.Summary{}, fmt.Errorf("from %s: %w", file, err)
	}
	return sum, nil
}
