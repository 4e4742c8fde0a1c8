package image

import (
	"archive/tar"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// The kernel has the last word on whether layers are what overlayfs wants.
func TestLayersMountAsOverlay(t *testing.T) {
	needRoot(t)
	s := newStore(t)
	img := build(t, runtime.GOARCH,
		layer(t, dir("keep"), file("keep/a", "1"), file("gone", "x"), dir("hidden"), file("hidden/old", "x"), dir("opaque"), file("opaque/old", "x")),
		layer(t, file("keep/b", "2"), file(".wh.gone", ""), file(".wh.hidden", ""), dir("hidden"), file("hidden/new", "3"), dir("opaque"), file("opaque/.wh..wh..opq", "")),
		layer(t, file("keep/a", "4"), file("opaque/new", "5"), entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "keep/a"}, ""}))
	imported(t, s, dockerArchive(t, map[string]v1.Image{"app": img}), ImportOptions{})
	layers := opened(t, s, "app").Layers
	merged := t.TempDir()
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(layers, ":")); err != nil {
		t.Skipf("no overlayfs here: %v", err)
	}
	got := tree(t, merged)
	if err := unix.Unmount(merged, 0); err != nil {
		t.Error(err)
	}
	for i, line := range got {
		got[i] = strings.Replace(strings.TrimSuffix(line, " opaque=y"), "Lrwxrwxrwx", "l", 1)
	}
	want := []string{
		". drwxr-xr-x", "hidden drwxr-xr-x", "hidden/new -rw-r--r-- 3", "keep drwxr-xr-x", "keep/a -rw-r--r-- 4",
		"keep/b -rw-r--r-- 2", "link l -> keep/a", "opaque drwxr-xr-x", "opaque/new -rw-r--r-- 5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := os.Stat(filepath.Join(merged, "keep")); err == nil {
		t.Error("still mounted")
	}
}
