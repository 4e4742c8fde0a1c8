// Package audit writes down who did what: one JSON line for each stage of a request, in the shape of Kubernetes'
// audit.k8s.io/v1 Event.
//
// A [Log] never holds a request up: lines go through a bounded queue to a goroutine that writes them ([Log.Run]).
// When the queue is full, or the file cannot be written, lines are dropped and counted, and a warning in the server's
// log says how many. A [Policy] says which requests are written down; the bodies of requests and answers never are.
package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const (
	// queueLength is how many lines may wait to be written.
	queueLength = 4096
	// fileMode keeps names and addresses from everybody else.
	fileMode = 0o600
)

// Log writes events to a file. Its methods are safe for concurrent use.
type Log struct {
	policy  Policy
	queue   chan *auditv1.Event
	dropped atomic.Int64
	out     io.WriteCloser
	log     *slog.Logger
}

// Open returns a log that appends to a file, which is made if it is not there.
func Open(file string, policy Policy, log *slog.Logger) (*Log, error) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return New(f, policy, log), nil
}

// New returns a log that writes to out and closes it at the end of [Log.Run].
func New(out io.WriteCloser, policy Policy, log *slog.Logger) *Log {
	return &Log{policy: policy, queue: make(chan *auditv1.Event, queueLength), out: out, log: log}
}

// Policy returns which requests are written down.
func (l *Log) Policy() Policy { return l.policy }

// Record queues an event, which must not be changed afterwards. It never waits.
func (l *Log) Record(e *auditv1.Event) {
	select {
	case l.queue <- e:
	default:
		l.dropped.Add(1)
	}
}

// Dropped returns how many events were not written.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Run writes what is recorded until ctx ends, then what is queued, and returns nil.
func (l *Log) Run(ctx context.Context) error {
	buf := bufio.NewWriterSize(l.out, 64<<10)
	defer l.out.Close()
	reported := int64(0)
	for {
		select {
		case e := <-l.queue:
			l.write(buf, e)
			// What waits goes out with it; the last one flushes.
			for more := true; more; {
				select {
				case e := <-l.queue:
					l.write(buf, e)
				default:
					more = false
				}
			}
			l.flush(buf)
		case <-ctx.Done():
			for {
				select {
				case e := <-l.queue:
					l.write(buf, e)
					continue
				default:
				}
				l.flush(buf)
				return nil
			}
		}
		if n := l.dropped.Load(); n > reported {
			l.log.Warn("requests are missing in the audit log", "dropped", n)
			reported = n
		}
	}
}

func (l *Log) write(buf *bufio.Writer, e *auditv1.Event) {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = buf.Write(append(line, '\n'))
	}
	if err != nil {
		l.dropped.Add(1)
	}
}

func (l *Log) flush(buf *bufio.Writer) {
	if err := buf.Flush(); err != nil {
		l.dropped.Add(1)
		buf.Reset(l.out) // a writer that has failed once takes nothing any more
	}
}
