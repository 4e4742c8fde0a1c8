package helper

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestHelperIsWrittenOnceUnderItsHash(t *testing.T) {
	dir := t.TempDir()
	files := fstest.MapFS{"embedded/tool": {Data: []byte("#!/bin/true\n")}}
	first, err := WriteOut(files, "tool", dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first.Path)
	if err != nil || before.Mode().Perm() != 0o700 || filepath.Dir(first.Path) != filepath.Join(dir, first.Hash) {
		t.Fatalf("%v, %v, %+v", before, err, first)
	}
	again, err := WriteOut(files, "tool", dir)
	if err != nil || again != first {
		t.Fatalf("%+v, %v", again, err)
	}
	after, err := os.Stat(first.Path)
	if err != nil || !os.SameFile(before, after) {
		t.Fatalf("the file was written again: %v", err)
	}
	files["embedded/tool"] = &fstest.MapFile{Data: []byte("#!/bin/false\n")}
	other, err := WriteOut(files, "tool", dir)
	if err != nil || other.Hash == first.Hash {
		t.Fatalf("%+v, %v", other, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", ".*")); err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestMissingHelperSaysWhatToDo(t *testing.T) {
	_, err := WriteOut(fstest.MapFS{}, "tool", t.TempDir())
	if want := "this program was built without tool: run make"; err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
}
