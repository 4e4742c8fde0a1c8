package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"sampan/kind"
	"sampan/view"
)

// followPath is the API server's stream of several kinds; see its own comment there.
const followPath = "/sampan/v1/follow"

// The wait before a lost connection is tried again doubles from the first to the second.
const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 10 * time.Second
)

// frameMax is the largest event that is read; objects are at most a few megabytes.
const frameMax = 32 << 20

// Run keeps the view up to date until ctx ends, and returns nil then.
func (c *Client) Run(ctx context.Context) error {
	if len(c.cfg.Follow) == 0 {
		return nil
	}
	backoff, lost := backoffMin, false
	expired := false
	for ctx.Err() == nil {
		moved, err := c.stream(ctx, expired)
		if ctx.Err() != nil {
			break
		}
		expired = apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
		if moved {
			if lost {
				c.cfg.Log.Info("the API server can be followed again", "server", c.cfg.Server)
			}
			backoff, lost = backoffMin, false
		}
		if expired && moved {
			continue
		}
		if !expired && !moved && !lost {
			lost = true
			c.cfg.Log.Warn("the API server cannot be followed, trying again", "server", c.cfg.Server, "error", err)
		}
		// Clients that lost one server must not all come back in the same moment.
		pause := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
		backoff = min(2*backoff, backoffMax)
	}
	return nil
}

// stream follows the server until the stream ends. moved says that the view moved or was confirmed by it.
func (c *Client) stream(ctx context.Context, expired bool) (moved bool, err error) {
	query := c.follow
	revision, synced := c.state.revision()
	if synced {
		query += "&resourceVersion=" + strconv.FormatInt(revision, 10)
		if expired {
			query += "&sendInitialEvents=true"
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, followPath, query, body{})
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", mediaProto+";stream=watch")
	resp, err := c.http.Do(req)
	if err != nil {
		return false, fmt.Errorf("follow: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return false, fmt.Errorf("follow: read the answer: %w", err)
		}
		a := &answer{media: resp.Header.Get("Content-Type"), data: data}
		return false, a.asError(resp, http.MethodGet, view.Key{})
	}
	g := &group{kinds: c.cfg.Kinds}
	for {
		e, err := g.read(resp.Body)
		switch {
		case errors.Is(err, io.EOF):
			return moved, errors.New("the stream ended")
		case err != nil:
			return moved, err
		case e.typ != watch.Bookmark:
			g.events = append(g.events, e)
			continue
		}
		at, err := revisionOf(e.obj)
		if err != nil {
			return moved, err
		}
		if e.obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			err = c.state.replace(g.events, at)
		} else {
			err = c.state.apply(g.events, at)
		}
		if err != nil {
			return moved, err
		}
		moved, g.events = true, nil
	}
}

// group reads the events of a stream up to the bookmark that ends a group.
type group struct {
	kinds  *kind.Registry
	events []event
	frame  []byte
}

// read returns the next event. An event of type ERROR comes back as the error that it carries.
func (g *group) read(r io.Reader) (event, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return event{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > frameMax {
		return event{}, fmt.Errorf("an event of %d bytes is too large", size)
	}
	if uint32(cap(g.frame)) < size {
		g.frame = make([]byte, size)
	}
	g.frame = g.frame[:size]
	if _, err := io.ReadFull(r, g.frame); err != nil {
		return event{}, io.ErrUnexpectedEOF
	}
	var e metav1.WatchEvent
	if err := e.Unmarshal(g.frame); err != nil {
		return event{}, fmt.Errorf("decode an event: %w", err)
	}
	gvk, raw, err := open(e.Object.Raw)
	if err != nil {
		return event{}, fmt.Errorf("decode an event: %w", err)
	}
	if e.Type == string(watch.Error) {
		status := new(metav1.Status)
		if err := unmarshal(raw, status); err != nil {
			return event{}, fmt.Errorf("decode an error: %w", err)
		}
		return event{}, &apierrors.StatusError{ErrStatus: *status}
	}
	k := g.kinds.ByGVK(gvk)
	if k == nil {
		return event{}, fmt.Errorf("an event of the unknown kind %s", gvk)
	}
	obj := k.New()
	if err := unmarshal(raw, obj); err != nil {
		return event{}, fmt.Errorf("decode %s: %w", k.ID, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return event{typ: watch.EventType(e.Type), id: k.ID, obj: obj}, nil
}
