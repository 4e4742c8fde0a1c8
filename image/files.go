package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// refFile is the content of a file in refs.
type refFile struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// layerFile is the content of a layer's layer.json.
type layerFile struct {
	Size   int64 `json:"size"`   // bytes of its regular files
	Inodes int64 `json:"inodes"` // files of every type
}

func hexOf(id string) string { return strings.TrimPrefix(id, "sha256:") }

func (s *Store) imagePath(id string) string { return s.path("images", hexOf(id)+".json") }
func (s *Store) layerPath(id string) string { return s.path("layers", hexOf(id)) }
func (s *Store) layerFS(id string) string   { return s.path("layers", hexOf(id), "fs") }
func (s *Store) refPath(name string) string { return s.path("refs", refFileName(name)) }
func digestOf(data []byte) string           { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
func fileIsGone(err error) bool             { return errors.Is(err, os.ErrNotExist) }
func (s *Store) hasLayer(diffID string) bool {
	_, err := os.Stat(s.layerPath(diffID))
	return err == nil
}

// refFileName escapes a reference, and digests one that is too long for a file name.
func refFileName(name string) string {
	if escaped := url.PathEscape(name); len(escaped) <= 200 {
		return escaped
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func (s *Store) resolveID(ref string) (string, error) {
	absent := fmt.Errorf("%w: %s", podruntime.ErrImageNotPresent, ref)
	if id := asID(ref); id != "" {
		return id, nil
	}
	name, err := Normalize(ref)
	if err != nil {
		return "", err
	}
	r, err := s.readRef(s.refPath(name))
	if err == nil {
		return r.ID, nil
	}
	if !fileIsGone(err) {
		return "", err
	}
	if !isHex(ref, 12, 63) {
		return "", absent
	}
	ids, err := s.imageIDs()
	if err != nil {
		return "", err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(hexOf(id), ref) })
	if len(ids) != 1 {
		return "", absent
	}
	return ids[0], nil
}

func (s *Store) readRef(path string) (refFile, error) {
	var r refFile
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil || asID(r.ID) == "" {
		return r, fmt.Errorf("image store: %s is damaged: remove it and pull or import the image again", path)
	}
	return r, nil
}

func (s *Store) readRefs() ([]refFile, error) {
	entries, err := os.ReadDir(s.path("refs"))
	if err != nil {
		return nil, fmt.Errorf("read references of images: %w", err)
	}
	refs := make([]refFile, 0, len(entries))
	for _, e := range entries {
		r, err := s.readRef(s.path("refs", e.Name()))
		if fileIsGone(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (s *Store) imageIDs() ([]string, error) {
	entries, err := os.ReadDir(s.path("images"))
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id := asID(strings.TrimSuffix(e.Name(), ".json")); id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// info reads an image; the error satisfies os.ErrNotExist if it is not there.
func (s *Store) info(id string, refs []refFile) (Info, error) {
	info := Info{ID: id}
	config, err := s.readConfig(id)
	if err != nil {
		return Info{}, err
	}
	info.Image = config
	if config.Created != nil {
		info.Created = *config.Created
	}
	for _, d := range config.RootFS.DiffIDs {
		info.Layers = append(info.Layers, string(d))
		if layer, err := s.readLayer(string(d)); err == nil {
			info.Size += layer.Size
		}
	}
	for _, r := range refs {
		switch {
		case r.ID != id:
		case isDigested(r.Name):
			info.Digests = append(info.Digests, r.Name)
		default:
			info.Tags = append(info.Tags, r.Name)
		}
	}
	slices.Sort(info.Tags)
	slices.Sort(info.Digests)
	return info, nil
}

func (s *Store) readConfig(id string) (imagespec.Image, error) {
	var config imagespec.Image
	data, err := os.ReadFile(s.imagePath(id))
	if err != nil {
		return config, fmt.Errorf("read image %s: %w", id, err)
	}
	if digestOf(data) != id {
		return config, fmt.Errorf("image store: %s is damaged: remove it and pull or import the image again", s.imagePath(id))
	}
	return parseConfig(data)
}

// parseConfig reads an image's configuration and checks what becomes file names.
func parseConfig(data []byte) (imagespec.Image, error) {
	var config imagespec.Image
	if err := json.Unmarshal(data, &config); err != nil {
		return config, fmt.Errorf("read the configuration of the image: %w", err)
	}
	for _, d := range config.RootFS.DiffIDs {
		if _, err := checkDigest(string(d)); err != nil {
			return config, fmt.Errorf("read the configuration of the image: %w", err)
		}
	}
	return config, nil
}

func (s *Store) readLayer(diffID string) (layerFile, error) {
	var l layerFile
	data, err := os.ReadFile(filepath.Join(s.layerPath(diffID), "layer.json"))
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(data, &l)
}

func compareInfo(a, b Info) int {
	first := func(i Info) string {
		if len(i.Tags) > 0 {
			return i.Tags[0]
		}
		return "~" // behind the names
	}
	return cmp.Or(strings.Compare(first(a), first(b)), strings.Compare(a.ID, b.ID))
}

// replaceFile writes a file as a whole and makes it durable.
func (s *Store) replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(s.path("tmp"), "file-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// setRef points a normalised reference to an image.
func (s *Store) setRef(name, id string) error {
	data, err := json.Marshal(refFile{Name: name, ID: id})
	if err != nil {
		return err
	}
	if err := s.replaceFile(s.refPath(name), data); err != nil {
		return fmt.Errorf("write reference %s: %w", name, err)
	}
	return nil
}

// lock takes the store's lock, shared or exclusive. With wait false it returns nil, nil if the lock is taken.
func (s *Store) lock(how int, wait bool) (*os.File, error) {
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !wait && errors.Is(err, unix.EWOULDBLOCK):
			return nil, f.Close()
		}
		return nil, errors.Join(fmt.Errorf("lock image store: %w", err), f.Close())
	}
}

// created is the time of an image that this package makes, in UTC as image configurations have it.
func created(t time.Time) *time.Time {
	t = t.UTC()
	return &t
}

// usage returns what all layers take.
func (s *Store) usage() (bytes, inodes int64, err error) {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return 0, 0, fmt.Errorf("read layers: %w", err)
	}
	for _, e := range entries {
		if layer, err := s.readLayer(e.Name()); err == nil { // else removed meanwhile
			bytes += layer.Size
			inodes += layer.Inodes
		}
	}
	return bytes, inodes, nil
}
