package podruntime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// Serve answers CRI over gRPC on a unix socket until ctx ends. The socket file is replaced if it is there (a
// server that was killed cannot remove its own) and only root may use it. images, if not nil, adds the image
// service, so that crictl finds both on one socket.
func (s *Server) Serve(ctx context.Context, socket string, images runtimeapi.ImageServiceServer) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace CRI socket: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen on CRI socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		listener.Close()
		return fmt.Errorf("protect CRI socket: %w", err)
	}
	// crictl's own limit on messages.
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16<<20), grpc.MaxSendMsgSize(16<<20))
	runtimeapi.RegisterRuntimeServiceServer(server, s)
	if images != nil {
		runtimeapi.RegisterImageServiceServer(server, images)
	}
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve CRI: %w", err)
	}
	return nil
}

// streamServer serves streaming.Server on a listener that is already open, because its own Start cannot tell
// which port it got before it blocks.
type streamServer struct {
	streaming.Server
	http *http.Server
}

func newHTTP(h http.Handler) *http.Server { return &http.Server{Handler: h} }

func (s *streamServer) serve(l net.Listener, log *slog.Logger) {
	if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("streaming server ended", "error", err)
	}
}

// Stop ends the listener and the connections that are not hijacked; hijacked ones end with their commands.
func (s *streamServer) Stop() error { return s.http.Close() }
