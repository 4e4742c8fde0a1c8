// Package image keeps container images on disk, unpacked and ready to be mounted, without a daemon: content
// and metadata are plain files, so `sampan image import` in one process and a running server share a store,
// and each sees at once what the other adds.
//
// The folder of a store:
//
//	lock                    flock: shared by those who add, exclusive by those who collect garbage
//	images/HEX.json         an image: its configuration, byte for byte; HEX is its SHA-256, the image's ID
//	refs/NAME               a reference and the ID it points to; NAME is the reference, escaped
//	layers/HEX/fs           a layer, unpacked as overlayfs wants a lowerdir; HEX is the SHA-256 of its tar
//	layers/HEX/layer.json   its size
//	tmp/                    what is being added, or was when a process died
//
// What is outside tmp is complete: layers are unpacked in tmp, made durable together, and moved with a rename
// before the image that needs them appears, and the image before its references. Images and layers never
// change; a reference is replaced as a whole. So readers need no lock, and a crash at any moment leaves at
// most garbage, which Sweep removes.
//
// Layers are shared by all images that have them. A layer's files stay while an image refers to it, and an
// image stays until it is removed; removal asks the caller's InUse first, which is how containers hold their
// image, also across a restart of the server.
//
// Adding needs root, for owners, devices and overlayfs marks. Without root, owners are not kept and images with
// devices or whiteouts are refused.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"sampan/podruntime"
)

// Store is a folder with images. All methods are safe for concurrent use, also by several processes.
type Store struct {
	root         string
	log          *slog.Logger
	privileged   bool   // this process is root
	goos, goarch string // of images that can run here
	backoff      remote.Backoff
	pulls        singleflight.Group
}

var _ podruntime.Images = (*Store)(nil)

// Info describes an image.
type Info struct {
	ID      string   // "sha256:…", the digest of the configuration
	Tags    []string // "docker.io/library/busybox:latest", sorted
	Digests []string // "docker.io/library/busybox@sha256:…", sorted
	Size    int64    // bytes of its layers, unpacked
	Created time.Time
	Layers  []string // "sha256:…" of the layers' tars, lowest first
	Image   imagespec.Image
}

// Errors that callers tell apart.
var (
	// ErrNotFound says that a registry does not have an image.
	ErrNotFound = errors.New("image not found")
	// ErrInUse says that an image cannot be removed because InUse holds it.
	ErrInUse = errors.New("image is in use")
)

// Open opens the store in the folder root and makes the folder if it is not there.
func Open(root string, log *slog.Logger) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	s := &Store{
		root: root, log: log, privileged: os.Geteuid() == 0, goos: "linux", goarch: runtime.GOARCH,
		// For what is over in a moment; the node agent has a back-off of its own for the rest.
		backoff: remote.Backoff{Duration: 300 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3},
	}
	// Layers hold setuid programs that nobody on this machine asked for: only root gets near.
	for _, dir := range []string{root, s.path("images"), s.path("refs"), s.path("layers"), s.path("tmp")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// Open implements podruntime.Images: it returns an unpacked image by its reference or ID. It neither pulls nor
// locks: whoever uses the files keeps the image from removal through InUse (see Remove).
func (s *Store) Open(ctx context.Context, ref string) (podruntime.Image, error) {
	info, err := s.Resolve(ref)
	if err != nil {
		return podruntime.Image{}, err
	}
	img := podruntime.Image{ID: info.ID, Config: info.Image.Config}
	for _, diffID := range slices.Backward(info.Layers) {
		dir := s.layerFS(diffID)
		if _, err := os.Stat(dir); err != nil {
			return podruntime.Image{}, fmt.Errorf("image %s: layer %s is missing from the image store, pull or import the image again: %w",
				ref, diffID, podruntime.ErrImageNotPresent)
		}
		// A layer that occurs twice adds nothing below itself, and overlayfs refuses it.
		if !slices.Contains(img.Layers, dir) {
			img.Layers = append(img.Layers, dir)
		}
	}
	return img, nil
}

// Resolve finds an image that is present by a reference ("busybox", "busybox@sha256:…"), by its ID, or by at
// least 12 digits that its ID begins with. The error satisfies errors.Is(err, podruntime.ErrImageNotPresent) if there is none.
func (s *Store) Resolve(ref string) (Info, error) {
	id, err := s.resolveID(ref)
	if err != nil {
		return Info{}, err
	}
	refs, err := s.readRefs()
	if err != nil {
		return Info{}, err
	}
	info, err := s.info(id, refs)
	if errors.Is(err, os.ErrNotExist) {
		return Info{}, fmt.Errorf("%w: %s", podruntime.ErrImageNotPresent, ref)
	}
	return info, err
}

// List returns all images, ordered by their first tag and then by ID.
func (s *Store) List() ([]Info, error) {
	ids, err := s.imageIDs()
	if err != nil {
		return nil, err
	}
	refs, err := s.readRefs()
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, id := range ids {
		info, err := s.info(id, refs)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, compareInfo)
	return infos, nil
}
