package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Export writes an image as an archive that docker load, sampan image import and others read.
//
// Layers are packed anew from their directories. What ImportRootFS made from a directory gets the same bytes
// and keeps its ID; other images have the same content under another ID.
func (s *Store) Export(ctx context.Context, ref string, w io.Writer) error {
	info, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	if err := s.export(ctx, info, w); err != nil {
		return fmt.Errorf("export image %s: %w", ref, err)
	}
	return nil
}

func (s *Store) export(ctx context.Context, info Info, w io.Writer) error {
	out := tar.NewWriter(w)
	config := info.Image
	config.RootFS.DiffIDs = nil
	var layers []string
	for _, diffID := range info.Layers {
		packed, name, err := s.packLayer(ctx, diffID)
		if err != nil {
			return err
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.Digest("sha256:"+name))
		layers = append(layers, name+".tar")
		err = copyEntry(out, name+".tar", packed)
		packed.Close()
		if err != nil {
			return err
		}
	}
	data, err := json.Marshal(config)
	if slices.Equal(config.RootFS.DiffIDs, info.Image.RootFS.DiffIDs) {
		data, err = os.ReadFile(s.imagePath(info.ID)) // the same image, byte for byte
	}
	if err != nil {
		return err
	}
	configName := hexOf(digestOf(data)) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": info.Tags, "Layers": layers}})
	if err != nil {
		return err
	}
	if err := writeEntry(out, configName, data); err != nil {
		return err
	}
	if err := writeEntry(out, "manifest.json", manifest); err != nil {
		return err
	}
	return out.Close()
}

func writeEntry(out *tar.Writer, name string, data []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := out.Write(data)
	return err
}

// packLayer packs a layer into an unnamed file, because a tar wants to know a size before the content.
func (s *Store) packLayer(ctx context.Context, diffID string) (f *os.File, hex string, err error) {
	if f, err = s.unnamedFile(); err == nil {
		sum := sha256.New()
		if err = writeTar(ctx, io.MultiWriter(f, sum), s.layerFS(diffID)); err == nil {
			return f, fmt.Sprintf("%x", sum.Sum(nil)), nil
		}
		f.Close()
	}
	return nil, "", err
}

// unnamedFile returns a file in tmp that goes away when it is closed. The lock keeps a sweep from it while it
// has a name.
func (s *Store) unnamedFile() (*os.File, error) {
	lock, err := s.lock(unix.LOCK_SH, true)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	f, err := os.CreateTemp(s.path("tmp"), "unnamed-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func copyEntry(out *tar.Writer, name string, f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}
