package linux

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// outputs are what a process prints, on the way to a client. The zero value is ready.
type outputs struct {
	all     []*output
	copying sync.WaitGroup
}

type output struct {
	from   *os.File
	read   atomic.Int64 // bytes
	passed atomic.Int64 // of them
}

// copy passes on what comes until nobody can print any more or the client is gone.
func (o *outputs) copy(to io.Writer, from *os.File) {
	one := &output{from: from}
	o.all = append(o.all, one)
	o.copying.Go(func() {
		for buf := make([]byte, 32<<10); ; {
			n, err := from.Read(buf)
			one.read.Add(int64(n))
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			one.passed.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
}

// left reports whether something was printed that the client does not have yet.
func (o *output) left() bool {
	if o.read.Load() != o.passed.Load() {
		return true
	}
	raw, err := o.from.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // something to read, or the end
	})
	return err == nil && ready > 0
}

const (
	// drainInterval is how often drain looks whether only others can still print.
	drainInterval = 500 * time.Millisecond
	// leftMax is more than a process leaves in one output when it ends: what a pipe holds at most.
	leftMax = 1 << 20
)

// drain returns when the client has all that the process printed before its end, however slowly it takes it, or when
// ctx ends. The output may be held open by a process that this one left running: that is not waited for.
func (o *outputs) drain(ctx context.Context) {
	o.drainWhen(ctx, func() <-chan time.Time { return time.After(drainInterval) })
}

// drainWhen is drain; again tells when to look whether only others can still print.
func (o *outputs) drainWhen(ctx context.Context, again func() <-chan time.Time) {
	done := make(chan struct{})
	go func() {
		o.copying.Wait()
		close(done)
	}()
	begin := make([]int64, len(o.all))
	for i, one := range o.all {
		begin[i] = one.passed.Load()
	}
	for left := true; left; {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-again():
		}
		left = false
		for i, one := range o.all {
			left = left || one.passed.Load()-begin[i] <= leftMax && one.left()
		}
	}
	for _, one := range o.all {
		_ = one.from.SetReadDeadline(time.Unix(1, 0)) // ends the copying
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
