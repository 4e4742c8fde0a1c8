package main

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lineBytesMax is the longest piece of a line in a log; longer lines are cut into partial ones (tag P).
const lineBytesMax = 16 << 10

// attachPatience is how long a slow client may hold up a container's output before it is let go.
const attachPatience = 5 * time.Second

// logFile is a container's log in CRI's format: time, stream, F or P, text.
type logFile struct {
	path string

	mu      sync.Mutex // guards what follows
	file    *os.File   // nil: no log is kept
	clients [2][]*os.File
}

func openLog(path string) (*logFile, string) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen goes on in a new file if the old one was moved away.
func (l *logFile) reopen() string {
	if l.path == "" {
		return ""
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return "open log: " + err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	return ""
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	for i := range l.clients {
		for _, f := range l.clients[i] {
			f.Close()
		}
		l.clients[i] = nil
	}
}

func (l *logFile) append(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		// A full disk loses lines, as it must; the container goes on.
		_, _ = l.file.Write(b)
	}
}

func (l *logFile) attach(i int, f *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[i] = append(l.clients[i], f)
}

func (l *logFile) detach(i int, f *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for j, have := range l.clients[i] {
		if have == f {
			l.clients[i] = append(l.clients[i][:j], l.clients[i][j+1:]...)
			f.Close()
			return
		}
	}
}

// tee copies output to the clients that are attached.
func (l *logFile) tee(i int, b []byte) {
	l.mu.Lock()
	clients := l.clients[i]
	l.mu.Unlock()
	for _, f := range clients {
		_ = f.SetWriteDeadline(time.Now().Add(attachPatience))
		if _, err := f.Write(b); err != nil {
			l.detach(i, f)
		}
	}
}

// lineWriter cuts output into lines and stamps them.
type lineWriter struct {
	log    *logFile
	stream string
	rest   []byte // the beginning of a line whose end has not come
	out    []byte
}

func (w *lineWriter) write(b []byte) {
	stamp := time.Now().UTC()
	w.out = w.out[:0]
	for len(b) > 0 {
		end := -1
		for i, c := range b {
			if c == '\n' {
				end = i
				break
			}
		}
		piece, complete := b, end >= 0
		if complete {
			piece = b[:end]
		}
		if room := lineBytesMax - len(w.rest); len(piece) > room {
			piece, complete = b[:room], false
		}
		switch {
		case complete:
			w.emit(stamp, 'F', piece)
			b = b[len(piece)+1:]
		case len(w.rest)+len(piece) == lineBytesMax:
			w.emit(stamp, 'P', piece)
			b = b[len(piece):]
		default:
			w.rest = append(w.rest, piece...)
			b = b[len(piece):]
		}
	}
	if len(w.out) > 0 {
		w.log.append(w.out)
	}
}

// emit adds what is left over from before, and the piece, as one line.
func (w *lineWriter) emit(stamp time.Time, tag byte, piece []byte) {
	w.out = appendStamp(w.out, stamp)
	w.out = append(w.out, ' ')
	w.out = append(w.out, w.stream...)
	w.out = append(w.out, ' ', tag, ' ')
	w.out = append(w.out, w.rest...)
	w.out = append(w.out, piece...)
	w.out = append(w.out, '\n')
	w.rest = w.rest[:0]
}

// end logs a last line that has no line feed.
func (w *lineWriter) end() {
	if len(w.rest) > 0 {
		w.out = w.out[:0]
		w.emit(time.Now().UTC(), 'F', nil)
		w.log.append(w.out)
	}
}

// appendStamp is RFC 3339 with nine digits always, so that lines of one log sort as text.
func appendStamp(b []byte, t time.Time) []byte {
	return t.AppendFormat(b, "2006-01-02T15:04:05.000000000Z07:00")
}

func (c *conn) sendExit(ws unix.WaitStatus) {
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	c.send("exit", strconv.Itoa(code))
}
