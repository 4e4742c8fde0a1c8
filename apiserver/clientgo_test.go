package apiserver_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	toolswatch "k8s.io/client-go/tools/watch"

	"sampan/apiserver"
)

// resources returns every resource that can be listed and watched, in every version.
func resources(t *testing.T, cfg *rest.Config) []schema.GroupVersionResource {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	var out []schema.GroupVersionResource
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range l.APIResources {
			if slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch") {
				out = append(out, gv.WithResource(r.Name))
			}
		}
	}
	if len(out) < 18 {
		t.Fatalf("only %d resources can be watched: %v", len(out), out)
	}
	return out
}

func protobuf(cfg *rest.Config) *rest.Config {
	own := rest.CopyConfig(cfg)
	own.ContentType, own.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return own
}

// soon ends shortly before the tests are killed for their time, so that who waits for what does not come can say so.
func soon(t *testing.T) context.Context {
	deadline, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-30*time.Second))
	t.Cleanup(cancel)
	return ctx
}

func TestInformersOfEveryKindSync(t *testing.T) {
	cfg := listen(t, newMemory(t))
	ctx := soon(t)
	all := resources(t, cfg)
	typed := informers.NewSharedInformerFactory(clientset(t, protobuf(cfg)), 0)
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	loose := dynamicinformer.NewDynamicSharedInformerFactory(dyn, 0)
	bare, err := metadata.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	partial := metadatainformer.NewSharedInformerFactory(bare, 0)
	synced := map[string]cache.InformerSynced{}
	for _, gvr := range all {
		if i, err := typed.ForResource(gvr); err != nil {
			t.Logf("client-go has no informer for %s", gvr)
		} else {
			synced["typed "+gvr.String()] = i.Informer().HasSynced
		}
		synced["dynamic "+gvr.String()] = loose.ForResource(gvr).Informer().HasSynced
		synced["metadata "+gvr.String()] = partial.ForResource(gvr).Informer().HasSynced
	}
	running, stop := context.WithCancel(ctx)
	typed.Start(running.Done())
	loose.Start(running.Done())
	partial.Start(running.Done())
	defer func() {
		stop()
		typed.Shutdown()
		loose.Shutdown()
		partial.Shutdown()
	}()
	for name, done := range synced {
		if !cache.WaitForCacheSync(ctx.Done(), done) {
			t.Errorf("%s did not sync", name)
		}
	}
	if ns, err := typed.Core().V1().Namespaces().Lister().Get("kube-system"); err != nil || ns.Name != "kube-system" {
		t.Errorf("the lister has %v, %v", ns, err)
	}
}

// TestOneLeaderAtATime runs two candidates; the second leads when the first gives up.
func TestOneLeaderAtATime(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	led := make(chan string, 10)
	candidate := func(ctx context.Context, id string) (ended chan struct{}) {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "leader"},
				Client:    c.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: id},
			},
			LeaseDuration: 10 * time.Second, RenewDeadline: 5 * time.Second, RetryPeriod: 50 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { led <- id; <-ctx.Done() },
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended = make(chan struct{})
		go func() { defer close(ended); elector.Run(ctx) }()
		return ended
	}
	first, resign := context.WithCancel(t.Context())
	a := candidate(first, "a")
	if id := <-led; id != "a" {
		t.Fatalf("%s leads", id)
	}
	second, stop := context.WithCancel(t.Context())
	b := candidate(second, "b")
	resign()
	<-a
	if id := <-led; id != "b" {
		t.Errorf("%s leads", id)
	}
	lease, err := c.CoordinationV1().Leases("default").Get(t.Context(), "leader", metav1.GetOptions{})
	if err != nil || *lease.Spec.HolderIdentity != "b" || *lease.Spec.LeaseTransitions < 1 {
		t.Errorf("the lease is %+v, %v", lease, err)
	}
	stop()
	<-b
}

func TestDynamicClientNeedsNoTypes(t *testing.T) {
	c, err := dynamic.NewForConfig(listen(t, newMemory(t)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	api := c.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("default")
	w, err := api.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	labels := map[string]any{"app": "a"}
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "d"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "a"}}}},
		},
	}}
	made, err := api.Create(ctx, obj, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(made.Object, "spec", "replicas"); n != 1 {
		t.Errorf("defaults are missing: %v", made.Object["spec"])
	}
	_ = unstructured.SetNestedField(made.Object, int64(3), "spec", "replicas")
	if _, err := api.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := api.Patch(ctx, "d", types.MergePatchType, []byte(`{"status":{"observedGeneration":2}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Error(err)
	}
	if got, err := api.Get(ctx, "d", metav1.GetOptions{}, "scale"); err != nil || got.GetKind() != "Scale" {
		t.Errorf("scale: %v, %v", got, err)
	}
	if l, err := api.List(ctx, metav1.ListOptions{}); err != nil || len(l.Items) != 1 || l.Items[0].GetKind() != "Deployment" {
		t.Errorf("list: %v, %v", l, err)
	}
	if err := api.Delete(ctx, "d", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"ADDED d", "MODIFIED d", "MODIFIED d", "DELETED d"} {
		expect(t, w, want)
	}
}

func TestRESTMapperFindsEveryKind(t *testing.T) {
	cfg := listen(t, newMemory(t))
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cached := memory.NewMemCacheClient(d)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	for short, want := range map[string]schema.GroupVersionKind{
		"po": corev1.SchemeGroupVersion.WithKind("Pod"), "deploy": appsv1.SchemeGroupVersion.WithKind("Deployment"),
		"cm": corev1.SchemeGroupVersion.WithKind("ConfigMap"), "endpointslice": {Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"},
	} {
		if got, err := mapper.KindFor(schema.GroupVersionResource{Resource: short}); err != nil || got != want {
			t.Errorf("%s is %v, %v", short, got, err)
		}
	}
	for _, gvr := range resources(t, cfg) {
		gvk, err := mapper.KindFor(gvr)
		if err != nil {
			t.Errorf("%s: %v", gvr, err)
			continue
		}
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil || mapping.Resource != gvr {
			t.Errorf("%s leads to %v, %v, want %s", gvk, mapping, err, gvr)
		}
		if !scheme.Scheme.Recognizes(gvk) {
			t.Errorf("%s is no kind of client-go", gvk)
		}
	}
	if _, err := mapper.RESTMapping(schema.GroupKind{Group: "example.com", Kind: "Boat"}); !meta.IsNoMatchError(err) {
		t.Errorf("an unknown kind: %v", err)
	}
	if paths, err := d.OpenAPIV3().Paths(); err != nil || paths["apis/apps/v1"] == nil {
		t.Errorf("OpenAPI has the paths %v, %v", paths, err)
	}
	if _, err := d.OpenAPISchema(); err != nil {
		t.Errorf("OpenAPI v2: %v", err)
	}
}

func TestMetadataClientSeesMetadataOnly(t *testing.T) {
	cfg := listen(t, newMemory(t))
	ctx := soon(t)
	c, err := metadata.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	api := c.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace("default")
	w, err := api.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	typed := clientset(t, cfg).CoreV1().ConfigMaps("default")
	if _, err := typed.Create(ctx, configMap("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, w, "ADDED a")
	got, err := api.Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"labels":{"l":"v"}}}`), metav1.PatchOptions{})
	if err != nil || got.Labels["l"] != "v" {
		t.Errorf("patch: %+v, %v", got, err)
	}
	expect(t, w, "MODIFIED a")
	if l, err := api.List(ctx, metav1.ListOptions{LabelSelector: "l=v"}); err != nil || len(l.Items) != 1 {
		t.Errorf("list: %v, %v", l, err)
	}
	if err := api.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "l=v"}); err != nil {
		t.Error(err)
	}
	expect(t, w, "DELETED a")
}

func TestPagersComeThroughLongLists(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	ctx := soon(t)
	for i := range 57 {
		must(t, s.Client(masters()), configMap(fmt.Sprintf("m%02d", i)))
	}
	pages := 0
	p := pager.New(pager.SimplePageFunc(func(opts metav1.ListOptions) (runtime.Object, error) {
		pages++
		if pages == 3 {
			must(t, s.Client(masters()), configMap("later")) // not in a list that has begun
		}
		return c.CoreV1().ConfigMaps("default").List(ctx, opts)
	}))
	p.PageSize = 10
	var names []string
	if err := p.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		names = append(names, o.(*corev1.ConfigMap).Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(names) != 57 || pages != 6 || !slices.IsSorted(names) {
		t.Errorf("%d objects on %d pages: %v", len(names), pages, names)
	}
}

func TestScaleClientScalesWhatCanBeScaled(t *testing.T) {
	cfg := listen(t, newMemory(t))
	ctx := soon(t)
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	c, err := scale.NewForConfig(cfg, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(d))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "a"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	apps := clientset(t, cfg).AppsV1()
	name := metav1.ObjectMeta{Name: "x"}
	_, err = apps.Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: name, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
	_, err2 := apps.ReplicaSets("default").Create(ctx, &appsv1.ReplicaSet{ObjectMeta: name, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
	_, err3 := apps.StatefulSets("default").Create(ctx, &appsv1.StatefulSet{ObjectMeta: name, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "x"}}, metav1.CreateOptions{})
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	for _, resource := range []string{"deployments", "replicasets", "statefulsets"} {
		gr := schema.GroupResource{Group: "apps", Resource: resource}
		got, err := c.Scales("default").Get(ctx, gr, "x", metav1.GetOptions{})
		if err != nil || got.Spec.Replicas != 1 || got.Status.Selector != "app=a" {
			t.Errorf("%s: %+v, %v", resource, got, err)
			continue
		}
		got.Spec.Replicas = 4
		if got, err = c.Scales("default").Update(ctx, gr, got, metav1.UpdateOptions{}); err != nil || got.Spec.Replicas != 4 {
			t.Errorf("%s: %+v, %v", resource, got, err)
		}
		got, err = c.Scales("default").Patch(ctx, gr.WithVersion("v1"), "x", types.MergePatchType, []byte(`{"spec":{"replicas":6}}`), metav1.PatchOptions{})
		if err != nil || got.Spec.Replicas != 6 {
			t.Errorf("%s: %+v, %v", resource, got, err)
		}
	}
	typed, err := apps.Deployments("default").GetScale(ctx, "x", metav1.GetOptions{})
	if err != nil || typed.Spec.Replicas != 6 {
		t.Errorf("typed: %+v, %v", typed, err)
	}
	typed.Spec.Replicas = -1
	if _, err := apps.Deployments("default").UpdateScale(ctx, "x", typed, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a negative number: %v", err)
	}
	var _ *autoscalingv1.Scale = typed
}

// TestRetryWatcherResumes breaks every connection and expects the watcher to go on without a gap.
func TestRetryWatcherResumes(t *testing.T) {
	s := newMemory(t)
	cfg := listen(t, s)
	c := clientset(t, cfg)
	ctx := soon(t)
	list, err := c.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seconds := int64(1)
	w, err := toolswatch.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFunc: func(o metav1.ListOptions) (watch.Interface, error) {
			o.TimeoutSeconds = &seconds // the server ends it
			return c.CoreV1().ConfigMaps("default").Watch(ctx, o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	must(t, s.Client(masters()), configMap("a"))
	expect(t, w, "ADDED a")
	short, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{TimeoutSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	for range short.ResultChan() { // as long as the other's first connection
	}
	must(t, s.Client(masters()), configMap("b"))
	expect(t, w, "ADDED b")
}

func TestUntilWithSyncSeesWhatWasAndWhatComes(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	ctx := soon(t)
	must(t, s.Client(masters()), configMap("before"))
	lw := cache.NewListWatchFromClient(c.CoreV1().RESTClient(), "configmaps", "default", fields.Everything())
	var seen []string
	_, err := toolswatch.UntilWithSync(ctx, lw, &corev1.ConfigMap{}, nil, func(e watch.Event) (bool, error) {
		name := e.Object.(*corev1.ConfigMap).Name
		seen = append(seen, name)
		if name == "before" {
			must(t, s.Client(masters()), configMap("after"))
		}
		return name == "after", nil
	})
	if err != nil || fmt.Sprint(seen) != "[before after]" {
		t.Errorf("seen %v, %v", seen, err)
	}
}

func TestTypedApplyOwnsItsFields(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t))).CoreV1().ConfigMaps("default")
	ctx := soon(t)
	mine := applyv1.ConfigMap("a", "default").WithData(map[string]string{"k": "1"})
	made, err := c.Apply(ctx, mine, metav1.ApplyOptions{FieldManager: "one"})
	if err != nil || made.Data["k"] != "1" {
		t.Fatalf("apply: %v, %v", made, err)
	}
	if _, err := c.Apply(ctx, mine.WithData(map[string]string{"k": "2"}), metav1.ApplyOptions{FieldManager: "two"}); !apierrors.IsConflict(err) {
		t.Errorf("a second owner: %v", err)
	}
	if got, err := c.Apply(ctx, mine, metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil || got.Data["k"] != "2" {
		t.Errorf("by force: %v, %v", got, err)
	}
	extracted, err := applyv1.ExtractConfigMap(must2(c.Get(ctx, "a", metav1.GetOptions{})), "two")
	if err != nil || extracted.Data["k"] != "2" {
		t.Errorf("extracted: %v, %v", extracted, err)
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEvictionClientEvicts(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}
	if _, err := c.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"metadata":{}}`:                               "name in URL does not match name in Eviction object",
		`{"metadata":{"name":"q"}}`:                     "name in URL does not match name in Eviction object",
		`{"metadata":{"name":"p","namespace":"other"}}`: "the namespace of the provided object does not match the namespace sent on the request",
	} {
		err := c.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("eviction").Body([]byte(body)).Do(t.Context()).Error()
		if !apierrors.IsBadRequest(err) || err.Error() != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := c.PolicyV1().Evictions("default").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}); err != nil {
		t.Error(err)
	}
	if _, err := c.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an evicted pod without a node: %v", err)
	}
}

// TestEventsReachBothAPIs records with client-go's recorder of events.k8s.io and reads in core/v1.
func TestEventsReachBothAPIs(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	w, err := c.CoreV1().Events("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	b := events.NewBroadcaster(&events.EventSinkImpl{Interface: c.EventsV1()})
	defer b.Shutdown()
	if err := b.StartRecordingToSinkWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	regarding := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}}
	b.NewRecorder(scheme.Scheme, "tester").Eventf(regarding, nil, corev1.EventTypeNormal, "Tested", "Testing", "it %s", "works")
	select {
	case e := <-w.ResultChan():
		got, ok := e.Object.(*corev1.Event)
		if !ok || got.Reason != "Tested" || got.Message != "it works" || got.InvolvedObject.Name != "p" || got.ReportingController != "tester" {
			t.Errorf("core/v1 shows %+v", e.Object)
		}
	case <-ctx.Done():
		t.Fatal("no event came")
	}
	var _ kubernetes.Interface = c
}

// refusals is a node that answers every request with an error, in plain text.
type refusals struct{ code int }

func (n refusals) NodeHandler(context.Context, string) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `container "c" in pod "one" is waiting to start: ContainerCreating`, n.code)
	}), nil
}

func TestWhyThereAreNoLogsIsSaid(t *testing.T) {
	for code, is := range map[int]func(error) bool{400: apierrors.IsBadRequest, 404: apierrors.IsNotFound, 500: apierrors.IsInternalError} {
		s := newMemory(t, func(cfg *apiserver.Config) { cfg.Nodes = refusals{code} })
		must(t, s.Client(masters()), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
		made := must(t, s.Client(masters()), pod("one"))
		if err := s.Client(masters()).Bind(t.Context(), podKey("one"), made.UID, "n"); err != nil {
			t.Fatal(err)
		}
		_, err := clientset(t, listen(t, s)).CoreV1().Pods("default").GetLogs("one", &corev1.PodLogOptions{}).Stream(t.Context())
		if !is(err) || code != 404 && !strings.Contains(err.Error(), "is waiting to start: ContainerCreating") {
			t.Errorf("%d became %v", code, err)
		}
	}
}

// TestOpenAPIComesInProtobufToo, which is smaller and quicker to read than JSON.
func TestOpenAPIComesInProtobufToo(t *testing.T) {
	d, err := discovery.NewDiscoveryClientForConfig(listen(t, newMemory(t)))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := d.OpenAPIV3().Paths()
	const path = "apis/coordination.k8s.io/v1" // a small one
	if err != nil || paths[path] == nil {
		t.Fatalf("%v %v", err, paths)
	}
	data, err := paths[path].Schema("application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	if err != nil {
		t.Fatal(err)
	}
	var doc openapi_v3.Document
	if err := proto.Unmarshal(data, &doc); err != nil || len(doc.GetPaths().GetPath()) == 0 || len(doc.GetComponents().GetSchemas().GetAdditionalProperties()) == 0 {
		t.Errorf("%v, %d paths", err, len(doc.GetPaths().GetPath()))
	}
	text, err := paths[path].Schema("application/json")
	if err != nil || !strings.HasPrefix(string(text), "{") {
		t.Errorf("%v %.20s", err, text)
	}
}
