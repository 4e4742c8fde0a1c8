package podruntime

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client returns a client that calls the server directly, without gRPC or a socket. Requests and responses
// are copied, as they would be on a wire.
func (s *Server) Client() runtimeapi.RuntimeServiceClient {
	return runtimeapi.NewRuntimeServiceClient(directConn{s})
}

// directConn dispatches by the service description, so that a new method of CRI needs no code here.
type directConn struct{ server *Server }

func (c directConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	name := method[strings.LastIndexByte(method, '/')+1:]
	for _, m := range runtimeapi.RuntimeService_ServiceDesc.Methods {
		if m.MethodName != name {
			continue
		}
		out, err := m.Handler(c.server, ctx, func(in any) error { return copyMessage(in, args) }, nil)
		if err != nil {
			return statusOf(err)
		}
		return copyMessage(reply, out)
	}
	return status.Errorf(codes.Unimplemented, "unknown method %s", name)
}

func (c directConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	name := method[strings.LastIndexByte(method, '/')+1:]
	for _, sd := range runtimeapi.RuntimeService_ServiceDesc.Streams {
		if sd.StreamName != name {
			continue
		}
		// The handler ends when the caller's context does, as a server does when its client goes away.
		return &directStream{ctx: ctx, server: c.server, handler: sd.Handler, messages: make(chan any),
			header: make(chan struct{}), done: make(chan struct{})}, nil
	}
	return nil, status.Errorf(codes.Unimplemented, "unknown method %s", name)
}

// directStream is both ends of a server-streaming call.
type directStream struct {
	ctx      context.Context
	server   *Server
	handler  grpc.StreamHandler
	request  any
	messages chan any
	header   chan struct{} // closed once the handler has begun
	begun    bool
	done     chan struct{} // closed when the handler has returned err
	err      error
}

func (d *directStream) SendMsg(m any) error { d.request = m; return nil }

// CloseSend starts the handler and waits until it has begun, so that a subscriber misses nothing that
// happens after the call returned.
func (d *directStream) CloseSend() error {
	go func() {
		d.err = d.handler(d.server, serverEnd{d})
		close(d.done)
	}()
	select {
	case <-d.header:
	case <-d.done:
	case <-d.ctx.Done():
	}
	return nil
}

func (d *directStream) RecvMsg(m any) error {
	select {
	case out := <-d.messages:
		return copyMessage(m, out)
	case <-d.done:
		if d.err == nil {
			return io.EOF
		}
		return statusOf(d.err)
	case <-d.ctx.Done():
		return statusOf(d.ctx.Err())
	}
}

func (d *directStream) Header() (metadata.MD, error) { return nil, nil }
func (d *directStream) Trailer() metadata.MD         { return nil }
func (d *directStream) Context() context.Context     { return d.ctx }

// serverEnd is what the handler sees of a directStream.
type serverEnd struct{ *directStream }

func (e serverEnd) SetHeader(metadata.MD) error { return nil }
func (e serverEnd) SetTrailer(metadata.MD)      {}

func (e serverEnd) SendHeader(metadata.MD) error {
	if !e.begun {
		e.begun = true
		close(e.header)
	}
	return nil
}

func (e serverEnd) SendMsg(m any) error {
	if err := e.SendHeader(nil); err != nil {
		return err
	}
	select {
	case e.messages <- m:
		return nil
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

func (e serverEnd) RecvMsg(m any) error { return copyMessage(m, e.request) }

func copyMessage(dst, src any) error {
	to, ok1 := dst.(proto.Message)
	from, ok2 := src.(proto.Message)
	if !ok1 || !ok2 {
		return status.Error(codes.Internal, fmt.Sprintf("cannot copy %T to %T: not protobuf messages", src, dst))
	}
	proto.Merge(to, from)
	return nil
}

// statusOf gives an error the code that it would have on a wire.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
