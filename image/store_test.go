package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// newStore returns a store in a new folder, and checks at the end that nothing is left in tmp.
func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "images"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.backoff.Duration = time.Millisecond
	t.Cleanup(func() {
		if left, err := os.ReadDir(s.path("tmp")); err != nil || len(left) > 0 {
			t.Errorf("left in tmp: %v, %v", left, err)
		}
	})
	return s
}

// layer makes a gzipped layer for an image that another tool has built.
func layer(t testing.TB, entries ...entry) v1.Layer {
	t.Helper()
	data := archive(t, entries...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func build(t testing.TB, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{Entrypoint: []string{"/bin/sh"}, Env: []string{"A=1"}, User: "1000:1000"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func base(t testing.TB) v1.Layer { return layer(t, dir("bin"), file("bin/sh", "sh").mode(0o755)) }

func top(t testing.TB, content string) v1.Layer { return layer(t, file("app", content)) }

func dockerArchive(t testing.TB, images map[string]v1.Image) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	refs := make(map[name.Reference]v1.Image)
	for tag, img := range images {
		ref, err := name.ParseReference(tag)
		if err != nil {
			t.Fatal(err)
		}
		refs[ref] = img
	}
	if err := tarball.MultiRefWriteToFile(path, refs); err != nil {
		t.Fatal(err)
	}
	return path
}

func imported(t testing.TB, s *Store, path string, opts ImportOptions) []Info {
	t.Helper()
	infos, err := s.Import(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func opened(t testing.TB, s *Store, ref string) podruntime.Image {
	t.Helper()
	img, err := s.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func tags(t testing.TB, s *Store) []string {
	t.Helper()
	infos, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range infos {
		out = append(out, strings.Join(i.Tags, ","))
	}
	return out
}

func layersOnDisk(t testing.TB, s *Store) int {
	t.Helper()
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestDockerArchiveIsImported(t *testing.T) {
	s := newStore(t)
	img := build(t, runtime.GOARCH, base(t), top(t, "v1"))
	infos := imported(t, s, dockerArchive(t, map[string]v1.Image{"app:v1": img}), ImportOptions{})
	id, _ := img.ConfigName()
	if len(infos) != 1 || infos[0].ID != id.String() || !slices.Equal(infos[0].Tags, []string{"docker.io/library/app:v1"}) {
		t.Fatalf("got %+v, want ID %s", infos, id)
	}
	got := opened(t, s, "app:v1")
	if len(got.Layers) != 2 || got.ID != id.String() {
		t.Fatalf("opened %+v", got)
	}
	// Uppermost first, as overlayfs wants it.
	if data, err := os.ReadFile(filepath.Join(got.Layers[0], "app")); err != nil || string(data) != "v1" {
		t.Errorf("upper layer: %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(got.Layers[1], "bin/sh")); err != nil {
		t.Error(err)
	}
	if c := got.Config; !slices.Equal(c.Entrypoint, []string{"/bin/sh"}) || !slices.Equal(c.Env, []string{"A=1"}) || c.User != "1000:1000" {
		t.Errorf("configuration %+v", c)
	}
}

func TestCompressedArchiveIsImported(t *testing.T) {
	s := newStore(t)
	plain, err := os.ReadFile(dockerArchive(t, map[string]v1.Image{"app:v1": build(t, runtime.GOARCH, base(t))}))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "archive.tar.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	z.Write(plain)
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	imported(t, s, path, ImportOptions{Tag: "other:x"})
	if got := tags(t, s); !slices.Equal(got, []string{"docker.io/library/other:x"}) {
		t.Errorf("tags %v", got)
	}
}

// ociLayout writes a layout with an index of two platforms.
func ociLayout(t testing.TB, ref string) (dir string, mine v1.Image) {
	t.Helper()
	dir = t.TempDir()
	mine = build(t, runtime.GOARCH, base(t), top(t, "mine"))
	other := build(t, "s390x", base(t), top(t, "other"))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: mine, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{imagespec.AnnotationRefName: ref})); err != nil {
		t.Fatal(err)
	}
	return dir, mine
}

func TestLayoutIsImportedForThisPlatform(t *testing.T) {
	dir, mine := ociLayout(t, "example.com/app:v2")
	asTar := filepath.Join(t.TempDir(), "layout.tar")
	f, err := os.Create(asTar)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeTar(t.Context(), f, dir), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, asTar} {
		s := newStore(t)
		imported(t, s, path, ImportOptions{})
		id, _ := mine.ConfigName()
		if got := opened(t, s, "example.com/app:v2"); got.ID != id.String() {
			t.Errorf("%s: got %s, want %s", path, got.ID, id)
		}
	}
}

func TestRootFileSystemIsImported(t *testing.T) {
	s := newStore(t)
	root := t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(root, "bin"), 0o755),
		os.WriteFile(filepath.Join(root, "bin/app"), []byte("app"), 0o755),
		os.Link(filepath.Join(root, "bin/app"), filepath.Join(root, "bin/same")),
		os.Symlink("app", filepath.Join(root, "bin/link")),
		os.WriteFile(filepath.Join(root, "empty"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	var states []ProgressState
	config := imagespec.ImageConfig{Cmd: []string{"/bin/app"}, WorkingDir: "/", ExposedPorts: map[string]struct{}{"80/tcp": {}}}
	infos := imported(t, s, root, ImportOptions{Tag: "app:v1", Config: config, Progress: func(p Progress) { states = append(states, p.State) }})
	got := opened(t, s, infos[0].ID)
	if len(got.Layers) != 1 || !slices.Equal(got.Config.Cmd, config.Cmd) {
		t.Fatalf("got %+v", got)
	}
	if a, b := tree(t, root), tree(t, got.Layers[0]); !slices.Equal(a[1:], b[1:]) {
		t.Errorf("unpacked\n%s\nwant\n%s", strings.Join(b, "\n"), strings.Join(a, "\n"))
	}
	same := func(a, b string) bool {
		x, err1 := os.Stat(filepath.Join(got.Layers[0], a))
		y, err2 := os.Stat(filepath.Join(got.Layers[0], b))
		return err1 == nil && err2 == nil && os.SameFile(x, y)
	}
	if !same("bin/app", "bin/same") {
		t.Error("a hard link became a copy")
	}
	if infos[0].Size != 3 {
		t.Errorf("size %d", infos[0].Size)
	}
	if !slices.Contains(states, Added) {
		t.Errorf("progress %v", states)
	}
	// The same content is the same layer.
	imported(t, s, root, ImportOptions{Tag: "app:v2"})
	if n := layersOnDisk(t, s); n != 1 {
		t.Errorf("%d layers", n)
	}
	if got := tags(t, s); !slices.Equal(got, []string{"docker.io/library/app:v1", "docker.io/library/app:v2"}) {
		t.Errorf("tags %v", got)
	}
}

func TestRootFileSystemTarIsImported(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "rootfs.tar")
	if err := os.WriteFile(path, archive(t, dir("./"), file("./hello", "x")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), path, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "needs a tag") {
		t.Errorf("without a tag: %v", err)
	}
	imported(t, s, path, ImportOptions{Tag: "localhost/r"})
	if _, err := os.Stat(filepath.Join(opened(t, s, "localhost/r").Layers[0], "hello")); err != nil {
		t.Error(err)
	}
}

func TestExportedImageIsTheSame(t *testing.T) {
	s, other := newStore(t), newStore(t)
	root := t.TempDir()
	os.WriteFile(filepath.Join(root, "hello"), []byte("x"), 0o644)
	info := imported(t, s, root, ImportOptions{Tag: "app:v1"})[0]
	path := filepath.Join(t.TempDir(), "out.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Export(t.Context(), "app:v1", f), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got := imported(t, other, path, ImportOptions{})[0]; got.ID != info.ID || !slices.Equal(got.Tags, info.Tags) {
		t.Errorf("got %+v, want %+v", got, info)
	}
}

func TestImageIsFoundByItsNames(t *testing.T) {
	s := newStore(t)
	info := imported(t, s, dockerArchive(t, map[string]v1.Image{"busybox": build(t, runtime.GOARCH, base(t))}), ImportOptions{})[0]
	for _, ref := range []string{
		"busybox", "busybox:latest", "library/busybox", "docker.io/library/busybox", "index.docker.io/library/busybox:latest",
		info.ID, hexOf(info.ID), hexOf(info.ID)[:12],
	} {
		if got, err := s.Resolve(ref); err != nil || got.ID != info.ID {
			t.Errorf("%s: %s, %v", ref, got.ID, err)
		}
	}
	for _, ref := range []string{"busybox:1", "example.com/busybox", "sha256:" + strings.Repeat("0", 64), hexOf(info.ID)[:8], "busybox@" + info.ID} {
		if _, err := s.Open(t.Context(), ref); !errors.Is(err, podruntime.ErrImageNotPresent) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := s.Open(t.Context(), "Not A Name"); err == nil || !strings.Contains(err.Error(), `invalid image name "Not A Name"`) {
		t.Errorf("got %v", err)
	}
}

func TestSharedLayersStayUntilTheLastImageGoes(t *testing.T) {
	s := newStore(t)
	imported(t, s, dockerArchive(t, map[string]v1.Image{
		"app:v1": build(t, runtime.GOARCH, base(t), top(t, "v1")),
		"app:v2": build(t, runtime.GOARCH, base(t), top(t, "v2")),
	}), ImportOptions{})
	if n := layersOnDisk(t, s); n != 3 {
		t.Fatalf("%d layers on disk, want one that is shared and two that are not", n)
	}
	for i, ref := range []string{"app:v1", "app:v2"} {
		if err := s.Remove(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		if n, want := layersOnDisk(t, s), []int{2, 0}[i]; n != want {
			t.Errorf("%d layers after removing %s, want %d", n, ref, want)
		}
	}
	if err := s.Remove(t.Context(), "app:v1", nil); !errors.Is(err, podruntime.ErrImageNotPresent) {
		t.Errorf("second removal: %v", err)
	}
}

func TestImageInUseIsNotRemoved(t *testing.T) {
	s := newStore(t)
	info := imported(t, s, dockerArchive(t, map[string]v1.Image{"app:v1": build(t, runtime.GOARCH, base(t))}), ImportOptions{})[0]
	if err := s.Tag(t.Context(), "app:v1", "app:stable"); err != nil {
		t.Fatal(err)
	}
	used := func(id string) bool { return id == info.ID }
	if err := s.Remove(t.Context(), "app:v1", used); err != nil {
		t.Errorf("removing one of two tags: %v", err)
	}
	if err := s.Remove(t.Context(), "app:stable", used); !errors.Is(err, ErrInUse) {
		t.Errorf("removing the last tag: %v", err)
	}
	if err := s.Remove(t.Context(), info.ID, used); !errors.Is(err, ErrInUse) {
		t.Errorf("removing the image: %v", err)
	}
	if removed, err := s.Prune(t.Context(), true, used); err != nil || len(removed) > 0 {
		t.Errorf("prune: %v, %v", removed, err)
	}
	opened(t, s, "app:stable")
	if removed, err := s.Prune(t.Context(), true, nil); err != nil || len(removed) != 1 || layersOnDisk(t, s) != 0 {
		t.Errorf("prune: %v, %v", removed, err)
	}
}

func TestMovedTagLeavesAnImageForPrune(t *testing.T) {
	s := newStore(t)
	imported(t, s, dockerArchive(t, map[string]v1.Image{"app": build(t, runtime.GOARCH, top(t, "old"))}), ImportOptions{})
	imported(t, s, dockerArchive(t, map[string]v1.Image{"app": build(t, runtime.GOARCH, top(t, "new"))}), ImportOptions{})
	if got := tags(t, s); len(got) != 2 {
		t.Fatalf("images %v", got)
	}
	if removed, err := s.Prune(t.Context(), false, nil); err != nil || len(removed) != 1 {
		t.Errorf("prune: %v, %v", removed, err)
	}
	if data, _ := os.ReadFile(filepath.Join(opened(t, s, "app").Layers[0], "app")); string(data) != "new" {
		t.Errorf("got %s", data)
	}
}

func TestAnotherProcessSeesAnImageAtOnce(t *testing.T) {
	server := newStore(t)
	importer, err := Open(server.root, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), "app"); !errors.Is(err, podruntime.ErrImageNotPresent) {
		t.Fatal(err)
	}
	imported(t, importer, dockerArchive(t, map[string]v1.Image{"app": build(t, runtime.GOARCH, base(t))}), ImportOptions{})
	opened(t, server, "app")
}

func TestBadArchiveLeavesNothing(t *testing.T) {
	good := build(t, runtime.GOARCH, base(t), top(t, "v1"))
	plain, err := os.ReadFile(dockerArchive(t, map[string]v1.Image{"app": good}))
	if err != nil {
		t.Fatal(err)
	}
	// edit rewrites the archive.
	edit := func(change func(h *tar.Header, data []byte) []byte) []byte {
		var out bytes.Buffer
		r, w := tar.NewReader(bytes.NewReader(plain)), tar.NewWriter(&out)
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			data, _ := io.ReadAll(r)
			if data = change(h, data); data == nil {
				continue
			}
			h.Size = int64(len(data))
			w.WriteHeader(h)
			w.Write(data)
		}
		w.Close()
		return out.Bytes()
	}
	isLayer := func(h *tar.Header) bool { return strings.HasSuffix(h.Name, ".tar.gz") }
	var evil bytes.Buffer
	z := gzip.NewWriter(&evil)
	z.Write(archive(t, file("other", "content")))
	z.Close()
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"another layer than promised", edit(func(h *tar.Header, d []byte) []byte {
			if isLayer(h) {
				return evil.Bytes()
			}
			return d
		}), "is corrupt"},
		{"a layer that ends too early", edit(func(h *tar.Header, d []byte) []byte {
			if isLayer(h) {
				return d[:len(d)/2]
			}
			return d
		}), "unexpected EOF"},
		{"a layer that is missing", edit(func(h *tar.Header, d []byte) []byte {
			if isLayer(h) {
				return nil
			}
			return d
		}), "file does not exist"},
		{"a manifest that is no JSON", edit(func(h *tar.Header, d []byte) []byte {
			if h.Name == "manifest.json" {
				return []byte("{")
			}
			return d
		}), "read manifest.json"},
		{"an archive that ends too early", plain[:len(plain)*2/3], "EOF"},
		{"a digest that names a path", edit(func(h *tar.Header, d []byte) []byte {
			if !isLayer(h) && h.Name != "manifest.json" {
				var config map[string]any
				json.Unmarshal(d, &config)
				config["rootfs"].(map[string]any)["diff_ids"] = []string{"sha256:../../../../etc"}
				d, _ = json.Marshal(config)
			}
			return d
		}), "invalid digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			path := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Import(t.Context(), path, ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := tags(t, s); len(got) > 0 || layersOnDisk(t, s) > 0 {
				t.Errorf("images %v, %d layers", got, layersOnDisk(t, s))
			}
		})
	}
}

func TestOtherPlatformIsRefused(t *testing.T) {
	s := newStore(t)
	path := dockerArchive(t, map[string]v1.Image{"app": build(t, "s390x", base(t))})
	_, err := s.Import(t.Context(), path, ImportOptions{})
	want := "image docker.io/library/app:latest is for linux/s390x, this machine is linux/" + runtime.GOARCH
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// What a crash leaves is in tmp, or a layer that no image has yet. Neither is seen, and a sweep removes both.
func TestSweepRemovesWhatACrashLeft(t *testing.T) {
	s := newStore(t)
	imported(t, s, dockerArchive(t, map[string]v1.Image{"app": build(t, runtime.GOARCH, base(t))}), ImportOptions{})
	if err := errors.Join(
		os.MkdirAll(s.path("tmp", "image-1", strings.Repeat("a", 64), "fs"), 0o700),
		os.MkdirAll(s.path("layers", strings.Repeat("b", 64), "fs"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, s); len(got) != 1 {
		t.Errorf("images %v", got)
	}
	// While somebody adds an image, nothing may go: the layer could be theirs.
	lock, err := s.lock(unix.LOCK_SH, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil || layersOnDisk(t, s) != 2 {
		t.Errorf("sweep beside an import: %v, %d layers", err, layersOnDisk(t, s))
	}
	lock.Close()
	if err := s.Sweep(t.Context()); err != nil || layersOnDisk(t, s) != 1 {
		t.Errorf("sweep: %v, %d layers", err, layersOnDisk(t, s))
	}
	opened(t, s, "app")
}

func TestManyAddAndRemoveAtOnce(t *testing.T) {
	s := newStore(t)
	shared := base(t)
	var group sync.WaitGroup
	for i := range 4 {
		path := dockerArchive(t, map[string]v1.Image{fmt.Sprintf("app:%d", i): build(t, runtime.GOARCH, shared, top(t, fmt.Sprint(i)))})
		group.Go(func() {
			for range 5 {
				if _, err := s.Import(t.Context(), path, ImportOptions{}); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Open(t.Context(), fmt.Sprintf("app:%d", i)); err != nil {
					t.Error(err)
				}
				if err := s.Remove(t.Context(), fmt.Sprintf("app:%d", i), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if n := layersOnDisk(t, s); n != 0 {
		t.Errorf("%d layers are left", n)
	}
}
