package node_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/client/events"
	"sampan/kind"
	"sampan/view"
	"sampan/view/viewtest"
)

// fakeAPI is an API server in memory, without admission and validation.
type fakeAPI struct {
	*viewtest.Source
	mu     sync.Mutex // held while writing; guards what follows
	fail   func(verb string, key view.Key) error
	writes []string
}

func newAPI() *fakeAPI { return &fakeAPI{Source: viewtest.NewSource()} }

func kindOf(obj kind.Object) kind.ID {
	switch obj.(type) {
	case *corev1.Pod:
		return kind.Pods
	case *corev1.Node:
		return kind.Nodes
	case *corev1.ConfigMap:
		return kind.ConfigMaps
	case *corev1.Secret:
		return kind.Secrets
	case *corev1.PersistentVolume:
		return kind.PersistentVolumes
	case *corev1.PersistentVolumeClaim:
		return kind.PersistentVolumeClaims
	case *corev1.Service:
		return kind.Services
	case *corev1.ServiceAccount:
		return kind.ServiceAccounts
	case *nodev1.RuntimeClass:
		return kind.RuntimeClasses
	}
	return kind.Leases
}

// put stores an object and tells everybody. The caller holds mu.
func (f *fakeAPI) put(obj kind.Object, verb string) kind.Object {
	obj = obj.DeepCopyObject().(kind.Object)
	revision := strconv.FormatInt(f.Snapshot().Revision()+1, 10)
	obj.SetResourceVersion(revision)
	key := view.KeyOf(kindOf(obj), obj)
	if obj.GetUID() == "" {
		obj.SetUID(types.UID("uid-" + obj.GetName() + "-" + revision))
	}
	f.writes = append(f.writes, verb+" "+key.String())
	f.Put(key.Kind, obj)
	return obj
}

func (f *fakeAPI) remove(key view.Key) {
	f.writes = append(f.writes, "remove "+key.String())
	f.Remove(key.Kind, key.Namespace, key.Name)
}

func notFound(key view.Key) error { return apierrors.NewNotFound(key.Kind.GroupResource(), key.Name) }

func (f *fakeAPI) Get(_ context.Context, key view.Key) (kind.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if obj := f.Snapshot().Get(key); obj != nil {
		return obj, nil
	}
	return nil, notFound(key)
}

func (f *fakeAPI) Create(_ context.Context, obj kind.Object, _ metav1.CreateOptions) (kind.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := view.KeyOf(kindOf(obj), obj)
	if f.Snapshot().Get(key) != nil {
		return nil, apierrors.NewAlreadyExists(key.Kind.GroupResource(), key.Name)
	}
	return f.put(obj, "create"), nil
}

func (f *fakeAPI) Update(_ context.Context, obj kind.Object, sub string, _ metav1.UpdateOptions) (kind.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := view.KeyOf(kindOf(obj), obj)
	if f.fail != nil {
		if err := f.fail("update", key); err != nil {
			return nil, err
		}
	}
	old := f.Snapshot().Get(key)
	if old == nil {
		return nil, notFound(key)
	}
	if obj.GetResourceVersion() != "" && obj.GetResourceVersion() != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(key.Kind.GroupResource(), key.Name, fmt.Errorf("changed"))
	}
	if pv, ok := obj.(*corev1.PersistentVolume); ok && pv.DeletionTimestamp != nil && len(pv.Finalizers) == 0 {
		f.remove(key)
		return obj, nil
	}
	return f.put(obj, "update"+sub), nil
}

func (f *fakeAPI) Patch(context.Context, view.Key, types.PatchType, []byte, string, metav1.PatchOptions) (kind.Object, error) {
	return nil, fmt.Errorf("no patch here")
}

func (f *fakeAPI) Delete(_ context.Context, key view.Key, o metav1.DeleteOptions) (kind.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	obj := f.Snapshot().Get(key)
	if obj == nil {
		return nil, notFound(key)
	}
	if p := o.Preconditions; p != nil && p.UID != nil && *p.UID != obj.GetUID() {
		return nil, apierrors.NewConflict(key.Kind.GroupResource(), key.Name, fmt.Errorf("uid"))
	}
	if o.GracePeriodSeconds != nil && *o.GracePeriodSeconds == 0 {
		f.remove(key)
		return obj, nil
	}
	pod := obj.DeepCopyObject().(kind.Object)
	now, grace := metav1.Now(), int64(30)
	if o.GracePeriodSeconds != nil {
		grace = *o.GracePeriodSeconds
	}
	pod.SetDeletionTimestamp(&now)
	pod.SetDeletionGracePeriodSeconds(&grace)
	return f.put(pod, "delete"), nil
}

func (f *fakeAPI) Bind(context.Context, view.Key, types.UID, string) error { return nil }
func (f *fakeAPI) Evict(context.Context, view.Key, metav1.DeleteOptions) error {
	return nil
}

// fakeImages is an image service that has, or can pull, some images.
type fakeImages struct {
	runtimeapi.ImageServiceClient
	mu      sync.Mutex // guards what follows
	present map[string]bool
	remote  map[string]bool
	pulls   int
	delay   time.Duration // of a pull
}

func (f *fakeImages) ImageStatus(_ context.Context, r *runtimeapi.ImageStatusRequest, _ ...grpc.CallOption) (*runtimeapi.ImageStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.present[r.Image.Image] {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: r.Image.Image, Size: 1}}, nil
}

func (f *fakeImages) PullImage(_ context.Context, r *runtimeapi.PullImageRequest, _ ...grpc.CallOption) (*runtimeapi.PullImageResponse, error) {
	time.Sleep(f.delay)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulls++
	if !f.remote[r.Image.Image] {
		return nil, fmt.Errorf("failed to resolve reference %q: not found", r.Image.Image)
	}
	f.present[r.Image.Image] = true
	return &runtimeapi.PullImageResponse{ImageRef: r.Image.Image}, nil
}

// fakeEvents keeps what was recorded.
type fakeEvents struct {
	mu   sync.Mutex // guards list
	list []events.Event
}

func (f *fakeEvents) Record(e events.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, e)
}

func (f *fakeEvents) reasons() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, e := range f.list {
		if e.About.Kind == kind.Pods {
			out = append(out, e.Reason)
		}
	}
	return out
}

// said reports whether an event's message contains a text.
func (f *fakeEvents) said(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.list, func(e events.Event) bool { return strings.Contains(e.Message, text) })
}
