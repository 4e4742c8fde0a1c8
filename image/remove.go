package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// InUse says if something that is not in the store, such as a container, uses the image with an ID. A nil InUse
// stands for "nothing does".
type InUse func(id string) bool

func (u InUse) holds(id string) bool { return u != nil && u(id) }

// Remove removes a reference, and the image with it if it was the last one; given an ID, the image with all
// its references. It returns ErrInUse (wrapped) if the image would go and inUse holds it, and an error that
// satisfies podruntime.ErrImageNotPresent if there is none.
func (s *Store) Remove(ctx context.Context, ref string, inUse InUse) error {
	info, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	names := slices.Concat(info.Tags, info.Digests)
	if name, err := Normalize(ref); err == nil && asID(ref) == "" && slices.Contains(names, name) {
		others := slices.DeleteFunc(slices.Clone(info.Tags), func(t string) bool { return t == name })
		if len(others) > 0 {
			return s.removeRefs([]string{name})
		}
	}
	return s.removeImage(ctx, info, inUse)
}

func (s *Store) removeImage(ctx context.Context, info Info, inUse InUse) error {
	if inUse.holds(info.ID) {
		return fmt.Errorf("remove image %s: %w", nameOf(info), ErrInUse)
	}
	if err := s.removeRefs(slices.Concat(info.Tags, info.Digests)); err != nil {
		return err
	}
	if err := os.Remove(s.imagePath(info.ID)); err != nil && !fileIsGone(err) {
		return fmt.Errorf("remove image %s: %w", nameOf(info), err)
	}
	return s.Sweep(ctx)
}

// nameOf returns what people call the image.
func nameOf(info Info) string {
	if len(info.Tags) > 0 {
		return info.Tags[0]
	}
	return info.ID
}

func (s *Store) removeRefs(names []string) error {
	for _, name := range names {
		if err := os.Remove(s.refPath(name)); err != nil && !fileIsGone(err) {
			return fmt.Errorf("remove reference %s: %w", name, err)
		}
	}
	return nil
}

// Prune removes the images that have no tag, or with all, every image, except those that inUse holds. It
// returns what it removed.
func (s *Store) Prune(ctx context.Context, all bool, inUse InUse) ([]Info, error) {
	infos, err := s.List()
	if err != nil {
		return nil, err
	}
	var removed []Info
	for _, info := range infos {
		if len(info.Tags) > 0 && !all || inUse.holds(info.ID) {
			continue
		}
		if err := s.removeImage(ctx, info, nil); err != nil {
			return removed, err
		}
		removed = append(removed, info)
	}
	return removed, s.Sweep(ctx)
}

// Sweep removes layers that no image refers to, and what processes left in tmp when they died. It does nothing
// while somebody adds an image: that one sweeps when it is done. A server calls it once after its start, in the background.
func (s *Store) Sweep(ctx context.Context) error {
	lock, err := s.lock(unix.LOCK_EX, false)
	if err != nil || lock == nil {
		return err
	}
	garbage, err := s.moveGarbage()
	err = errors.Join(err, lock.Close())
	// The slow part needs no lock: what is in tmp belongs to nobody.
	for _, path := range garbage {
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err()) // the next sweep goes on
		}
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("sweep image store: %w", err)
	}
	return nil
}

// moveGarbage moves unused layers to tmp and returns everything that is in tmp. The caller has the exclusive
// lock, so nobody is adding anything.
func (s *Store) moveGarbage() ([]string, error) {
	used, err := s.usedLayers()
	if err != nil {
		return nil, err
	}
	layers, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return nil, err
	}
	for _, e := range layers {
		if used["sha256:"+e.Name()] {
			continue
		}
		dir, err := os.MkdirTemp(s.path("tmp"), "garbage-*")
		if err != nil {
			return nil, err
		}
		if err := os.Rename(s.path("layers", e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	leftovers, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return nil, err
	}
	var garbage []string
	for _, e := range leftovers {
		garbage = append(garbage, s.path("tmp", e.Name()))
	}
	return garbage, nil
}

func (s *Store) usedLayers() (map[string]bool, error) {
	ids, err := s.imageIDs()
	if err != nil {
		return nil, err
	}
	used := make(map[string]bool)
	for _, id := range ids {
		// An image that cannot be read may need any layer, so its error ends the sweep.
		config, err := s.readConfig(id)
		if fileIsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, d := range config.RootFS.DiffIDs {
			used[string(d)] = true
		}
	}
	return used, nil
}
