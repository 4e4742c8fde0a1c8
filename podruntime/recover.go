package podruntime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// recover makes the server's view true again after an earlier server ended, at whatever instant: pods whose
// pause process lives are adopted, exits that nobody heard are taken in, and what was half made or half
// removed is removed.
func (s *Server) recover(ctx context.Context) error {
	records, err := s.driver.LoadRecords()
	if err != nil {
		return err
	}
	s.decode(records)
	keepSandboxes, keepContainers := map[string]bool{}, map[string]bool{}
	for id, sb := range s.sandboxes {
		if sb.rec.State != sandboxMaking && sb.rec.State != sandboxRemoving {
			keepSandboxes[id] = true
		}
	}
	for id, c := range s.containers {
		if keepSandboxes[c.rec.Sandbox] && c.rec.State != containerMaking && c.rec.State != containerRemoving {
			keepContainers[id] = true
		}
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, sb := range slices.Collect(maps.Values(s.sandboxes)) {
		g.Go(func() error {
			if !keepSandboxes[sb.id] {
				return s.undo(ctx, sb)
			}
			return s.adopt(ctx, sb, keepContainers)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.driver.Sweep(ctx, keepSandboxes, keepContainers); err != nil {
		return fmt.Errorf("remove what an earlier server left: %w", err)
	}
	return nil
}

func (s *Server) decode(records map[string][]byte) {
	for name, data := range records {
		switch {
		case strings.HasPrefix(name, sandboxPrefix):
			sb, err := decodeSandbox(name, data)
			if err != nil {
				s.dropRecord(name, err)
				continue
			}
			s.sandboxes[sb.id] = sb
			s.names[sandboxName(sb.config.Metadata)] = sb.id
		case strings.HasPrefix(name, containerPrefix):
			c, err := decodeContainer(name, data)
			if err != nil {
				s.dropRecord(name, err)
				continue
			}
			s.containers[c.id] = c
			s.names[containerName(c.rec.Sandbox, c.config.Metadata)] = c.id
		}
	}
	for id, c := range s.containers {
		if s.sandboxes[c.rec.Sandbox] == nil {
			delete(s.containers, id)
			delete(s.names, containerName(c.rec.Sandbox, c.config.Metadata))
			s.dropRecord(containerPrefix+id, errors.New("its sandbox is not known"))
		}
	}
}

// dropRecord gives up a record that cannot be read, as after a power loss; Sweep removes what belonged to it.
func (s *Server) dropRecord(name string, why error) {
	s.log.Warn("record dropped", "record", name, "error", why)
	if err := s.driver.DeleteRecord(name); err != nil {
		s.log.Error("delete record", "record", name, "error", err)
	}
}

// undo removes a sandbox that was being made or removed.
func (s *Server) undo(ctx context.Context, sb *sandbox) error {
	if err := s.driver.KillSandbox(ctx, sb.rec.Spec); err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.id, err)
	}
	for _, c := range s.containersOf(sb.id) {
		if err := s.forgetContainer(ctx, c); err != nil {
			return fmt.Errorf("container %s: %w", c.id, err)
		}
	}
	if err := s.forgetSandbox(ctx, sb); err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.id, err)
	}
	return nil
}

func (s *Server) adopt(ctx context.Context, sb *sandbox, keep map[string]bool) error {
	all := s.containersOf(sb.id)
	var ids []string
	for _, c := range all {
		s.mu.Lock()
		switch c.rec.State {
		case containerStarting:
			// The driver says whether it came to run; if it did not, it is killed as a failed start below.
			c.rec.State = containerRunning
			c.rec.StartedAt = time.Now().UnixNano()
			ids = append(ids, c.id)
		case containerRunning:
			ids = append(ids, c.id)
		case containerExited:
			close(c.exited)
		}
		s.mu.Unlock()
	}
	if sb.rec.State == sandboxNotReady {
		s.lost(ctx, sb, time.Now())
	} else {
		live, err := s.driver.AdoptSandbox(ctx, sb.rec.Spec, ids)
		switch {
		case errors.Is(err, ErrGone):
			s.lost(ctx, sb, time.Now())
		case err != nil:
			return fmt.Errorf("adopt sandbox %s: %w", sb.id, err)
		default:
			s.mu.Lock()
			sb.live, sb.paused = live, true
			s.mu.Unlock()
		}
	}
	for _, c := range all {
		if keep[c.id] {
			continue
		}
		if err := s.forgetContainer(ctx, c); err != nil {
			return fmt.Errorf("container %s: %w", c.id, err)
		}
	}
	return nil
}

// Close stops serving and lets pods run on. The next New adopts them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	stream := s.stream
	s.mu.Unlock()
	var err error
	if stream != nil {
		err = stream.Stop()
	}
	return errors.Join(err, s.driver.Close())
}

// RemoveAll stops every pod, each container with the grace given, and removes every trace of this instance
// from the machine. Nothing new is started from here on.
func (s *Server) RemoveAll(ctx context.Context, grace time.Duration) error {
	s.mu.Lock()
	s.closed = true
	var all []*sandbox
	for _, sb := range s.sandboxes {
		all = append(all, sb)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *sandbox) int { return strings.Compare(a.id, b.id) })
	var g errgroup.Group
	for _, sb := range all {
		g.Go(func() error { return s.removePod(ctx, sb, grace) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.driver.Sweep(ctx, nil, nil)
}

func (s *Server) removePod(ctx context.Context, sb *sandbox, grace time.Duration) error {
	var g errgroup.Group
	for _, c := range s.containersOf(sb.id) {
		g.Go(func() error { return s.stop(ctx, c, grace) })
	}
	if err := g.Wait(); err != nil {
		return wrap(err, "stop the containers of sandbox %s", sb.id)
	}
	if err := lock(ctx, sb.busy); err != nil {
		return err
	}
	defer unlock(sb.busy)
	if err := s.removeSandbox(ctx, sb); err != nil {
		return wrap(err, "remove sandbox %s", sb.id)
	}
	return nil
}
