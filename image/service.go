package image

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
)

// Service serves a Store as the image service of CRI (runtime.v1). Its errors are gRPC statuses whose messages
// are for the user, since they become the text beside ErrImagePull. Set the fields before its first use.
type Service struct {
	runtimeapi.UnimplementedImageServiceServer

	// InUse holds images that containers use: RemoveImage refuses to remove them.
	InUse InUse
	// Pinned are references of images that the agent's garbage collection shall leave alone.
	Pinned []string

	store *Store
}

var _ runtimeapi.ImageServiceServer = (*Service)(nil)

// NewService returns the image service of a store.
func NewService(store *Store) *Service { return &Service{store: store} }

// ListImages returns the images, or those that match the filter: at most one.
func (s *Service) ListImages(ctx context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	if ref := req.GetFilter().GetImage().GetImage(); ref != "" {
		found, err := s.find(ref)
		if err != nil {
			return nil, err
		}
		resp := &runtimeapi.ListImagesResponse{}
		if found != nil {
			resp.Images = append(resp.Images, s.image(*found))
		}
		return resp, nil
	}
	infos, err := s.store.List()
	if err != nil {
		return nil, statusOf(err)
	}
	resp := &runtimeapi.ListImagesResponse{}
	for _, info := range infos {
		resp.Images = append(resp.Images, s.image(info))
	}
	return resp, nil
}

// StreamImages is ListImages for answers that do not fit in one message.
func (s *Service) StreamImages(req *runtimeapi.StreamImagesRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamImagesResponse]) error {
	list, err := s.ListImages(stream.Context(), &runtimeapi.ListImagesRequest{Filter: req.GetFilter()})
	if err != nil {
		return err
	}
	const perMessage = 100
	for chunk := range slices.Chunk(list.Images, perMessage) {
		if err := stream.Send(&runtimeapi.StreamImagesResponse{Images: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// ImageStatus returns an image; Image is nil if it is not present.
func (s *Service) ImageStatus(ctx context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	found, err := s.find(req.GetImage().GetImage())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ImageStatusResponse{}
	if found != nil {
		resp.Image = s.image(*found)
	}
	return resp, nil
}

// PullImage pulls an image and returns its ID.
func (s *Service) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	auth, err := keychainOf(req.GetAuth())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "pull %s: %v", req.GetImage().GetImage(), err)
	}
	info, err := s.store.Pull(ctx, req.GetImage().GetImage(), PullOptions{Auth: auth})
	if err != nil {
		return nil, statusOf(err)
	}
	return &runtimeapi.PullImageResponse{ImageRef: info.ID}, nil
}

// RemoveImage removes an image with all its tags. It is no error if the image is not there.
func (s *Service) RemoveImage(ctx context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	found, err := s.find(req.GetImage().GetImage())
	if err != nil {
		return nil, err
	}
	if found != nil {
		err := s.store.Remove(ctx, found.ID, s.InUse)
		if err != nil && !errors.Is(err, podruntime.ErrImageNotPresent) {
			return nil, statusOf(err)
		}
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo returns what the layers take on disk.
func (s *Service) ImageFsInfo(ctx context.Context, req *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	bytes, inodes, err := s.store.usage()
	if err != nil {
		return nil, statusOf(err)
	}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: []*runtimeapi.FilesystemUsage{{
		Timestamp:  time.Now().UnixNano(),
		FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: s.store.root},
		UsedBytes:  &runtimeapi.UInt64Value{Value: uint64(bytes)},
		InodesUsed: &runtimeapi.UInt64Value{Value: uint64(inodes)},
	}}}, nil
}

// find returns nil for an image that is not present.
func (s *Service) find(ref string) (*Info, error) {
	info, err := s.store.Resolve(ref)
	switch {
	case err == nil:
		return &info, nil
	case errors.Is(err, podruntime.ErrImageNotPresent):
		return nil, nil
	}
	return nil, statusOf(err)
}

func (s *Service) image(info Info) *runtimeapi.Image {
	img := &runtimeapi.Image{
		Id: info.ID, RepoTags: info.Tags, RepoDigests: info.Digests,
		Size: uint64(max(info.Size, 1)), // CRI: above zero
		Spec: &runtimeapi.ImageSpec{Image: info.ID},
	}
	// "user", "uid", "user:group" or "uid:gid"
	user, _, _ := strings.Cut(info.Image.Config.User, ":")
	if uid, err := strconv.ParseInt(user, 10, 64); err == nil {
		img.Uid = &runtimeapi.Int64Value{Value: uid}
	} else {
		img.Username = user
	}
	for _, ref := range s.Pinned {
		name, err := Normalize(ref)
		img.Pinned = img.Pinned || err == nil && slices.Contains(info.Tags, name)
	}
	return img
}

// keychainOf returns the credentials of a request; nil without any.
func keychainOf(a *runtimeapi.AuthConfig) (authn.Keychain, error) {
	if a == nil {
		return nil, nil
	}
	config := authn.AuthConfig{
		Username: a.Username, Password: a.Password,
		IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
	}
	if config.Username == "" && a.Auth != "" {
		decoded, err := base64.StdEncoding.DecodeString(a.Auth)
		if err != nil {
			return nil, fmt.Errorf("credentials are not base64: %w", err)
		}
		var ok bool
		if config.Username, config.Password, ok = strings.Cut(strings.TrimRight(string(decoded), "\x00"), ":"); !ok {
			return nil, errors.New("credentials are not of the form user:password")
		}
	}
	return fixedKeychain{authn.FromConfig(config)}, nil
}

// fixedKeychain has the same answer for every registry: the agent has chosen it already.
type fixedKeychain struct{ auth authn.Authenticator }

func (k fixedKeychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.auth, nil }

func statusOf(err error) error {
	code := codes.Unknown
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, podruntime.ErrImageNotPresent):
		code = codes.NotFound
	case errors.Is(err, ErrInUse):
		code = codes.FailedPrecondition
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Error(code, err.Error())
}
