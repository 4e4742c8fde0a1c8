package podruntime

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// events hands every container event to every subscriber, in order and without loss: a slow subscriber's
// queue grows, because a lost "stopped" would leave the node agent with a pod that it thinks is running.
type events struct {
	mu   sync.Mutex // guards subs and their queues
	subs map[*subscriber]struct{}
}

type subscriber struct {
	queue []*runtimeapi.ContainerEventResponse
	wake  chan struct{} // holds a token while queue is not empty
}

func newEvents() *events { return &events{subs: map[*subscriber]struct{}{}} }

func (e *events) subscribe() *subscriber {
	sub := &subscriber{wake: make(chan struct{}, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[sub] = struct{}{}
	return sub
}

func (e *events) unsubscribe(sub *subscriber) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subs, sub)
}

func (e *events) publish(ev *runtimeapi.ContainerEventResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for sub := range e.subs {
		sub.queue = append(sub.queue, ev)
		select {
		case sub.wake <- struct{}{}:
		default:
		}
	}
}

// next waits for events and takes them all.
func (e *events) next(ctx context.Context, sub *subscriber) ([]*runtimeapi.ContainerEventResponse, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-sub.wake:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	batch := sub.queue
	sub.queue = nil
	return batch, nil
}

// GetContainerEvents streams what happens to containers and sandboxes from now on.
func (s *Server) GetContainerEvents(_ *runtimeapi.GetEventsRequest, out grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	sub := s.events.subscribe()
	defer s.events.unsubscribe(sub)
	// The header tells the client that nothing from here on is missed.
	if err := out.SendHeader(nil); err != nil {
		return err
	}
	for {
		batch, err := s.events.next(out.Context(), sub)
		if err != nil {
			return statusOf(err)
		}
		for _, ev := range batch {
			if err := out.Send(ev); err != nil {
				return err
			}
		}
	}
}
