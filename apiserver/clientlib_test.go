package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery/cached/disk"
	"k8s.io/client-go/dynamic"
	clientfeatures "k8s.io/client-go/features"
	featurestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

// requests records what a client sends and is answered.
type requests struct {
	mu   sync.Mutex
	sent []string // "METHOD path?query CODE"
}

// record returns a configuration whose requests are recorded.
func (l *requests) record(cfg *rest.Config) *rest.Config {
	own := rest.CopyConfig(cfg)
	own.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			res, err := rt.RoundTrip(r)
			l.mu.Lock()
			defer l.mu.Unlock()
			code := 0
			if res != nil {
				code = res.StatusCode
			}
			l.sent = append(l.sent, fmt.Sprintf("%s %s %d", r.Method, r.URL.RequestURI(), code))
			return res, err
		})
	})
	return own
}

// count returns how many requests contain all of the texts.
func (l *requests) count(texts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
next:
	for _, s := range l.sent {
		for _, text := range texts {
			if !strings.Contains(s, text) {
				continue next
			}
		}
		n++
	}
	return n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestInformersStartWithAStreamOrAList as the client's feature WatchListClient has it, and see the same.
func TestInformersStartWithAStreamOrAList(t *testing.T) {
	for _, stream := range []bool{true, false} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			featurestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, stream)
			s := newMemory(t)
			local := s.Client(masters())
			for i := range 3 {
				must(t, local, configMap(fmt.Sprint("before-", i)))
			}
			var sent requests
			ctx, cancel := context.WithCancel(soon(t))
			factory := informers.NewSharedInformerFactoryWithOptions(clientset(t, protobuf(sent.record(listen(t, s)))), 0, informers.WithNamespace("default"))
			defer factory.Shutdown()
			defer cancel()
			seen := make(chan string, 20)
			informer := factory.Core().V1().ConfigMaps().Informer()
			if _, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
				AddFunc:    func(obj any, initial bool) { seen <- fmt.Sprintf("add %s %v", obj.(*corev1.ConfigMap).Name, initial) },
				UpdateFunc: func(_, obj any) { seen <- "update " + obj.(*corev1.ConfigMap).Name },
				DeleteFunc: func(obj any) { seen <- "delete " + obj.(*corev1.ConfigMap).Name },
			}); err != nil {
				t.Fatal(err)
			}
			factory.StartWithContext(ctx)
			if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				t.Fatalf("the informer has not synced: %q", sent.sent)
			}
			initial := map[string]bool{<-seen: true, <-seen: true, <-seen: true}
			for i := range 3 {
				if want := fmt.Sprintf("add before-%d true", i); !initial[want] {
					t.Errorf("it began with %v, want %s", initial, want)
				}
			}
			obj := must(t, local, configMap("live")).DeepCopy()
			obj.Data["k"] = "2"
			if _, err := local.Update(ctx, obj, "", metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := local.Delete(ctx, mapKey("live"), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"add live false", "update live", "delete live"} {
				select {
				case got := <-seen:
					if got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				case <-ctx.Done():
					t.Fatalf("nothing came, want %s", want)
				}
			}
			streams := sent.count("watch=true", "sendInitialEvents=true", " 200")
			lists := sent.count("GET", "/configmaps?") - sent.count("watch=true")
			if stream && (streams != 1 || lists != 0) || !stream && (streams != 0 || lists != 1) {
				t.Errorf("the client sent %q", sent.sent)
			}
		})
	}
}

// TestWritersThatRetryOnConflictLoseNoWrite counts with many hands.
func TestWritersThatRetryOnConflictLoseNoWrite(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("counter"))
	c := clientset(t, listen(t, s)).CoreV1().ConfigMaps("default")
	ctx := soon(t)
	const writers, each = 4, 10
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				patient := retry.DefaultBackoff
				patient.Steps, patient.Duration, patient.Factor = 200, time.Millisecond, 1
				if err := retry.RetryOnConflict(patient, func() error {
					m, err := c.Get(ctx, "counter", metav1.GetOptions{})
					if err != nil {
						return err
					}
					n, _ := strconv.Atoi(m.Data["n"])
					m.Data["n"] = strconv.Itoa(n + 1)
					_, err = c.Update(ctx, m, metav1.UpdateOptions{})
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if m := must2(c.Get(ctx, "counter", metav1.GetOptions{})); m.Data["n"] != strconv.Itoa(writers*each) {
		t.Errorf("counted to %s, want %d", m.Data["n"], writers*each)
	}
}

// TestDynamicClientApplies an object and its status as two owners who do not get into each other's way.
func TestDynamicClientApplies(t *testing.T) {
	c, err := dynamic.NewForConfig(listen(t, newMemory(t)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	api := c.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("default")
	object := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},` + text + `}`)); err != nil {
			t.Fatal(err)
		}
		return u
	}
	whole := object(`"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}`)
	made, err := api.Apply(ctx, "d", whole, metav1.ApplyOptions{FieldManager: "owner"})
	if err != nil || made.GetUID() == "" {
		t.Fatalf("apply: %v", err)
	}
	if _, err := api.ApplyStatus(ctx, "d", object(`"status":{"conditions":[{"type":"Odd","status":"True"}]}`), metav1.ApplyOptions{FieldManager: "status"}); err != nil {
		t.Errorf("apply the status: %v", err)
	}
	more := object(`"spec":{"replicas":3}`)
	_, err = api.Apply(ctx, "d", more, metav1.ApplyOptions{FieldManager: "scaler"})
	if !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) || !strings.Contains(err.Error(), `conflict with "owner": .spec.replicas`) {
		t.Errorf("a second owner is told %v", err)
	}
	if _, err := api.Apply(ctx, "d", more, metav1.ApplyOptions{FieldManager: "scaler", Force: true}); err != nil {
		t.Errorf("by force: %v", err)
	}
	// The first owner gives replicas up; the second one's wish and the status stay.
	unstructured.RemoveNestedField(whole.Object, "spec", "replicas")
	got, err := api.Apply(ctx, "d", whole, metav1.ApplyOptions{FieldManager: "owner"})
	if err != nil {
		t.Fatal(err)
	}
	replicas, _, _ := unstructured.NestedInt64(got.Object, "spec", "replicas")
	conditions, _, _ := unstructured.NestedSlice(got.Object, "status", "conditions")
	if replicas != 3 || len(conditions) != 1 || len(got.GetManagedFields()) != 3 {
		t.Errorf("in the end: %d replicas, conditions %v, records %v", replicas, conditions, got.GetManagedFields())
	}
}

// TestRecordersCountWhatHappensAgain with the recorder for core/v1 that most controllers have.
func TestRecordersCountWhatHappensAgain(t *testing.T) {
	c := clientset(t, protobuf(listen(t, newMemory(t))))
	ctx := soon(t)
	w, err := c.CoreV1().Events("default").Watch(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=p,reason=Tested"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	b := record.NewBroadcaster(record.WithContext(ctx))
	defer b.Shutdown()
	b.StartRecordingToSink(&typedv1.EventSinkImpl{Interface: c.CoreV1().Events("default")})
	r := b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "tester", Host: "here"})
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "p", UID: "u"}
	for count := int32(1); count <= 3; count++ {
		r.Eventf(about, corev1.EventTypeWarning, "Tested", "it %s", "works")
		typ := watch.Modified
		if count == 1 {
			typ = watch.Added
		}
		select {
		case e := <-w.ResultChan():
			if got, ok := e.Object.(*corev1.Event); !ok || e.Type != typ || got.Count != count || got.Source.Component != "tester" || got.Message != "it works" {
				t.Fatalf("%s %+v, want %s number %d", e.Type, e.Object, typ, count)
			}
		case <-ctx.Done():
			t.Fatalf("no event number %d came", count)
		}
	}
}

// TestALeaderThatVanishesIsFollowed when its lease has run out: nobody released it.
func TestALeaderThatVanishesIsFollowed(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	leases := c.CoordinationV1().Leases("default")
	gone := "gone"
	seconds := int32(1)
	now := metav1.NowMicro()
	if _, err := leases.Create(t.Context(), leaseOf("leader", gone, seconds, now), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(soon(t))
	defer stop()
	led := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "leader"},
			Client:    c.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: "heir"},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 50 * time.Millisecond, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(led) }, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); elector.Run(ctx) }()
	select {
	case <-led:
	case <-ended:
		t.Fatal("the heir gave up")
	}
	lease := must2(leases.Get(t.Context(), "leader", metav1.GetOptions{}))
	if *lease.Spec.HolderIdentity != "heir" || *lease.Spec.LeaseTransitions != 1 || !lease.Spec.AcquireTime.After(now.Time) {
		t.Errorf("the lease is %+v", lease.Spec)
	}
	stop()
	<-ended
	if lease := must2(leases.Get(t.Context(), "leader", metav1.GetOptions{})); *lease.Spec.HolderIdentity != "" {
		t.Errorf("released, the lease is %+v", lease.Spec)
	}
}

// TestDiscoveryOnDiskIsAskedForOnce more after its time, and found unchanged, as kubectl's cache does.
func TestDiscoveryOnDiskIsAskedForOnce(t *testing.T) {
	var sent requests
	cfg := sent.record(listen(t, newMemory(t)))
	dir := t.TempDir()
	for round := range 2 {
		d, err := disk.NewCachedDiscoveryClientForConfig(cfg, dir+"/resources", dir+"/http", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 {
			d.Invalidate()
		}
		if _, lists, err := d.ServerGroupsAndResources(); err != nil || len(lists) < 15 {
			t.Fatalf("%d groups, %v", len(lists), err)
		}
	}
	if all, unchanged := sent.count("GET"), sent.count(" 304"); all != 4 || unchanged != 2 {
		t.Errorf("the client sent %q, want two documents, and both again as 304", sent.sent)
	}
}

// TestAControllerOfAnotherMakeWorks: an informer, a queue, finalizers by merge patch with a revision, owned objects, a
// status of its own; what frameworks like controller-runtime do.
func TestAControllerOfAnotherMakeWorks(t *testing.T) {
	c := clientset(t, protobuf(listen(t, newMemory(t))))
	maps := c.CoreV1().ConfigMaps("default")
	ctx, cancel := context.WithCancel(soon(t))
	factory := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "kept=yes" }))
	defer factory.Shutdown()
	defer cancel()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Millisecond, 10*time.Millisecond))
	defer queue.ShutDown()
	lister := factory.Core().V1().ConfigMaps().Lister().ConfigMaps("default")
	enqueue := func(obj any) {
		if m, ok := obj.(*corev1.ConfigMap); ok {
			queue.Add(m.Name)
		}
	}
	if _, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) },
	}); err != nil {
		t.Fatal(err)
	}
	const finalizer = "example.com/kept"
	setFinalizers := func(m *corev1.ConfigMap, list []string) error {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": list, "resourceVersion": m.ResourceVersion}})
		if err == nil {
			_, err = maps.Patch(ctx, m.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "keeper"})
		}
		return err
	}
	reconcile := func(name string) error {
		m, err := lister.Get(name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		switch {
		case m.DeletionTimestamp != nil:
			if err := maps.Delete(ctx, name+"-child", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			return setFinalizers(m, nil)
		case len(m.Finalizers) == 0:
			return setFinalizers(m, []string{finalizer})
		}
		child := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-child", OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(m, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}},
			Data: m.Data,
		}
		if _, err = maps.Create(ctx, child, metav1.CreateOptions{FieldManager: "keeper"}); apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	var working sync.WaitGroup
	defer working.Wait()
	defer queue.ShutDown()
	working.Go(func() {
		for {
			name, quit := queue.Get()
			if quit {
				return
			}
			if err := reconcile(name); err != nil {
				if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					t.Error(err)
				}
				queue.AddRateLimited(name)
			} else {
				queue.Forget(name)
			}
			queue.Done(name)
		}
	})
	factory.StartWithContext(ctx)
	children, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=p-child"})
	if err != nil {
		t.Fatal(err)
	}
	defer children.Stop()
	parents, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "kept=yes"})
	if err != nil {
		t.Fatal(err)
	}
	defer parents.Stop()
	parent := configMap("p")
	parent.Labels = map[string]string{"kept": "yes"}
	if _, err := maps.Create(ctx, parent, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := expect(t, children, "ADDED p-child"); !metav1.IsControlledBy(e.Object.(metav1.Object), must2(maps.Get(ctx, "p", metav1.GetOptions{}))) {
		t.Errorf("the child has owners %v", e.Object.(metav1.Object).GetOwnerReferences())
	}
	expect(t, parents, "ADDED p")
	expect(t, parents, "MODIFIED p") // with the finalizer
	if err := maps.Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, parents, "MODIFIED p") // it is being deleted
	expect(t, children, "DELETED p-child")
	expect(t, parents, "DELETED p")
}

func leaseOf(name, holder string, seconds int32, at metav1.MicroTime) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &at, RenewTime: &at, LeaseTransitions: new(int32),
		},
	}
}
