// Package drain tells when all that a process printed before its end has been passed on, to a log or a client, however
// slowly those take it. Another process may hold the output open for longer, and print: it is not waited for.
//
// Whoever reads an [Output] counts what it has read and what it has passed on; [Wait] looks at the counts and at the
// kernel's buffer. Everything is safe for concurrent use.
package drain

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Interval is how often to look whether only others can still print.
const Interval = 500 * time.Millisecond

// leftMax is more than a process leaves in one output when it ends: what a pipe holds at most.
const leftMax = 1 << 20

// Output is the end of a pipe or terminal at which is read what a process prints.
type Output struct {
	File   *os.File
	Read   atomic.Int64 // bytes
	Passed atomic.Int64 // of them, on to whom they are for
}

// left reports whether something was printed that is not passed on yet.
func (o *Output) left() bool {
	if o.Read.Load() != o.Passed.Load() {
		return true
	}
	raw, err := o.File.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // something to read, or the end
	})
	return err == nil && ready > 0 // an error: it is closed, so all of it was read
}

// Wait returns true when all that was printed to the outputs before the call has been passed on, though others can still
// print, and false when over is closed before. again tells when to look: a timer, in a test its channel.
func Wait(outputs []*Output, over <-chan struct{}, again func() <-chan time.Time) bool {
	begin := make([]int64, len(outputs))
	for i, o := range outputs {
		begin[i] = o.Passed.Load()
	}
	for left := true; left; {
		select {
		case <-over:
			return false
		case <-again():
		}
		left = false
		for i, o := range outputs {
			left = left || o.Passed.Load()-begin[i] <= leftMax && o.left()
		}
	}
	return true
}
