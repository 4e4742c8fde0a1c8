// Package audit writes down who did what: one JSON line for each stage of a request, in the shape of Kubernetes'
// audit.k8s.io/v1 Event.
//
// A [Log] never holds a request up: lines go through a bounded queue to a goroutine that writes them ([Log.Run]).
// When the queue is full, or the file cannot be written, lines are dropped and counted, and the server's log says so
// at once, and how many when it is over. A [Policy] says which requests are written down, and how much of them.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"sync/atomic"

	"gopkg.in/natefinch/lumberjack.v2"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"sampan/apiserver/auth"
)

const (
	// queueLength and queueBytes are how many events, and how many bytes of objects in them, may wait to be written.
	queueLength = 4096
	queueBytes  = 64 << 20
	// ObjectsMax is how many bytes the objects of an event may have. What is larger is left out of it, with upstream's
	// annotation that says so.
	ObjectsMax = 10 << 20
	// truncated is that annotation.
	truncated = "audit.k8s.io/truncated"
	// batch is how many bytes of lines are joined before they are written.
	batch = 64 << 10
	// fileMode keeps names and addresses from everybody else.
	fileMode = 0o600
)

// File says where a log is kept. The names are those of upstream's options.
type File struct {
	Path string // "-" is the standard output, which is not rotated
	// MaxSize is the size in megabytes at which a file is set aside and a new one begun; 0 is 100. MaxBackups and
	// MaxAge are how many of those set aside are kept, and for how many days; 0 is no bound.
	MaxSize, MaxBackups, MaxAge int
}

// Log writes events to a file. Its methods are safe for concurrent use.
type Log struct {
	policy Policy
	max    int // bytes of objects in an event
	queue  chan *auditv1.Event
	out    io.WriteCloser
	log    *slog.Logger

	waiting  atomic.Int64 // bytes of the objects in the queue
	late     atomic.Bool  // the queue is full, and the server's log has said so
	recorded atomic.Int64
	dropped  atomic.Int64
	chosen   map[auditv1.Level]*atomic.Int64
}

// Open returns a log that appends to a file, which is made if it is not there.
func Open(file File, policy Policy, log *slog.Logger) (*Log, error) {
	if file.Path == "-" {
		return New(nopCloser{os.Stdout}, policy, log), nil
	}
	// The library opens the file at the first write, which is too late to say what is wrong with it.
	f, err := os.OpenFile(file.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := New(&lumberjack.Logger{Filename: file.Path, MaxSize: file.MaxSize, MaxBackups: file.MaxBackups, MaxAge: file.MaxAge}, policy, log)
	if file.MaxSize > 0 {
		l.max = min(l.max, file.MaxSize<<20-batch) // the library takes no write that is larger than a file
	}
	return l, nil
}

// New returns a log that writes to out and closes it at the end of [Log.Run]. A call of out's Write has whole lines.
func New(out io.WriteCloser, policy Policy, log *slog.Logger) *Log {
	l := &Log{policy: policy, max: ObjectsMax, queue: make(chan *auditv1.Event, queueLength), out: out, log: log, chosen: map[auditv1.Level]*atomic.Int64{}}
	for _, level := range levels() {
		l.chosen[level] = new(atomic.Int64)
	}
	return l
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Choose returns what the policy says of a request.
func (l *Log) Choose(a auth.Attributes) Choice {
	c := l.policy.Choose(a)
	l.chosen[c.Level].Add(1)
	return c
}

// Record queues an event, which must not be changed afterwards. It never waits.
func (l *Log) Record(e *auditv1.Event) {
	l.recorded.Add(1)
	size := sizeOf(e)
	if size > l.max {
		e, size = withoutObjects(e), 0
	}
	if l.waiting.Add(int64(size)) <= queueBytes {
		select {
		case l.queue <- e:
			return
		default:
		}
	}
	l.waiting.Add(-int64(size))
	l.dropped.Add(1)
	if !l.late.Swap(true) {
		l.log.Warn("the audit log is written more slowly than requests come: some are left out of it")
	}
}

// sizeOf returns how many bytes the objects of an event have.
func sizeOf(e *auditv1.Event) int {
	size := 0
	if e.RequestObject != nil {
		size += len(e.RequestObject.Raw)
	}
	if e.ResponseObject != nil {
		size += len(e.ResponseObject.Raw)
	}
	return size
}

func withoutObjects(e *auditv1.Event) *auditv1.Event {
	bare := *e
	bare.RequestObject, bare.ResponseObject = nil, nil
	bare.Annotations = maps.Clone(e.Annotations)
	if bare.Annotations == nil {
		bare.Annotations = map[string]string{}
	}
	bare.Annotations[truncated] = "true"
	return &bare
}

// Counts is what a log has done since it was made.
type Counts struct {
	Events  int64 // recorded, with those that were dropped
	Dropped int64
	Chosen  map[auditv1.Level]int64 // requests, by what the policy says of them
}

// Counts returns what the log has done.
func (l *Log) Counts() Counts {
	c := Counts{Events: l.recorded.Load(), Dropped: l.dropped.Load(), Chosen: make(map[auditv1.Level]int64, len(l.chosen))}
	for level, n := range l.chosen {
		c.Chosen[level] = n.Load()
	}
	return c
}

// Run writes what is recorded until ctx ends, then what is queued, and returns nil.
func (l *Log) Run(ctx context.Context) error {
	w := &writer{log: l}
	defer l.out.Close()
	for {
		select {
		case e := <-l.queue:
			w.add(e)
		case <-ctx.Done():
			for more := true; more; more = len(l.queue) > 0 {
				w.drain()
			}
			return nil
		}
		w.drain()
	}
}

// writer joins lines and writes them. It belongs to one goroutine.
type writer struct {
	log      *Log
	buf      bytes.Buffer
	lines    int64
	torn     bool  // the file ends within a line
	failing  bool  // the last write was not taken
	reported int64 // how many events were known to be dropped
}

// drain writes what was added and what waits.
func (w *writer) drain() {
	for {
		select {
		case e := <-w.log.queue:
			w.add(e)
		default:
			w.flush()
			return
		}
	}
}

func (w *writer) add(e *auditv1.Event) {
	w.log.waiting.Add(-int64(sizeOf(e)))
	line, err := json.Marshal(e)
	if err != nil {
		w.log.dropped.Add(1)
		w.log.log.Error("encode an event of the audit log", "auditID", e.AuditID, "error", err)
		return
	}
	if w.buf.Len() > 0 && w.buf.Len()+len(line) >= batch {
		w.flush()
	}
	if w.torn && w.buf.Len() == 0 {
		w.buf.WriteByte('\n')
	}
	w.buf.Write(line)
	w.buf.WriteByte('\n')
	w.lines++
}

func (w *writer) flush() {
	if w.buf.Len() == 0 {
		return
	}
	n, err := w.log.out.Write(w.buf.Bytes())
	if n > 0 {
		w.torn = w.buf.Bytes()[n-1] != '\n'
	}
	if err != nil {
		written := int64(bytes.Count(bytes.TrimPrefix(w.buf.Bytes()[:n], []byte("\n")), []byte("\n")))
		w.log.dropped.Add(w.lines - written)
		if !w.failing {
			w.log.log.Error("the audit log cannot be written: requests are left out of it", "error", err)
		}
	}
	w.failing = err != nil
	w.lines = 0
	if w.buf.Cap() > 4*batch {
		w.buf = bytes.Buffer{} // a large event must not hold its memory for ever
	}
	w.buf.Reset()
	if dropped := w.log.dropped.Load(); !w.failing && dropped > w.reported {
		w.log.late.Store(false)
		w.log.log.Warn("the audit log is written again; requests are missing in it", "missing", dropped-w.reported)
		w.reported = dropped
	}
}
