package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sampan/store"
	"sampan/store/backup"
)

// The administrator's socket is how the commands of this program ask the running server for what the Kubernetes
// API does not have. It is in the data directory, and only root and the user of the server are served.

const adminBackup = "/backup"

// adminAddress returns the socket's address through an open descriptor of its folder, since the paths of sockets
// are limited to 107 bytes.
func adminAddress(dir *os.File) string {
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + adminSocketName
}

const adminSocketName = "server.sock"

func adminClient(s Settings) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dir, err := os.Open(s.DataDir)
			if err != nil {
				return nil, err
			}
			defer dir.Close()
			return new(net.Dialer).DialContext(ctx, "unix", adminAddress(dir))
		},
	}}
}

// serveAdmin serves the administrator's socket until ctx ends. The caller holds the lock of the data directory.
func serveAdmin(ctx context.Context, s Settings, st store.Store, log *slog.Logger) error {
	dir, err := os.Open(s.DataDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	path := filepath.Join(s.DataDir, adminSocketName)
	// A server that was killed has left it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: adminAddress(dir)})
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+adminBackup, func(w http.ResponseWriter, r *http.Request) { sendBackup(w, r, s, st) })
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(ownersOnly{l}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// sendBackup writes the backup beside the store first: how fast it is then read makes no difference to the store.
func sendBackup(w http.ResponseWriter, r *http.Request, s Settings, st store.Store) {
	file, err := makeBackup(r.Context(), s, st)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.Copy(w, file) // the reader finds by the checksum that something is missing
}

// makeBackup returns a file without a name.
func makeBackup(ctx context.Context, s Settings, st store.Store) (*os.File, error) {
	file, err := os.CreateTemp(s.DataDir, ".backup-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := backup.Write(ctx, file, st); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ownersOnly accepts connections of root and of the user of this process.
type ownersOnly struct{ *net.UnixListener }

// Accept implements net.Listener.
func (l ownersOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUser(conn); err == nil && (uid == 0 || int(uid) == os.Geteuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

func peerUser(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("user of a connection: %w", err)
	}
	return cred.Uid, nil
}
