package drain_test

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sampan/internal/drain"
)

// The moments between a read, its count and its arrival are met by looking without a pause.
func TestWhatIsOnItsWayIsWaitedFor(t *testing.T) {
	now := make(chan time.Time)
	close(now)
	again := func() <-chan time.Time {
		runtime.Gosched()
		return now
	}
	for range 500 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString("last words"); err != nil {
			t.Fatal(err)
		}
		o := drain.New(r)
		var arrived atomic.Bool
		go func() {
			n, err := o.Read(make([]byte, 100))
			runtime.Gosched()
			if err == nil && n == len("last words") {
				arrived.Store(true)
			}
			o.Passed(n)
		}()
		if !drain.Wait([]*drain.Output{o}, nil, again) || !arrived.Load() {
			t.Fatal("the end is told before the last words have arrived")
		}
		w.Close() // until here another process could have printed
		r.Close()
	}
}

func TestOutputEndsAsItsFileDoes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := drain.New(r)
	w.Close()
	want, wantErr := r.Read(make([]byte, 1))
	if n, err := o.Read(make([]byte, 1)); n != want || err != wantErr {
		t.Errorf("%d, %v at the end, want %d, %v", n, err, want, wantErr)
	}
	if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	want, wantErr = r.Read(make([]byte, 1))
	if n, err := o.Read(make([]byte, 1)); n != want || !os.IsTimeout(err) || !os.IsTimeout(wantErr) {
		t.Errorf("%d, %v after the deadline, want %d, %v", n, err, want, wantErr)
	}
	r.Close()
	if n, err := o.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v when it is closed", n, err)
	}
	if left := drain.Wait([]*drain.Output{o}, nil, func() <-chan time.Time { return time.After(0) }); !left {
		t.Error("something is left in what is closed")
	}
}
