package linux

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"sampan/internal/drain"
)

// outputs are what a process prints, on the way to a client. The zero value is ready.
type outputs struct {
	all     []*drain.Output
	copying sync.WaitGroup
}

// copy passes on what comes until nobody can print any more or the client is gone.
func (o *outputs) copy(to io.Writer, from *os.File) {
	one := drain.New(from)
	o.all = append(o.all, one)
	o.copying.Go(func() {
		for buf := make([]byte, 32<<10); ; {
			n, err := one.Read(buf)
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			one.Passed(n)
			if err != nil {
				return
			}
		}
	})
}

// drain returns when the client has all that the process printed before its end, however slowly it takes it, or when
// ctx ends. The output may be held open by a process that this one left running: that is not waited for.
func (o *outputs) drain(ctx context.Context) {
	o.drainWhen(ctx, func() <-chan time.Time { return time.After(drain.Interval) })
}

// drainWhen is drain; again tells when to look whether only others can still print.
func (o *outputs) drainWhen(ctx context.Context, again func() <-chan time.Time) {
	over, passed := context.WithCancel(ctx)
	go func() {
		defer passed()
		o.copying.Wait()
	}()
	if !drain.Wait(o.all, over.Done(), again) {
		return
	}
	for _, one := range o.all {
		_ = one.File.SetReadDeadline(time.Unix(1, 0)) // ends the copying
	}
	<-over.Done()
}
