package linux

import (
	"context"
	"os"
	"testing"
	"time"
)

// client is somebody who takes output only when the test lets it.
type client struct {
	takes chan struct{}
	got   int
}

func (c *client) Write(p []byte) (int, error) {
	<-c.takes
	c.got += len(p)
	return len(p), nil
}

// printed returns the outputs of a process that has printed something and ended, while another holds them open.
func printed(t *testing.T, to *client, text []byte) (o *outputs, hold *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	o = new(outputs)
	o.copy(to, r)
	return o, w
}

// drained begins to drain; look makes that look again, and reports whether it goes on.
func drained(ctx context.Context, o *outputs) (look func() bool, done chan struct{}) {
	again, done := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(done)
		o.drainWhen(ctx, func() <-chan time.Time { return again })
	}()
	return func() bool {
		for range 2 { // it takes the second when it is done with the first
			select {
			case again <- time.Time{}:
			case <-done:
				return false
			}
		}
		return true
	}, done
}

func TestClientThatIsSlowGetsAllThatAProcessPrinted(t *testing.T) {
	c := &client{takes: make(chan struct{})}
	text := make([]byte, 60_000) // more than is read at once, less than a pipe holds
	o, _ := printed(t, c, text)
	look, done := drained(t.Context(), o)
	for range 5 {
		if !look() {
			t.Fatal("the output is cut off while its client is busy")
		}
	}
	close(c.takes)
	for look() { // until the client has everything; the other process is not waited for
	}
	<-done
	if c.got != len(text) {
		t.Errorf("the client got %d bytes of %d", c.got, len(text))
	}
}

func TestClientThatGoesAwayEndsTheWaitForItsOutput(t *testing.T) {
	c := &client{takes: make(chan struct{})}
	defer close(c.takes)
	o, _ := printed(t, c, []byte("words"))
	ctx, cancel := context.WithCancel(t.Context())
	look, done := drained(ctx, o)
	if !look() {
		t.Fatal("the output is cut off while its client is busy")
	}
	cancel()
	<-done
}

func TestProcessThatGoesOnPrintingIsNotWaitedFor(t *testing.T) {
	c := &client{takes: make(chan struct{})}
	close(c.takes)
	o, hold := printed(t, c, []byte("words"))
	go func() {
		for text := make([]byte, 4096); ; {
			if _, err := hold.Write(text); err != nil {
				return // the test has ended
			}
		}
	}()
	look, done := drained(t.Context(), o)
	for look() {
	}
	<-done
}
