package crilog_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan/node/crilog"
)

func at(second int) string {
	return time.Date(2026, 1, 1, 0, 0, second, 5, time.UTC).Format("2006-01-02T15:04:05.000000000Z07:00")
}

func logFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func num(n int64) *int64 { return &n }

func TestReadSelects(t *testing.T) {
	lines := []string{
		at(0) + " stdout F one\n", at(1) + " stderr F two\n", "garbage\n", at(2) + " stdout P thr\n", at(2) + " stdout F ee\n", at(3) + " stdout F \n",
	}
	for name, c := range map[string]struct {
		o    crilog.Options
		want string
	}{
		"all":        {crilog.Options{}, "one\ntwo\nthree\n\n"},
		"since":      {crilog.Options{Since: time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)}, "three\n\n"},
		"tail":       {crilog.Options{TailLines: num(1)}, "\n"},
		"tail 0":     {crilog.Options{TailLines: num(0)}, ""},
		"tail many":  {crilog.Options{TailLines: num(100)}, "one\ntwo\nthree\n\n"},
		"limit":      {crilog.Options{LimitBytes: num(6)}, "one\ntw"},
		"timestamps": {crilog.Options{Timestamps: true, TailLines: num(3)}, at(2) + " three\n" + at(3) + " \n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := crilog.Read(t.Context(), logFile(t, lines...), c.o, &out, &out, nil); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("%q, want %q", out.String(), c.want)
			}
		})
	}
	var out bytes.Buffer
	if err := crilog.Read(t.Context(), logFile(t, lines...), crilog.Options{}, nil, &out, nil); err != nil || out.String() != "two\n" {
		t.Errorf("stderr alone: %q, %v", out.String(), err)
	}
}

func TestMissingLogIsAnError(t *testing.T) {
	if err := crilog.Read(t.Context(), t.TempDir()+"/no", crilog.Options{}, io.Discard, io.Discard, nil); err == nil {
		t.Error("no error")
	}
}

// A follower sees every line once, across half-written lines and a rotation, and ends with the container.
func TestFollowAcrossRotation(t *testing.T) {
	path := logFile(t, at(0)+" stdout F 0\n")
	done := make(chan struct{})
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		read <- crilog.Read(context.Background(), path, crilog.Options{Follow: true}, w, w, done)
		_ = w.Close()
	}()
	next := func(want string) {
		t.Helper()
		buf := make([]byte, len(want))
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
			t.Fatalf("%q, %v, want %q", buf, err, want)
		}
	}
	appendTo := func(s string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, s); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	next("0\n")
	appendTo(at(1) + " stdout F ha")
	appendTo("lf\n")
	next("half\n")
	// Many times: the last line and the rotation must meet the reader at every point.
	for i := range 1000 {
		appendTo(at(2) + fmt.Sprintf(" stdout F old %d\n", i))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		appendTo(at(3) + fmt.Sprintf(" stdout F new %d\n", i))
		next(fmt.Sprintf("old %d\n", i))
		next(fmt.Sprintf("new %d\n", i))
	}
	go func() {
		appendTo(at(4) + " stdout F last\n")
		close(done)
	}()
	rest, err := io.ReadAll(r)
	if err != nil || string(rest) != "last\n" {
		t.Errorf("%q, %v", rest, err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func TestFollowEndsWithItsReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := logFile(t)
	read := make(chan error, 1)
	go func() {
		read <- crilog.Read(ctx, path, crilog.Options{Follow: true}, io.Discard, io.Discard, make(chan struct{}))
	}()
	cancel()
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(at(0) + " stdout F x\n"))
	f.Add([]byte("\n\n  \n" + at(0) + " stdout P"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range []crilog.Options{{}, {TailLines: num(2)}, {LimitBytes: num(3), Timestamps: true}} {
			if err := crilog.Read(t.Context(), path, o, io.Discard, io.Discard, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}
