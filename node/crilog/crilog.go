// Package crilog reads container logs in the format of the Container Runtime Interface: one line per record, with
// time, stream and a tag that says whether the record is a whole line (F) or a part of one (P).
//
// A reader that follows a log waits for inotify events; it never polls. Rotation is followed: when the file is
// moved aside the reader finishes it and goes on with the new one. Malformed lines are skipped.
// Any number of goroutines may read; nothing is written to the log.
package crilog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options is which part of a log is wanted, and how.
type Options struct {
	// Follow goes on with what is written later, until the container has ended.
	Follow     bool
	Timestamps bool
	Since      time.Time // zero: from the beginning
	TailLines  *int64
	LimitBytes *int64
}

// record is one line of a log file.
type record struct {
	at     time.Time
	stdout bool
	full   bool
	text   []byte // without the line end
}

// errMalformed is returned for a line that is not in the format.
var errMalformed = errors.New("malformed log line")

func parse(line []byte) (record, error) {
	stamp, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return record{}, errMalformed
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return record{}, errMalformed
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || string(stream) != "stdout" && string(stream) != "stderr" {
		return record{}, errMalformed
	}
	tags, text, _ := bytes.Cut(rest, []byte{' '})
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	if string(tag) != "F" && string(tag) != "P" {
		return record{}, errMalformed
	}
	return record{at: at, stdout: string(stream) == "stdout", full: string(tag) == "F", text: text}, nil
}

// Read copies a log to stdout and stderr (which may be the same). For a log that is followed, done is closed when
// the container has ended: what is in the log then is the rest.
func Read(ctx context.Context, path string, o Options, stdout, stderr io.Writer, done <-chan struct{}) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("failed to open log file %q: %w", path, err)
	}
	defer func() { _ = f.Close() }() // read only
	if o.TailLines != nil {
		if err := seekTail(f, *o.TailLines); err != nil {
			return fmt.Errorf("read log file %q: %w", path, err)
		}
	}
	out := &writer{stdout: stdout, stderr: stderr, o: o, left: -1}
	if o.LimitBytes != nil {
		out.left = *o.LimitBytes
	}
	var w *watch
	if o.Follow {
		if w, err = newWatch(path); err != nil {
			return err
		}
		defer w.close()
	}
	return follow(ctx, f, path, w, out, done)
}

// follow copies f, and if w is set what comes after it.
func follow(ctx context.Context, f *os.File, path string, w *watch, out *writer, done <-chan struct{}) error {
	r := bufio.NewReaderSize(f, 64<<10)
	current := f
	var next *os.File // has taken the place of current, which may still hold lines that came after it was read
	defer func() {
		for _, file := range []*os.File{current, next} {
			if file != nil && file != f {
				_ = file.Close() // read only
			}
		}
	}()
	var partial []byte // a line whose end is not written yet
	ended := false
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 && line[len(line)-1] != '\n' {
			partial = append(partial, line...)
			line = nil
		}
		if len(line) > 0 {
			if len(partial) > 0 {
				line = append(partial, line...)
				partial = nil
			}
			if more, err := out.write(line); err != nil || !more {
				return err
			}
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read log file %q: %w", path, err)
		}
		if w == nil {
			return nil
		}
		// Everything is read. If the log has been rotated meanwhile, what came before that is read first, then the new file.
		if next != nil {
			if current != f {
				_ = current.Close() // read only
			}
			current, next, partial = next, nil, nil
			r.Reset(current)
			continue
		}
		if next = successor(current, path); next != nil {
			continue
		}
		if ended {
			return nil
		}
		switch w.wait(ctx, done) {
		case woke:
		case over:
			ended = true // read once more: the last lines may have come with the end
		case cancelled:
			return nil
		}
	}
}

// successor opens the file that has taken the place of f, or returns nil.
func successor(f *os.File, path string) *os.File {
	mine, err := f.Stat()
	if err != nil {
		return nil
	}
	now, err := os.Stat(path)
	if err != nil || os.SameFile(mine, now) {
		return nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	return next
}

// writer formats records.
type writer struct {
	stdout, stderr io.Writer
	o              Options
	left           int64 // bytes that may still be written, -1: any number
	inLine         [2]bool
}

// write writes one line of the file; more is false when the limit is reached.
func (w *writer) write(line []byte) (more bool, err error) {
	rec, err := parse(bytes.TrimSuffix(line, []byte{'\n'}))
	if err != nil {
		return true, nil //nolint:nilerr // a malformed line is not the reader's failure
	}
	if rec.at.Before(w.o.Since) {
		return true, nil
	}
	stream, out := 0, w.stdout
	if !rec.stdout {
		stream, out = 1, w.stderr
	}
	text := rec.text
	if w.o.Timestamps && !w.inLine[stream] {
		text = append(rec.at.AppendFormat(nil, "2006-01-02T15:04:05.000000000Z07:00"), ' ')
		text = append(text, rec.text...)
	}
	w.inLine[stream] = !rec.full
	if rec.full {
		text = append(text[:len(text):len(text)], '\n')
	}
	more = true
	if w.left >= 0 {
		if int64(len(text)) >= w.left {
			text, more = text[:w.left], false
		}
		w.left -= int64(len(text))
	}
	if out == nil {
		return more, nil
	}
	if _, err := out.Write(text); err != nil {
		return false, err
	}
	return more, nil
}

// seekTail moves f to the beginning of the last n lines. Parts of a line count as lines, as they do upstream.
func seekTail(f *os.File, n int64) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if n <= 0 {
		return nil
	}
	const block = 64 << 10
	buf := make([]byte, block)
	seen := int64(0)
	for pos := end; pos > 0; {
		size := min(pos, block)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			// The last line's end is no beginning of a further one.
			if buf[i] != '\n' || pos+i == end-1 {
				continue
			}
			if seen++; seen == n {
				_, err := f.Seek(pos+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
