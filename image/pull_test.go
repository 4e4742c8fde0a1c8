package image

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// serveRegistry starts a registry on this machine. wrap, if not nil, stands between it and its clients once
// enabled.
func serveRegistry(t *testing.T, wrap func(next http.Handler) http.Handler) (host string, enable func()) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	var wrapped atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrap != nil && wrapped.Load() {
			wrap(inner).ServeHTTP(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), func() { wrapped.Store(true) }
}

func push(t *testing.T, ref string, what any) {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(r, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(r, what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestImageIsPulled(t *testing.T) {
	host, _ := serveRegistry(t, nil)
	s := newStore(t)
	img := build(t, runtime.GOARCH, base(t), top(t, "v1"))
	push(t, host+"/app:v1", img)
	var progress []Progress
	info, err := s.Pull(t.Context(), host+"/app:v1", PullOptions{Progress: func(p Progress) { progress = append(progress, p) }})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := img.Digest()
	if !slices.Equal(info.Tags, []string{host + "/app:v1"}) || !slices.Equal(info.Digests, []string{host + "/app@" + digest.String()}) {
		t.Errorf("got %+v", info)
	}
	got := opened(t, s, host+"/app@"+digest.String())
	if data, _ := os.ReadFile(filepath.Join(got.Layers[0], "app")); string(data) != "v1" {
		t.Errorf("got %q", data)
	}
	added := 0
	for _, p := range progress {
		if p.State == Added && p.Total > 0 {
			added++
		}
	}
	if added != 2 {
		t.Errorf("progress %+v", progress)
	}
}

func TestIndexIsPulledForThisPlatform(t *testing.T) {
	host, _ := serveRegistry(t, nil)
	s := newStore(t)
	mine, other := build(t, runtime.GOARCH, top(t, "mine")), build(t, "s390x", top(t, "other"))
	add := func(img v1.Image, arch string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	push(t, host+"/app", mutate.AppendManifests(empty.Index, add(other, "s390x"), add(mine, runtime.GOARCH)))
	push(t, host+"/foreign", mutate.AppendManifests(empty.Index, add(other, "s390x")))
	push(t, host+"/single", other)
	info, err := s.Pull(t.Context(), host+"/app", PullOptions{})
	if id, _ := mine.ConfigName(); err != nil || info.ID != id.String() {
		t.Errorf("got %s, %v", info.ID, err)
	}
	for _, ref := range []string{"/foreign", "/single"} {
		if _, err := s.Pull(t.Context(), host+ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), "linux/"+runtime.GOARCH) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestLayerThatIsThereIsNotPulledAgain(t *testing.T) {
	var blobs atomic.Int64
	host, watch := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				blobs.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	s := newStore(t)
	shared := base(t)
	push(t, host+"/app:v1", build(t, runtime.GOARCH, shared, top(t, "v1")))
	push(t, host+"/app:v2", build(t, runtime.GOARCH, shared, top(t, "v2")))
	watch()
	if _, err := s.Pull(t.Context(), host+"/app:v1", PullOptions{}); err != nil || blobs.Load() != 3 { // with the configuration
		t.Errorf("v1: %d blobs, %v", blobs.Load(), err)
	}
	blobs.Store(0)
	if _, err := s.Pull(t.Context(), host+"/app:v2", PullOptions{}); err != nil || blobs.Load() != 2 {
		t.Errorf("v2: %d blobs, %v", blobs.Load(), err)
	}
}

func TestFailedPullSaysWhyAndLeavesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	onBlob := func(answer func(w http.ResponseWriter, blob *httptest.ResponseRecorder)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					next.ServeHTTP(w, r)
					return
				}
				recorder := httptest.NewRecorder()
				next.ServeHTTP(recorder, r)
				if strings.HasPrefix(recorder.Body.String(), "{") { // the configuration
					w.Write(recorder.Body.Bytes())
					return
				}
				answer(w, recorder)
			})
		}
	}
	deny := func(code int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				w.WriteHeader(code)
			})
		}
	}
	for _, c := range []struct {
		name string
		ref  string // "" for an image that is there
		wrap func(http.Handler) http.Handler
		want string
		code codes.Code
	}{
		{"image that is not there", "/nothing:v1", nil, "image not found", codes.NotFound},
		{"tag that is not there", "/app:v9", nil, "image not found", codes.NotFound},
		{"no registry", closed + "/app", nil, "connection refused", codes.Unknown},
		{"no access", "", deny(http.StatusForbidden), "denies access", codes.Unknown},
		{"no credentials", "", deny(http.StatusUnauthorized), "denies access", codes.Unknown},
		{"corrupt layer", "", onBlob(func(w http.ResponseWriter, blob *httptest.ResponseRecorder) {
			data := blob.Body.Bytes()
			data[len(data)-6] ^= 1 // in the checksum of gzip
			w.Write(data)
		}), "", codes.Unknown},
		{"registry that goes away in the middle", "", onBlob(func(w http.ResponseWriter, blob *httptest.ResponseRecorder) {
			w.Header().Set("Content-Length", "100000")
			w.Write(blob.Body.Bytes()[:20])
			panic(http.ErrAbortHandler)
		}), "EOF", codes.Unknown},
		{"bad name", "Bad Name", nil, "invalid image name", codes.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, enable := serveRegistry(t, c.wrap)
			push(t, host+"/app:v1", build(t, runtime.GOARCH, base(t)))
			enable()
			s := newStore(t)
			ref := c.ref
			if ref == "" {
				ref = "/app:v1"
			}
			if strings.HasPrefix(ref, "/") {
				ref = host + ref
			}
			_, err := NewService(s).PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
			if err == nil || !strings.Contains(err.Error(), c.want) || status.Code(err) != c.code {
				t.Errorf("got %v, want %q and code %v", err, c.want, c.code)
			}
			if n := layersOnDisk(t, s); n != 0 || len(tags(t, s)) != 0 {
				t.Errorf("%d layers, images %v are left", n, tags(t, s))
			}
		})
	}
}

func TestCredentialsReachTheRegistry(t *testing.T) {
	host, enable := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app", build(t, runtime.GOARCH, base(t)))
	enable()
	service := NewService(newStore(t))
	pull := func(auth *runtimeapi.AuthConfig) error {
		_, err := service.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: host + "/app"}, Auth: auth})
		return err
	}
	if err := pull(nil); err == nil || !strings.Contains(err.Error(), "denies access") {
		t.Errorf("without credentials: %v", err)
	}
	if err := pull(&runtimeapi.AuthConfig{Username: "me", Password: "wrong"}); err == nil {
		t.Error("wrong credentials were enough")
	}
	if err := pull(&runtimeapi.AuthConfig{Username: "me", Password: "secret"}); err != nil {
		t.Errorf("with user and password: %v", err)
	}
	if err := pull(&runtimeapi.AuthConfig{Auth: "bWU6c2VjcmV0"}); err != nil {
		t.Errorf("with an encoded pair: %v", err)
	}
}

func TestPullsOfOneImageAreOne(t *testing.T) {
	var manifests atomic.Int64
	started, release := make(chan struct{}), make(chan struct{})
	host, enable := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				if manifests.Add(1) == 1 {
					close(started)
				}
				<-release
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app", build(t, runtime.GOARCH, base(t)))
	enable()
	s := newStore(t)
	var group sync.WaitGroup
	first := func() {
		if _, err := s.Pull(t.Context(), host+"/app", PullOptions{}); err != nil {
			t.Error(err)
		}
	}
	group.Go(first)
	<-started
	for range 5 {
		group.Go(first)
	}
	close(release)
	group.Wait()
	// Those who come after the first one has ended pull again; they cannot be told from those who joined.
	if n := manifests.Load(); n > 6 {
		t.Errorf("%d requests", n)
	}
	opened(t, s, host+"/app")
}

func TestCancelledPullLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host, enable := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				cancel()
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app", build(t, runtime.GOARCH, base(t)))
	enable()
	s := newStore(t)
	_, err := NewService(s).PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: host + "/app"}})
	if status.Code(err) != codes.Canceled || layersOnDisk(t, s) != 0 {
		t.Errorf("got %v, %d layers", err, layersOnDisk(t, s))
	}
}

func TestServiceAnswersAsCRIWants(t *testing.T) {
	s := newStore(t)
	info := imported(t, s, dockerArchive(t, map[string]v1.Image{"app:v1": build(t, runtime.GOARCH, base(t))}), ImportOptions{})[0]
	service := NewService(s)
	service.Pinned = []string{"app:v1"}
	inUse := true
	service.InUse = func(string) bool { return inUse }
	client := service.Client()
	ctx := t.Context()
	spec := func(ref string) *runtimeapi.ImageSpec { return &runtimeapi.ImageSpec{Image: ref} }

	got, err := client.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec("app:v1")})
	if err != nil || got.Image.GetId() != info.ID || got.Image.Size == 0 || got.Image.GetUid().GetValue() != 1000 || !got.Image.Pinned {
		t.Errorf("status: %v, %v", got, err)
	}
	if got, err := client.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec("absent")}); err != nil || got.Image != nil {
		t.Errorf("status of an absent image: %v, %v", got, err)
	}
	for ref, want := range map[string]int{"": 1, "app:v1": 1, "absent": 0} {
		list, err := client.ListImages(ctx, &runtimeapi.ListImagesRequest{Filter: &runtimeapi.ImageFilter{Image: spec(ref)}})
		if err != nil || len(list.Images) != want {
			t.Errorf("list %q: %v, %v", ref, list, err)
		}
	}
	stream, err := client.StreamImages(ctx, &runtimeapi.StreamImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || len(got.Images) != 1 {
		t.Errorf("stream: %v, %v", got, err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("end of the stream: %v", err)
	}
	fs, err := client.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{})
	if err != nil || fs.ImageFilesystems[0].UsedBytes.Value != 2 || fs.ImageFilesystems[0].FsId.Mountpoint != s.root {
		t.Errorf("usage: %v, %v", fs, err)
	}
	if _, err := client.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: spec("app:v1")}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("removal of an image in use: %v", err)
	}
	inUse = false
	for range 2 { // the second time there is nothing to do
		if _, err := client.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: spec("app:v1")}); err != nil {
			t.Errorf("removal: %v", err)
		}
	}
	if n := layersOnDisk(t, s); n != 0 {
		t.Errorf("%d layers are left", n)
	}
}

// The registry may answer one thing for a digest and mean another.
func TestManifestOfAnotherDigestIsRefused(t *testing.T) {
	good := build(t, runtime.GOARCH, base(t))
	evil, _ := build(t, runtime.GOARCH, top(t, "evil")).RawManifest()
	host, enable := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				var m v1.Manifest
				json.Unmarshal(evil, &m)
				w.Header().Set("Content-Type", string(m.MediaType))
				w.Write(evil)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app", good)
	enable()
	digest, _ := good.Digest()
	if _, err := newStore(t).Pull(t.Context(), host+"/app@"+digest.String(), PullOptions{}); err == nil {
		t.Error("a manifest of another digest was taken")
	}
}
