// Package drain tells when all that a process printed before its end has been passed on, to a log or a client, however
// slowly those take it. Another process may hold the output open for longer, and print: it is not waited for.
//
// Whoever passes an [Output] on reads it through [Output.Read] and says with [Output.Passed] what has arrived; [Wait] looks
// at the counts and at the kernel's buffer. Everything is safe for concurrent use.
package drain

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Interval is how often to look whether only others can still print.
const Interval = 500 * time.Millisecond

// leftMax is more than a process leaves in one output when it ends: what a pipe holds at most.
const leftMax = 1 << 20

// Output is the end of a pipe or terminal at which is read what a process prints.
type Output struct {
	File *os.File
	raw  syscall.RawConn

	mu           sync.Mutex // guards what follows, and that nothing is on the way from the kernel to it
	read, passed int64      // bytes, and how many of them are where they should go
}

// New returns the output at a file, which must not block (O_NONBLOCK).
func New(f *os.File) *Output {
	raw, _ := f.SyscallConn() // of a file that was closed too: its methods fail then
	return &Output{File: f, raw: raw}
}

// Read reads what there is, and waits until there is something, as [os.File.Read] does.
func (o *Output) Read(p []byte) (n int, err error) {
	waitErr := o.raw.Read(func(fd uintptr) bool {
		// Between the two nobody may find the buffer empty and the count without it.
		o.mu.Lock()
		defer o.mu.Unlock()
		for n, err = unix.Read(int(fd), p); err == unix.EINTR; n, err = unix.Read(int(fd), p) {
		}
		if err == unix.EAGAIN {
			return false
		}
		o.read += int64(max(n, 0))
		return true
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, &os.PathError{Op: "read", Path: o.File.Name(), Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Passed says that n bytes more of what was read are where they should go.
func (o *Output) Passed(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.passed += int64(n)
}

// left reports whether something was printed that is not passed on yet, and how much is.
func (o *Output) left() (left bool, passed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.read != o.passed {
		return true, o.passed
	}
	ready := 0
	err := o.raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // something to read, or the end
	})
	return err == nil && ready > 0, o.passed // an error: it is closed, so all of it was read
}

// Wait returns true when all that was printed to the outputs before the call has been passed on, though others can still
// print, and false when over is closed before. again tells when to look: a timer, in a test its channel.
func Wait(outputs []*Output, over <-chan struct{}, again func() <-chan time.Time) bool {
	begin := make([]int64, len(outputs))
	for i, o := range outputs {
		_, begin[i] = o.left()
	}
	for left := true; left; {
		select {
		case <-over:
			return false
		case <-again():
		}
		left = false
		for i, o := range outputs {
			some, passed := o.left()
			left = left || some && passed-begin[i] <= leftMax
		}
	}
	return true
}
