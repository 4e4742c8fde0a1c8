package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImportOptions say how to read what is imported.
type ImportOptions struct {
	// Tag is the reference of the image. A root file system needs one; it replaces the names in an archive with one image.
	Tag string
	// Config is the configuration of a root file system. Archives bring their own.
	Config   imagespec.ImageConfig
	Progress func(Progress) // or nil
}

// Import imports what is at a path: an archive of docker save or an OCI layout (as a tar, which may be
// compressed, or as a folder), else a root file system (a folder or a tar). It returns the images.
func (s *Store) Import(ctx context.Context, path string, opts ImportOptions) ([]Info, error) {
	set, err := s.openSet(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	defer set.Close()
	var sources []source
	switch {
	case has(set, "manifest.json"): // first: docker save writes an OCI layout too, but puts the names here
		sources, err = s.dockerSources(set)
	case has(set, imagespec.ImageLayoutFile):
		sources, err = s.layoutSources(set)
	default:
		info, err := s.ImportRootFS(ctx, path, opts.Tag, opts.Config, opts.Progress)
		if err != nil {
			return nil, err
		}
		return []Info{info}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	if opts.Tag != "" {
		name, err := tagName(opts.Tag)
		if err != nil {
			return nil, err
		}
		if len(sources) != 1 {
			return nil, fmt.Errorf("import %s: it has %d images, which cannot all be %s: import it without a tag", path, len(sources), name)
		}
		sources[0].refs = []string{name}
	}
	var infos []Info
	for _, src := range sources {
		info, err := s.add(ctx, src, opts.Progress)
		if err != nil {
			return infos, fmt.Errorf("import %s: %w", path, err)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (s *Store) openSet(ctx context.Context, path string) (fileSet, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if stat.IsDir() {
		return openDir(path)
	}
	return s.openTar(ctx, path)
}

func has(set fileSet, name string) bool {
	r, _, err := set.open(name)
	if err != nil {
		return false
	}
	r.Close()
	return true
}

// dockerSources reads an archive of docker save.
func (s *Store) dockerSources(set fileSet) ([]source, error) {
	data, err := readAll(set, "manifest.json")
	if err != nil {
		return nil, err
	}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	var sources []source
	for _, m := range manifest {
		src := source{name: m.Config}
		for _, tag := range m.RepoTags {
			name, err := Normalize(tag)
			if err != nil {
				return nil, err
			}
			src.name = name
			src.refs = append(src.refs, name)
		}
		if src.config, err = readAll(set, m.Config); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if src.image, err = parseConfig(src.config); err != nil {
			return nil, err
		}
		for i, name := range m.Layers {
			label := name
			if i < len(src.image.RootFS.DiffIDs) {
				label = string(src.image.RootFS.DiffIDs[i])
			}
			src.layers = append(src.layers, s.layerOf(set, name, label))
		}
		sources = append(sources, src)
	}
	if len(sources) == 0 {
		return nil, errors.New("there is no image in it")
	}
	return sources, nil
}

// layerOf reads a layer from a set. Where a large layer is missing is found only when it is needed.
func (s *Store) layerOf(set fileSet, name, label string) layerSource {
	l := layerSource{label: label, open: func(context.Context) (io.ReadCloser, error) {
		r, _, err := set.open(name)
		return r, err
	}}
	if r, size, err := set.open(name); err == nil {
		l.size = size
		r.Close()
	}
	return l
}

// layoutSources reads an OCI layout.
func (s *Store) layoutSources(set fileSet) ([]source, error) {
	data, err := readAll(set, imagespec.ImageIndexFile)
	if err != nil {
		return nil, err
	}
	var index imagespec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("read %s: %w", imagespec.ImageIndexFile, err)
	}
	var sources []source
	for _, d := range index.Manifests {
		src, ok, err := s.layoutSource(set, d, 0)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if err := src.nameBy(d.Annotations); err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("there is no image for %s/%s in it", s.goos, s.goarch)
	}
	return sources, nil
}

// nameBy takes the reference from where tools write it: containerd the full name, others what the
// specification asks for, which may be a tag alone and then says nothing.
func (src *source) nameBy(annotations map[string]string) error {
	name := annotations["io.containerd.image.name"]
	if name == "" {
		name = annotations[imagespec.AnnotationRefName]
	}
	if name == "" {
		return nil
	}
	full, err := Normalize(name)
	if err != nil {
		return err
	}
	src.name, src.refs = full, []string{full}
	return nil
}

// layoutSource reads an image, or picks this machine's one from an index; ok is false if it has none.
func (s *Store) layoutSource(set fileSet, d imagespec.Descriptor, depth int) (src source, ok bool, err error) {
	if p := d.Platform; p != nil && (p.OS != s.goos || p.Architecture != s.goarch) {
		return source{}, false, nil
	}
	data, err := readBlob(set, d)
	if err != nil {
		return source{}, false, err
	}
	switch d.MediaType {
	case imagespec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.list.v2+json":
		var index imagespec.Index
		if err := json.Unmarshal(data, &index); err != nil {
			return source{}, false, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		if depth > 2 {
			return source{}, false, errors.New("its indexes are nested too deeply")
		}
		for _, child := range index.Manifests {
			src, ok, err := s.layoutSource(set, child, depth+1)
			if ok || err != nil {
				return src, ok, err
			}
		}
		return source{}, false, nil
	}
	var manifest imagespec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return source{}, false, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	src = source{name: string(d.Digest)}
	if src.config, err = readBlob(set, manifest.Config); err != nil {
		return source{}, false, err
	}
	if src.image, err = parseConfig(src.config); err != nil {
		return source{}, false, err
	}
	for _, l := range manifest.Layers {
		name, err := blobName(l.Digest)
		if err != nil {
			return source{}, false, err
		}
		src.layers = append(src.layers, s.layerOf(set, name, string(l.Digest)))
	}
	return src, true, nil
}

func blobName(d digest.Digest) (string, error) {
	hex, err := checkDigest(string(d))
	if err != nil {
		return "", err
	}
	return filepath.Join("blobs", "sha256", hex), nil
}

func readBlob(set fileSet, d imagespec.Descriptor) ([]byte, error) {
	name, err := blobName(d.Digest)
	if err != nil {
		return nil, err
	}
	data, err := readAll(set, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing", d.Digest)
	}
	if err != nil {
		return nil, err
	}
	if digestOf(data) != string(d.Digest) {
		return nil, fmt.Errorf("blob %s is corrupt", d.Digest)
	}
	return data, nil
}
