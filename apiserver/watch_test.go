package apiserver_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"sampan/kind"
	"sampan/store/memory"
)

// expect reads one event, as "TYPE name".
func expect(t *testing.T, w watch.Interface, want string) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatalf("watch ended, want %s", want)
		}
		got := string(e.Type)
		if o, ok := e.Object.(metav1.Object); ok && o.GetName() != "" {
			got += " " + o.GetName()
		}
		if got != want {
			t.Fatalf("got event %s, want %s (%+v)", got, want, e.Object)
		}
		return e
	case <-soon(t).Done():
		t.Fatalf("no event, want %s", want)
	}
	panic("unreachable")
}

func both(t *testing.T, f func(t *testing.T, c *kubernetes.Clientset)) {
	cfg := listen(t, newMemory(t))
	for name, media := range map[string]string{"json": "application/json", "protobuf": "application/vnd.kubernetes.protobuf"} {
		t.Run(name, func(t *testing.T) {
			own := rest.CopyConfig(cfg)
			own.ContentType, own.AcceptContentTypes = media, media
			f(t, clientset(t, own))
		})
	}
}

func TestWatchTellsEveryChangeAfterARevision(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		api, ctx := c.CoreV1().ConfigMaps("default"), t.Context()
		first, err := api.Create(ctx, configMap("first"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		api.Create(ctx, configMap("second"), metav1.CreateOptions{})
		w, err := api.Watch(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		expect(t, w, "ADDED second")
		first.Data["k"] = "changed"
		changed, err := api.Update(ctx, first, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e := expect(t, w, "MODIFIED first")
		if got := e.Object.(*corev1.ConfigMap); got.Data["k"] != "changed" || got.ResourceVersion != changed.ResourceVersion {
			t.Errorf("event shows %+v", got)
		}
		api.Delete(ctx, "first", metav1.DeleteOptions{})
		e = expect(t, w, "DELETED first")
		if got := e.Object.(*corev1.ConfigMap); got.ResourceVersion == changed.ResourceVersion || got.Data["k"] != "changed" {
			t.Errorf("last state has revision %s, data %v; want the removal's revision", got.ResourceVersion, got.Data)
		}
		api.Delete(ctx, "second", metav1.DeleteOptions{})
		expect(t, w, "DELETED second")
	})
}

// TestWatchShowsEachChangeAfterItBegan and does not fold them into the state that it begins with: the answer's head says
// that it began, and everything is written before anybody reads on.
func TestWatchShowsEachChangeAfterItBegan(t *testing.T) {
	s := newMemory(t)
	began := make(chan struct{})
	c := s.Client(masters())
	rec := &heldBack{ResponseRecorder: httptest.NewRecorder(), head: began, goOn: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1", nil))
	}()
	<-began
	obj := must(t, c, configMap("x"))
	obj = obj.DeepCopy()
	obj.Data["k"] = "2"
	if _, err := c.Update(t.Context(), obj, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	close(rec.goOn)
	<-ended
	if got := rec.Body.String(); strings.Count(got, `"type":"ADDED"`) != 1 || strings.Count(got, `"type":"MODIFIED"`) != 1 {
		t.Errorf("the watch shows %s", got)
	}
}

// heldBack is a response whose first flush, that of its head, takes until it may go on.
type heldBack struct {
	*httptest.ResponseRecorder
	once       sync.Once
	head, goOn chan struct{}
}

func (w *heldBack) Flush() {
	w.once.Do(func() {
		close(w.head)
		<-w.goOn
	})
}

// TestQueryFlagsAreSetByAnyWordButFalse as upstream's decoder of queries has it.
func TestQueryFlagsAreSetByAnyWordButFalse(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s) + "/api/v1/namespaces/default/configmaps?timeoutSeconds=1&watch"
	for query, watches := range map[string]bool{"": true, "=": true, "=1": true, "=true": true, "=TRUE": true, "=yes": true, "=0": false, "=false": false, "=False": false} {
		_, _, body := send(t, "GET", url+query, "")
		if got := strings.HasPrefix(body, `{"type":"ADDED"`); got != watches {
			t.Errorf("watch%s: %.60s", query, body)
		}
	}
}

func TestWatchShowsLeavingTheSelectionAsDeletion(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		api, ctx := c.CoreV1().ConfigMaps("default"), t.Context()
		w, err := api.Watch(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		obj, err := api.Create(ctx, configMap("x"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		obj.Labels = map[string]string{"app": "web"}
		obj, _ = api.Update(ctx, obj, metav1.UpdateOptions{})
		expect(t, w, "ADDED x")
		obj.Data["k"] = "2"
		obj, _ = api.Update(ctx, obj, metav1.UpdateOptions{})
		expect(t, w, "MODIFIED x")
		obj.Labels = nil
		obj, _ = api.Update(ctx, obj, metav1.UpdateOptions{})
		if e := expect(t, w, "DELETED x"); e.Object.(*corev1.ConfigMap).ResourceVersion != obj.ResourceVersion {
			t.Errorf("deletion by selector has revision %s, want %s", e.Object.(*corev1.ConfigMap).ResourceVersion, obj.ResourceVersion)
		}
		api.Delete(ctx, "x", metav1.DeleteOptions{})
		api.Create(ctx, func() *corev1.ConfigMap { y := configMap("y"); y.Labels = map[string]string{"app": "web"}; return y }(), metav1.CreateOptions{})
		expect(t, w, "ADDED y") // nothing of x's real deletion
		api.Delete(ctx, "y", metav1.DeleteOptions{})
	})
}

func TestWatchListBeginsWithTheStateAndMarksItsEnd(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		api, ctx := c.CoreV1().ConfigMaps("default"), t.Context()
		api.Create(ctx, configMap("there"), metav1.CreateOptions{})
		yes := true
		w, err := api.Watch(ctx, metav1.ListOptions{
			SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		expect(t, w, "ADDED there")
		mark := expect(t, w, "BOOKMARK").Object.(*corev1.ConfigMap)
		if mark.Annotations[metav1.InitialEventsAnnotationKey] != "true" || mark.ResourceVersion == "" {
			t.Errorf("bookmark: %+v", mark.ObjectMeta)
		}
		api.Create(ctx, configMap("later"), metav1.CreateOptions{})
		expect(t, w, "ADDED later")
		api.Delete(ctx, "there", metav1.DeleteOptions{})
		api.Delete(ctx, "later", metav1.DeleteOptions{})
	})
}

func TestWatchFromForgottenRevisionIsExpired(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		w, err := c.CoreV1().Services("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		// Every kind's history is kept, so only what was before the server's start is forgotten; revision 1
		// is not. Nothing happened to Services since but the one of Bootstrap.
		expect(t, w, "ADDED kubernetes")
	})
	s := newMemory(t)
	l := s.Client(masters())
	for i := range 2 * 1024 {
		if _, err := l.Create(t.Context(), configMap(fmt.Sprint("c", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := l.Since(1); !ok {
		t.Errorf("changes of the last minute are forgotten")
	}
}

func TestWatchEndsAfterItsTime(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	second := int64(1)
	w, err := c.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	for e := range w.ResultChan() {
		t.Errorf("unexpected event %v", e)
	}
}

func TestInformerFollowsTheServer(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		factory := informers.NewSharedInformerFactory(c, 0)
		informer := factory.Core().V1().ConfigMaps().Informer()
		changes := make(chan string, 100)
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { changes <- "add " + o.(*corev1.ConfigMap).Name },
			UpdateFunc: func(_, o any) { changes <- "update " + o.(*corev1.ConfigMap).Name },
			DeleteFunc: func(o any) { changes <- "delete " + o.(*corev1.ConfigMap).Name },
		})
		api := c.CoreV1().ConfigMaps("default")
		api.Create(ctx, configMap("a"), metav1.CreateOptions{})
		factory.Start(ctx.Done())
		defer factory.Shutdown()
		defer cancel()
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			t.Fatal("informer did not sync")
		}
		obj, _ := api.Create(ctx, configMap("b"), metav1.CreateOptions{})
		obj.Data["k"] = "2"
		api.Update(ctx, obj, metav1.UpdateOptions{})
		api.Delete(ctx, "a", metav1.DeleteOptions{})
		api.Delete(ctx, "b", metav1.DeleteOptions{})
		for _, want := range []string{"add a", "add b", "update b", "delete a", "delete b"} {
			select {
			case got := <-changes:
				if got != want {
					t.Fatalf("informer saw %q, want %q", got, want)
				}
			case <-soon(t).Done():
				t.Fatalf("informer did not see %q", want)
			}
		}
	})
}

func TestListGoesOnWhereThePageEnded(t *testing.T) {
	both(t, func(t *testing.T, c *kubernetes.Clientset) {
		api, ctx := c.CoreV1().ConfigMaps("default"), t.Context()
		for i := range 5 {
			api.Create(ctx, configMap(fmt.Sprint("p", i)), metav1.CreateOptions{})
		}
		page, err := api.List(ctx, metav1.ListOptions{Limit: 2})
		if err != nil || len(page.Items) != 2 || page.Continue == "" || page.RemainingItemCount == nil || *page.RemainingItemCount != 3 {
			t.Fatalf("first page: %v %+v", err, page.ListMeta)
		}
		revision := page.ResourceVersion
		// The pages show one revision, whatever is written between them.
		api.Delete(ctx, "p4", metav1.DeleteOptions{})
		api.Create(ctx, configMap("p9"), metav1.CreateOptions{})
		names := []string{page.Items[0].Name, page.Items[1].Name}
		for page.Continue != "" {
			if page, err = api.List(ctx, metav1.ListOptions{Limit: 2, Continue: page.Continue}); err != nil {
				t.Fatal(err)
			}
			if page.ResourceVersion != revision {
				t.Errorf("page at revision %s, want %s", page.ResourceVersion, revision)
			}
			for _, item := range page.Items {
				names = append(names, item.Name)
			}
		}
		if got := fmt.Sprint(names); got != "[p0 p1 p2 p3 p4]" {
			t.Errorf("pages show %s", got)
		}
		for _, n := range append(names, "p9") {
			api.Delete(ctx, n, metav1.DeleteOptions{})
		}
		if _, err := api.List(ctx, metav1.ListOptions{Continue: "rubbish"}); !apierrors.IsBadRequest(err) {
			t.Errorf("bad continue: %v", err)
		}
		if _, err := api.List(ctx, metav1.ListOptions{FieldSelector: "spec.foo=1"}); !apierrors.IsBadRequest(err) {
			t.Errorf("unknown field: %v", err)
		}
	})
}

func TestPageThatOutlivedItsHistoryIsExpired(t *testing.T) {
	st := memory.New()
	s := newServer(t, st)
	c, ctx := clientset(t, listen(t, s)).CoreV1().ConfigMaps("default"), t.Context()
	for i := range 3 {
		must(t, s.Client(masters()), configMap(fmt.Sprint("p", i)))
	}
	page, err := c.List(ctx, metav1.ListOptions{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Client(masters()), configMap("p3"))
	if err := st.Compact(ctx, st.Revision()); err != nil {
		t.Fatal(err)
	}
	_, err = c.List(ctx, metav1.ListOptions{Limit: 2, Continue: page.Continue})
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("old page: %v", err)
	}
	rest, err := c.List(ctx, metav1.ListOptions{Continue: err.(apierrors.APIStatus).Status().Continue})
	if err != nil || len(rest.Items) != 2 || rest.Items[0].Name != "p2" {
		t.Errorf("the rest, inconsistent: %v %v", err, rest)
	}
	_, err = c.List(ctx, metav1.ListOptions{ResourceVersion: "2", ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if !apierrors.IsResourceExpired(err) || err.Error() != "The resourceVersion for the provided list is too old." || err.(apierrors.APIStatus).Status().Continue != "" {
		t.Errorf("list at a forgotten revision: %v", err)
	}
}

func TestReadsAfterAnAcknowledgedWriteSeeIt(t *testing.T) {
	s := newMemory(t)
	done := make(chan error, 16)
	for w := range cap(done) {
		go func() {
			c := s.Client(masters())
			for i := range 50 {
				name := fmt.Sprintf("w%d-%d", w, i)
				made, err := c.Create(t.Context(), configMap(name), metav1.CreateOptions{})
				if err == nil {
					var got kind.Object
					if got, err = c.Get(t.Context(), mapKey(name)); err == nil && got != made {
						err = fmt.Errorf("%s: the view has another object than the writer got", name)
					}
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
