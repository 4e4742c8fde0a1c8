package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"sampan/internal/drain"
)

// parsed is a log read back: the text of a stream, and the longest piece.
func parsed(t interface{ Fatalf(string, ...any) }, path, stream string) (text string, longest int) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 || len(f[0]) != len("2026-01-01T00:00:00.000000000Z") {
			t.Fatalf("line %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, f[0]); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if f[1] != stream {
			continue
		}
		b.WriteString(f[3])
		longest = max(longest, len(f[3]))
		if f[2] == "F" {
			b.WriteByte('\n')
		}
	}
	return b.String(), longest
}

// However the output is cut into reads, the log holds it exactly, in pieces of at most 16 KiB.
func TestLogHoldsWhatWasPrinted(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, "log")
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		l, problem := openLog(path)
		if problem != "" {
			t.Fatal(problem)
		}
		w := lineWriter{log: l, stream: "stdout"}
		var want strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "reads") {
			piece := rapid.StringMatching(`[ab \n]{0,20}`).Draw(t, "piece")
			if rapid.IntRange(0, 3).Draw(t, "long") == 0 {
				piece += strings.Repeat("x", rapid.IntRange(lineBytesMax-30, lineBytesMax).Draw(t, "length"))
				piece = piece[:min(len(piece), lineBytesMax)]
			}
			want.WriteString(piece)
			w.write([]byte(piece))
		}
		w.end()
		l.close()
		text, longest := parsed(t, path, "stdout")
		expected := want.String()
		if !strings.HasSuffix(expected, "\n") && expected != "" && text != expected {
			expected += "\n" // an unfinished last line is logged as a line
		}
		if text != expected {
			t.Fatalf("log holds %d bytes, printed were %d", len(text), len(expected))
		}
		if longest > lineBytesMax {
			t.Fatalf("a piece of %d bytes", longest)
		}
	})
}

// ending is a container that has printed something and ended, while another process can still print to its output.
type ending struct {
	*container
	printer *os.File
	look    chan time.Time // makes its end look again what is left
	told    chan struct{}  // closed when its end is told
}

func newEnding(t *testing.T, l *logFile, printed string) *ending {
	t.Helper()
	r, w, problem := pipe()
	if problem != "" {
		t.Fatal(problem)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	if _, err := w.WriteString(printed); err != nil {
		t.Fatal(err)
	}
	return &ending{&container{log: l, outputs: []*drain.Output{drain.New(r)}, drained: make(chan struct{})}, w, make(chan time.Time), make(chan struct{})}
}

// printed reports whether something is there to be read.
func (e *ending) printed() bool {
	raw, err := e.outputs[0].File.SyscallConn()
	n := 0
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) })
	}
	return err == nil && n > 0
}

func (e *ending) end() {
	go func() {
		defer close(e.told)
		e.awaitLog(func() <-chan time.Time { return e.look })
	}()
}

// looks makes it look again and reports whether it does not tell its end then.
func (e *ending) looks() (waits bool) {
	for range 2 { // it takes the second when it is done with the first
		select {
		case e.look <- time.Time{}:
		case <-e.told:
			return false
		}
	}
	return true
}

// The disk is a pipe that is full until the test reads it.
func TestEndIsToldWhenAllThatWasPrintedIsLoggedHoweverSlowTheDiskIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	capacity, err := unix.FcntlInt(disk.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Write(make([]byte, capacity)); err != nil {
		t.Fatal(err)
	}
	l, problem := openLog(path)
	if problem != "" {
		t.Fatal(problem)
	}
	defer l.close()
	defer disk.Close() // ends a write for which the log would wait
	e := newEnding(t, l, "last words\n")
	e.end()
	if !e.looks() {
		t.Fatal("its end was told before its output was read")
	}
	go e.copyOutput()
	for e.printed() {
		runtime.Gosched()
	}
	if !e.looks() {
		t.Fatal("its end was told before its output was logged")
	}
	text := make([]byte, capacity+len("2026-01-01T00:00:00.000000000Z stdout F last words\n"))
	if _, err := io.ReadFull(disk, text); err != nil || !strings.HasSuffix(string(text), "stdout F last words\n") {
		t.Errorf("%q, %v", text[capacity:], err)
	}
	for e.looks() { // until what is on the disk is counted too
	}
}

func TestEndOfAContainerIsToldWhileAnotherPrintsToItsOutput(t *testing.T) {
	e := newEnding(t, nil, "what another prints")
	e.end()
	if !e.looks() {
		t.Fatal("its end was told before its output was read")
	}
	// Something is always left, but more was passed on than a pipe holds.
	for passed, buf := 0, make([]byte, 1<<10); passed < 2<<20; {
		if _, err := e.printer.Write(buf); err != nil {
			t.Fatal(err)
		}
		n, err := e.outputs[0].Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		e.outputs[0].Passed(n)
		passed += n
	}
	for e.looks() {
	}
}

func TestOOMKillIsReadFromEitherCgroupVersion(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 0\n":               false,
		"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n":               true,
		"low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n": true,
		"low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n":                   false,
		"": false,
	} {
		path := filepath.Join(dir, "events")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := oomKilled(path); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if oomKilled(filepath.Join(dir, "nothing")) || oomKilled("") {
		t.Error("a file that is not there tells of an OOM kill")
	}
}
