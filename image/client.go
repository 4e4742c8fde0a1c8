package image

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client returns a client that calls the service directly, without gRPC or a socket.
func (s *Service) Client() runtimeapi.ImageServiceClient { return directClient{s} }

// directClient implements runtimeapi.ImageServiceClient. Call options have no meaning without a connection.
type directClient struct{ service *Service }

func (c directClient) ListImages(ctx context.Context, in *runtimeapi.ListImagesRequest, _ ...grpc.CallOption) (*runtimeapi.ListImagesResponse, error) {
	return c.service.ListImages(ctx, in)
}

func (c directClient) ImageStatus(ctx context.Context, in *runtimeapi.ImageStatusRequest, _ ...grpc.CallOption) (*runtimeapi.ImageStatusResponse, error) {
	return c.service.ImageStatus(ctx, in)
}

func (c directClient) PullImage(ctx context.Context, in *runtimeapi.PullImageRequest, _ ...grpc.CallOption) (*runtimeapi.PullImageResponse, error) {
	return c.service.PullImage(ctx, in)
}

func (c directClient) RemoveImage(ctx context.Context, in *runtimeapi.RemoveImageRequest, _ ...grpc.CallOption) (*runtimeapi.RemoveImageResponse, error) {
	return c.service.RemoveImage(ctx, in)
}

func (c directClient) ImageFsInfo(ctx context.Context, in *runtimeapi.ImageFsInfoRequest, _ ...grpc.CallOption) (*runtimeapi.ImageFsInfoResponse, error) {
	return c.service.ImageFsInfo(ctx, in)
}

func (c directClient) StreamImages(ctx context.Context, in *runtimeapi.StreamImagesRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[runtimeapi.StreamImagesResponse], error) {
	resp, err := c.service.ListImages(ctx, &runtimeapi.ListImagesRequest{Filter: in.GetFilter()})
	if err != nil {
		return nil, err
	}
	return &imageStream{ctx: ctx, images: resp.Images}, nil
}

// imageStream hands out a list as a stream.
type imageStream struct {
	ctx    context.Context
	images []*runtimeapi.Image
}

func (s *imageStream) Recv() (*runtimeapi.StreamImagesResponse, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, statusOf(err)
	}
	if len(s.images) == 0 {
		return nil, io.EOF
	}
	resp := &runtimeapi.StreamImagesResponse{Images: s.images}
	s.images = nil
	return resp, nil
}

func (s *imageStream) Header() (metadata.MD, error) { return nil, nil }
func (s *imageStream) Trailer() metadata.MD         { return nil }
func (s *imageStream) CloseSend() error             { return nil }
func (s *imageStream) Context() context.Context     { return s.ctx }
func (s *imageStream) SendMsg(any) error            { return io.EOF }
func (s *imageStream) RecvMsg(any) error            { return io.EOF }
