package image

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const childStore, childSource = "SAMPAN_TEST_IMAGE_STORE", "SAMPAN_TEST_IMAGE_SOURCE"

// TestMain is also the child of TestKilledImportLeavesWholeImages, which imports until it is killed.
func TestMain(m *testing.M) {
	if root := os.Getenv(childStore); root != "" {
		if err := importForever(root, os.Getenv(childSource)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func importForever(root, source string) error {
	s, err := Open(root, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		// Each time another layer, so that there is always something to unpack.
		if err := os.WriteFile(filepath.Join(source, "changing"), fmt.Append(nil, os.Getpid(), i), 0o644); err != nil {
			return err
		}
		if _, err := s.Import(context.Background(), source, ImportOptions{Tag: fmt.Sprintf("app:%d", i%3)}); err != nil {
			return err
		}
		fmt.Println("imported")
	}
}

func TestKilledImportLeavesWholeImages(t *testing.T) {
	s, source := newStore(t), t.TempDir()
	const files = 200
	for i := range files {
		if err := os.WriteFile(filepath.Join(source, fmt.Sprint("f", i)), []byte(strings.Repeat("x", 2000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for kill := range 5 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childStore+"="+s.root, childSource+"="+source)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n <= kill && lines.Scan(); n++ {
		}
		child.Process.Signal(unix.SIGKILL) // somewhere in the next import
		child.Wait()
		infos, err := s.List()
		if err != nil || len(infos) == 0 {
			t.Fatalf("after kill %d: %d images, %v", kill, len(infos), err)
		}
		for _, info := range infos {
			entries, err := os.ReadDir(opened(t, s, info.ID).Layers[0])
			if err != nil || len(entries) != files+1 {
				t.Errorf("after kill %d: image %s has %d files, %v", kill, info.ID, len(entries), err)
			}
		}
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	infos, err := s.List()
	if n := layersOnDisk(t, s); err != nil || n != len(infos) {
		t.Errorf("%d layers for %d images, %v", n, len(infos), err)
	}
}
