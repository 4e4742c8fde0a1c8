package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Progress reports how far a layer is. Calls come one at a time.
type Progress struct {
	Layer string // "sha256:…", or the path of a root file system
	State ProgressState
	Done  int64 // bytes read, as they are transported
	Total int64 // 0 if unknown
}

// ProgressState is what happens to a layer.
type ProgressState string

const (
	Waiting ProgressState = "waiting"
	Adding  ProgressState = "adding" // downloaded and unpacked at once
	Added   ProgressState = "added"
	Present ProgressState = "present" // it was there already
)

// source is an image on its way into the store.
type source struct {
	name   string // for errors
	config []byte // as it is stored
	image  imagespec.Image
	layers []layerSource // lowest first, one for each of the configuration's diff IDs
	refs   []string      // normalised references that shall point to it
}

// layerSource opens the tar of a layer; it may be compressed.
type layerSource struct {
	label string // for Progress
	size  int64  // of what open returns; 0 if unknown
	open  func(ctx context.Context) (io.ReadCloser, error)
}

// layersAtOnce is how many layers are downloaded and unpacked in parallel.
const layersAtOnce = 3

// add brings an image in: it unpacks the layers that are missing, then shows the image and its references.
// The caller holds no lock.
func (s *Store) add(ctx context.Context, src source, progress func(Progress)) (Info, error) {
	if err := s.checkPlatform(src); err != nil {
		return Info{}, err
	}
	if n := len(src.image.RootFS.DiffIDs); n != len(src.layers) {
		return Info{}, fmt.Errorf("image %s: its configuration has %d layers, its manifest %d", src.name, n, len(src.layers))
	}
	return s.adding(ctx, func(tmp string) (Info, error) {
		info, err := s.unpackLayers(ctx, tmp, src, serialized(progress))
		if err != nil {
			return Info{}, fmt.Errorf("add image %s: %w", src.name, err)
		}
		return info, nil
	})
}

// adding runs f under the shared lock with a folder in tmp, and cleans up.
func (s *Store) adding(ctx context.Context, f func(tmp string) (Info, error)) (Info, error) {
	lock, err := s.lock(unix.LOCK_SH, true)
	if err != nil {
		return Info{}, err
	}
	info, err := func() (Info, error) {
		tmp, err := os.MkdirTemp(s.path("tmp"), "image-*")
		if err != nil {
			return Info{}, fmt.Errorf("add image: %w", err)
		}
		defer os.RemoveAll(tmp)
		return f(tmp)
	}()
	if err = errors.Join(err, lock.Close()); err != nil {
		info = Info{}
	}
	// Those who wanted to collect garbage meanwhile left it to us. What fails there is not the image's fault.
	if sweepErr := s.Sweep(context.WithoutCancel(ctx)); sweepErr != nil {
		s.log.Warn("Collecting garbage in the image store failed", "error", sweepErr)
	}
	return info, err
}

func (s *Store) unpackLayers(ctx context.Context, tmp string, src source, progress func(Progress)) (Info, error) {
	missing := make(map[string]layerSource)
	for i, d := range src.image.RootFS.DiffIDs {
		layer := src.layers[i]
		if s.hasLayer(string(d)) {
			progress(Progress{Layer: layer.label, State: Present, Done: layer.size, Total: layer.size})
			continue
		}
		progress(Progress{Layer: layer.label, State: Waiting, Total: layer.size})
		missing[string(d)] = layer
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	for diffID, layer := range missing {
		group.Go(func() error { return s.unpackLayer(groupCtx, tmp, diffID, layer, progress) })
	}
	if err := group.Wait(); err != nil {
		return Info{}, err
	}
	if err := s.publish(tmp, src); err != nil {
		return Info{}, err
	}
	return s.Resolve(digestOf(src.config))
}

func (s *Store) checkPlatform(src source) error {
	if src.image.OS != s.goos || src.image.Architecture != s.goarch {
		return fmt.Errorf("image %s is for %s/%s, this machine is %s/%s",
			src.name, src.image.OS, src.image.Architecture, s.goos, s.goarch)
	}
	return nil
}

// unpackLayer unpacks a layer to tmp and checks its digest.
func (s *Store) unpackLayer(ctx context.Context, tmp, diffID string, layer layerSource, progress func(Progress)) error {
	stream, err := layer.open(ctx)
	if err != nil {
		return fmt.Errorf("open layer %s: %w", layer.label, err)
	}
	defer stream.Close()
	counted := &progressReader{
		Reader: stream,
		report: func(done int64) {
			progress(Progress{Layer: layer.label, State: Adding, Done: done, Total: layer.size})
		},
	}
	got, err := s.unpackStream(ctx, counted, filepath.Join(tmp, hexOf(diffID)))
	if err != nil {
		return fmt.Errorf("layer %s: %w", layer.label, err)
	}
	if got != diffID {
		return fmt.Errorf("layer %s is corrupt: its content has digest %s, the image wants %s", layer.label, got, diffID)
	}
	progress(Progress{Layer: layer.label, State: Added, Done: counted.done, Total: counted.done})
	return nil
}

// unpackStream unpacks a tar, which may be compressed, to dir/fs, writes dir/layer.json, and returns the digest
// of the uncompressed tar. It reads the stream to its end, so that a digest over it is checked too.
func (s *Store) unpackStream(ctx context.Context, stream io.Reader, dir string) (diffID string, err error) {
	fs := filepath.Join(dir, "fs")
	if err := os.MkdirAll(fs, 0o755); err != nil {
		return "", err
	}
	// Without a umask: the root of a layer must be open to the users in the container.
	if err := os.Chmod(fs, 0o755); err != nil {
		return "", err
	}
	plain, err := decompress(stream)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	digest := sha256.New()
	layer, err := unpack(ctx, hashed(plain, digest), fs, s.privileged)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return "", err
	}
	data, err := json.Marshal(layer)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "layer.json"), data, 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", digest.Sum(nil)), nil
}

// publish makes the layers in tmp durable and shows them, then the image, then its references.
func (s *Store) publish(tmp string, src source) error {
	layers, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	if len(layers) > 0 {
		// One flush for all: a sync of each of ten thousand files would take minutes.
		if err := syncFilesystem(tmp); err != nil {
			return fmt.Errorf("make the layers durable: %w", err)
		}
	}
	for _, e := range layers {
		err := os.Rename(filepath.Join(tmp, e.Name()), s.path("layers", e.Name()))
		// Somebody else may have added the layer meanwhile; theirs is as good.
		if err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	if err := syncDir(s.path("layers")); err != nil {
		return err
	}
	id := digestOf(src.config)
	if err := s.replaceFile(s.imagePath(id), src.config); err != nil {
		return err
	}
	for _, ref := range src.refs {
		if err := s.setRef(ref, id); err != nil {
			return err
		}
	}
	return nil
}

func syncFilesystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// Tag points another reference to an image that is present.
func (s *Store) Tag(ctx context.Context, ref, newRef string) error {
	name, err := Normalize(newRef)
	if err != nil {
		return err
	}
	if isDigested(name) {
		return fmt.Errorf("tag %q: a digest cannot be given to an image", newRef)
	}
	lock, err := s.lock(unix.LOCK_SH, true)
	if err != nil {
		return err
	}
	defer lock.Close()
	info, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	return s.setRef(name, info.ID)
}

// serialized makes calls from several layers come one at a time; nil becomes a function that does nothing.
func serialized(progress func(Progress)) func(Progress) {
	if progress == nil {
		return func(Progress) {}
	}
	var mu sync.Mutex // orders the calls
	return func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		progress(p)
	}
}

// progressReader reports the bytes read, about every half megabyte.
type progressReader struct {
	io.Reader
	report         func(done int64)
	done, reported int64
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.done += int64(n)
	if r.done-r.reported >= 512<<10 {
		r.reported = r.done
		r.report(r.done)
	}
	return n, err
}

func hashed(r io.Reader, h hash.Hash) io.Reader { return io.TeeReader(r, h) }
