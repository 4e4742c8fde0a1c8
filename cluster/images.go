package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/image"
)

// ImagesInUse returns which images the containers of an instance use, for those who remove images. It asks the
// running server, or, without one, looks at what the last one left running.
func ImagesInUse(ctx context.Context, s Settings) (image.InUse, error) {
	pid, err := serverPID(s)
	if err != nil {
		return nil, err
	}
	var runtime runtimeapi.RuntimeServiceClient
	if pid != 0 {
		conn, err := grpc.NewClient("unix://"+filepath.Join(s.RunDir, criSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, fmt.Errorf("connect to the server's runtime: %w", err)
		}
		defer conn.Close()
		runtime = runtimeapi.NewRuntimeServiceClient(conn)
	} else {
		lock, err := takeLock(s)
		if err != nil {
			return nil, err
		}
		defer lock.release()
		left, err := openRuntime(ctx, s, noImages{}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		defer left.Close()
		runtime = left.Client()
	}
	containers, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	used := map[string]bool{}
	for _, c := range containers.Containers {
		used[c.ImageId], used[c.ImageRef] = true, true
	}
	return func(id string) bool { return used[id] }, nil
}
