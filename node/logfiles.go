package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/node/crilog"
	"sampan/node/podconfig"
)

const (
	logBytesMax = 10 << 20 // of one file, before it is rotated
	logFilesMax = 5        // of one instance, the one being written included
	// rotatePause is how long a log may grow unseen after it was looked at.
	rotatePause = 10 * time.Second

	terminationBytesMax     = 4096
	terminationTailBytesMax = 2048
	terminationTailLinesMax = 80
)

// terminationMessage reads what a container left as its last words.
func terminationMessage(st *runtimeapi.ContainerStatus) string {
	path := st.Annotations[podconfig.AnnotationTerminationPath]
	if path != "" {
		if f, err := os.Open(path); err == nil {
			data, _ := io.ReadAll(io.LimitReader(f, terminationBytesMax)) // what can be read is better than nothing
			_ = f.Close()
			if len(data) > 0 {
				return strings.ToValidUTF8(string(data), "\uFFFD")
			}
		}
	}
	if st.Annotations[podconfig.AnnotationTerminationPolicy] == string(corev1.TerminationMessageFallbackToLogsOnError) && st.ExitCode != 0 {
		return logTail(st.LogPath)
	}
	// A runtime that could not start the container says why.
	if st.ExitCode != 0 {
		return st.Message
	}
	return ""
}

func logTail(path string) string {
	if path == "" {
		return ""
	}
	var b bytes.Buffer
	tail := int64(terminationTailLinesMax)
	if err := crilog.Read(context.Background(), path, crilog.Options{TailLines: &tail}, &b, &b, nil); err != nil {
		return ""
	}
	data := b.Bytes()
	if len(data) > terminationTailBytesMax {
		data = data[len(data)-terminationTailBytesMax:]
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}

// removeLogs removes all logs of a pod that is being deleted.
func (w *worker) removeLogs() {
	dir := podconfig.LogDir(w.a.cfg.PodLogs, w.current().Pod())
	if err := os.RemoveAll(dir); err != nil {
		w.a.cfg.Log.Warn("logs of a deleted pod not removed", "pod", w.key.String(), "error", err)
	}
}

// removeLog removes the log of one instance, rotated files included.
func (w *worker) removeLog(pod *corev1.Pod, container string, attempt uint32) {
	path := filepath.Join(podconfig.LogDir(w.a.cfg.PodLogs, pod), podconfig.LogPath(container, attempt))
	for i := range logFilesMax {
		if err := os.Remove(rotated(path, i)); err != nil {
			return
		}
	}
}

// removeOrphanLogs removes the logs of pods that are gone.
func (a *Agent) removeOrphanLogs() {
	entries, err := os.ReadDir(a.cfg.PodLogs)
	if err != nil {
		a.cfg.Log.Warn("logs of deleted pods not removed", "error", err)
		return
	}
	for _, e := range entries {
		_, rest, _ := strings.Cut(e.Name(), "_")
		_, uid, ok := strings.Cut(rest, "_")
		if !ok || a.worker(types.UID(uid)) != nil {
			continue
		}
		if err := os.RemoveAll(filepath.Join(a.cfg.PodLogs, e.Name())); err != nil {
			a.cfg.Log.Warn("logs of a deleted pod not removed", "directory", e.Name(), "error", err)
		}
	}
}

// rotated names the nth older file of a log; 0 is the one being written.
func rotated(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// logWatch hears of logs that grow. A watch is good for one event, so a chatty container costs one wake-up per
// rotatePause and a quiet one none. Nothing is read before there is a log.
type logWatch struct {
	inotify *os.File
	fd      int
	first   chan struct{} // closed when the first log is watched
	reading bool          // first is closed
}

// runningLog is one log that is being written.
type runningLog struct {
	container string // ID
	path      string
}

// openLogs opens the watch of logs. Without it (inotify instances are bounded per user) logs are not rotated.
func (a *Agent) openLogs() {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		a.cfg.Log.Warn("logs will not be rotated", "error", err)
		return
	}
	a.logs = &logWatch{inotify: os.NewFile(uintptr(fd), "inotify"), fd: fd, first: make(chan struct{})}
}

// watchLog arms the watch of a log.
func (a *Agent) watchLog(l runningLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logs == nil {
		return
	}
	wd, err := unix.InotifyAddWatch(a.logs.fd, l.path, unix.IN_MODIFY|unix.IN_ONESHOT)
	if err != nil {
		if !errors.Is(err, unix.ENOENT) {
			a.cfg.Log.Warn("log is not watched and will not be rotated", "path", l.path, "error", err)
		}
		return
	}
	a.watched[int32(wd)] = l
	if !a.logs.reading {
		a.logs.reading = true
		close(a.logs.first)
	}
}

// rotateLogs rotates logs that have become too long, until ctx ends.
func (a *Agent) rotateLogs(ctx context.Context) error {
	logs := a.logs
	if logs == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	shut := func() {
		a.mu.Lock()
		a.logs = nil
		a.mu.Unlock()
		_ = logs.inotify.Close() // ends the read below
	}
	select {
	case <-ctx.Done():
		shut()
		return ctx.Err()
	case <-logs.first:
	}
	f := logs.inotify
	stop := context.AfterFunc(ctx, shut)
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("node agent: watch logs: %w", err)
		}
		grown := a.grown(buf[:n])
		if len(grown) == 0 {
			continue
		}
		a.effects.Go(func() {
			sleep(ctx, rotatePause)
			for _, l := range grown {
				if ctx.Err() != nil {
					return
				}
				if err := a.rotateLog(ctx, l); err != nil && ctx.Err() == nil {
					a.cfg.Log.Warn("log not rotated", "path", l.path, "error", err)
				}
				a.watchLog(l)
			}
		})
	}
}

// grown takes the logs that inotify's events name out of the watched ones.
func (a *Agent) grown(events []byte) []runningLog {
	var out []runningLog
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(le32(events[0:]))
		mask, length := le32(events[4:]), le32(events[12:])
		events = events[min(len(events), unix.SizeofInotifyEvent+int(length)):]
		l, ok := a.watched[wd]
		if !ok {
			continue
		}
		delete(a.watched, wd)
		if mask&unix.IN_MODIFY != 0 {
			out = append(out, l)
		}
	}
	return out
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// rotateLog moves a log that is too long aside and asks the runtime to begin a new one.
func (a *Agent) rotateLog(ctx context.Context, l runningLog) error {
	st, err := os.Stat(l.path)
	if err != nil || st.Size() < logBytesMax {
		return nil //nolint:nilerr // a log that is gone needs no rotation
	}
	for i := logFilesMax - 1; i > 0; i-- {
		if err := os.Rename(rotated(l.path, i-1), rotated(l.path, i)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	_, err = a.cfg.Runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: l.container})
	if err != nil {
		// The runtime still writes to the old file: it must stay the one that readers look at.
		_ = os.Rename(rotated(l.path, 1), l.path)
	}
	return err
}
