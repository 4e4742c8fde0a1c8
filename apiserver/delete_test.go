package apiserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver"
	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}},
	}
}

func podKey(name string) view.Key { return view.Key{Kind: kind.Pods, Namespace: "default", Name: name} }

func mapKey(name string) view.Key {
	return view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: name}
}

// must creates an object.
func must[T kind.Object](t testing.TB, c client.Client, obj T) T {
	t.Helper()
	out, err := c.Create(t.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out.(T)
}

func gone(t testing.TB, c *apiserver.Local, key view.Key) {
	t.Helper()
	if _, err := c.Get(t.Context(), key); !apierrors.IsNotFound(err) {
		t.Errorf("%s is still there (%v)", key, err)
	}
}

func TestUnscheduledPodIsDeletedAtOnce(t *testing.T) {
	c := newMemory(t).Client(masters())
	must(t, c, pod("p"))
	last, err := c.Delete(t.Context(), podKey("p"), metav1.DeleteOptions{})
	if err != nil || last.GetName() != "p" {
		t.Fatalf("delete: %v", err)
	}
	gone(t, c, podKey("p"))
}

func TestBoundPodGetsItsGracePeriodAndOnlyAShorterOneCounts(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := newMemory(t, func(cfg *apiserver.Config) { cfg.Now = func() time.Time { return now } }).Client(masters())
	made := must(t, c, pod("p"))
	if err := c.Bind(t.Context(), podKey("p"), made.UID, "node"); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name      string
		requested *int64
		wantGrace int64
		wantAt    time.Duration
	}{
		{"as the pod says", nil, 30, 30 * time.Second},
		{"longer does nothing", new(int64(60)), 30, 30 * time.Second},
		{"shorter", new(int64(5)), 5, 5 * time.Second},
		{"again without a wish", nil, 5, 5 * time.Second},
	}
	generation := int64(0)
	for _, step := range steps {
		obj, err := c.Delete(t.Context(), podKey("p"), metav1.DeleteOptions{GracePeriodSeconds: step.requested})
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if g := *obj.GetDeletionGracePeriodSeconds(); g != step.wantGrace {
			t.Errorf("%s: grace %d, want %d", step.name, g, step.wantGrace)
		}
		if at := obj.GetDeletionTimestamp().Sub(now); at != step.wantAt {
			t.Errorf("%s: deadline in %v, want %v", step.name, at, step.wantAt)
		}
		if generation == 0 {
			generation = obj.GetGeneration()
		}
		if obj.GetGeneration() != generation || generation < 2 {
			t.Errorf("%s: generation %d; the first deletion must raise it, the others not", step.name, obj.GetGeneration())
		}
	}
	if _, err := c.Delete(t.Context(), podKey("p"), metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		t.Fatal(err)
	}
	gone(t, c, podKey("p"))
}

func TestFinalizersHoldAnObjectUntilTheLastIsGone(t *testing.T) {
	c := newMemory(t).Client(masters())
	obj := configMap("held")
	obj.Finalizers = []string{"example.com/a", "example.com/b"}
	must(t, c, obj)
	held, err := c.Delete(t.Context(), mapKey("held"), metav1.DeleteOptions{})
	if err != nil || held.GetDeletionTimestamp() == nil {
		t.Fatalf("delete: %v %+v", err, held)
	}
	again, err := c.Delete(t.Context(), mapKey("held"), metav1.DeleteOptions{})
	if err != nil || again.GetResourceVersion() != held.GetResourceVersion() {
		t.Errorf("a second deletion wrote something: %v", err)
	}
	next := held.DeepCopyObject().(kind.Object)
	next.SetFinalizers([]string{"example.com/a", "example.com/c"})
	if _, err := c.Update(t.Context(), next, "", metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a finalizer was added to an object that is being deleted: %v", err)
	}
	next.SetFinalizers([]string{"example.com/a"})
	if _, err = c.Update(t.Context(), next, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Patch(t.Context(), mapKey("held"), types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), "", metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	gone(t, c, mapKey("held"))
}

func TestPropagationPolicyBecomesAFinalizer(t *testing.T) {
	for policy, want := range map[metav1.DeletionPropagation]string{
		metav1.DeletePropagationForeground: metav1.FinalizerDeleteDependents,
		metav1.DeletePropagationOrphan:     metav1.FinalizerOrphanDependents,
	} {
		c := newMemory(t).Client(masters())
		must(t, c, configMap("owner"))
		obj, err := c.Delete(t.Context(), mapKey("owner"), metav1.DeleteOptions{PropagationPolicy: &policy})
		if err != nil || len(obj.GetFinalizers()) != 1 || obj.GetFinalizers()[0] != want || obj.GetDeletionTimestamp() == nil {
			t.Errorf("%s: %v, finalizers %v", policy, err, obj.GetFinalizers())
		}
		background := metav1.DeletePropagationBackground
		if _, err := c.Delete(t.Context(), mapKey("owner"), metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			t.Fatal(err)
		}
		gone(t, c, mapKey("owner"))
	}
}

func TestPreconditionsProtectTheWrongObject(t *testing.T) {
	c := newMemory(t).Client(masters())
	made := must(t, c, configMap("x"))
	wrong, old := types.UID("other"), "1"
	for _, p := range []metav1.Preconditions{{UID: &wrong}, {ResourceVersion: &old}} {
		if _, err := c.Delete(t.Context(), mapKey("x"), metav1.DeleteOptions{Preconditions: &p}); !apierrors.IsConflict(err) {
			t.Errorf("precondition %v: %v", p, err)
		}
	}
	if _, err := c.Delete(t.Context(), mapKey("x"), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &made.UID, ResourceVersion: &made.ResourceVersion}}); err != nil {
		t.Error(err)
	}
}

func TestNamespaceGoesInTwoSteps(t *testing.T) {
	c := newMemory(t).Client(masters())
	key := view.Key{Kind: kind.Namespaces, Name: "team"}
	must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	obj, err := c.Delete(t.Context(), key, metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ns := obj.DeepCopyObject().(*corev1.Namespace)
	if ns.Status.Phase != corev1.NamespaceTerminating || ns.DeletionTimestamp == nil {
		t.Errorf("deleted namespace: %+v", ns)
	}
	inside := configMap("late")
	inside.Namespace = "team"
	if _, err := c.Create(t.Context(), inside, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("create in a namespace that is going away: %v", err)
	}
	ns.Spec.Finalizers = nil
	if _, err := c.Update(t.Context(), ns, "finalize", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	gone(t, c, key)
}

func TestDryRunChangesNothing(t *testing.T) {
	c := newMemory(t).Client(masters())
	all := []string{metav1.DryRunAll}
	made := must(t, c, configMap("x"))
	before := c.Snapshot().Revision()
	if _, err := c.Create(t.Context(), configMap("y"), metav1.CreateOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if _, err := c.Create(t.Context(), configMap("x"), metav1.CreateOptions{DryRun: all}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("dry run over an existing object: %v", err)
	}
	next := made.DeepCopy()
	next.Data["k"] = "dry"
	if out, err := c.Update(t.Context(), next, "", metav1.UpdateOptions{DryRun: all}); err != nil || out.(*corev1.ConfigMap).Data["k"] != "dry" {
		t.Errorf("dry update: %v", err)
	}
	if _, err := c.Delete(t.Context(), mapKey("x"), metav1.DeleteOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if c.Snapshot().Revision() != before {
		t.Errorf("dry runs wrote: revision %d -> %d", before, c.Snapshot().Revision())
	}
	if _, err := c.Create(t.Context(), configMap("y"), metav1.CreateOptions{DryRun: []string{"some"}}); !apierrors.IsInvalid(err) {
		t.Errorf("unknown dry run option: %v", err)
	}
}

func TestPodIsBoundOnce(t *testing.T) {
	c := newMemory(t).Client(masters())
	made := must(t, c, pod("p"))
	if err := c.Bind(t.Context(), podKey("p"), "other", "n1"); !apierrors.IsConflict(err) {
		t.Errorf("bind of another pod: %v", err)
	}
	if err := c.Bind(t.Context(), podKey("p"), made.UID, "n1"); err != nil {
		t.Fatal(err)
	}
	bound, _ := view.Get[*corev1.Pod](c.Snapshot(), kind.Pods, "default", "p")
	if bound.Spec.NodeName != "n1" || len(bound.Status.Conditions) != 1 || bound.Status.Conditions[0].Type != corev1.PodScheduled {
		t.Errorf("bound pod: node %q, conditions %v", bound.Spec.NodeName, bound.Status.Conditions)
	}
	if err := c.Bind(t.Context(), podKey("p"), made.UID, "n2"); !apierrors.IsConflict(err) {
		t.Errorf("second bind: %v", err)
	}
}

func TestStatusAndSpecHaveSeparateWriters(t *testing.T) {
	c := newMemory(t).Client(masters())
	made := must(t, c, pod("p"))
	next := made.DeepCopy()
	next.Status.Phase = corev1.PodRunning
	next.Spec.Containers[0].Image = "other"
	obj, err := c.Update(t.Context(), next, "status", metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := obj.(*corev1.Pod); p.Status.Phase != corev1.PodRunning || p.Spec.Containers[0].Image != "busybox" {
		t.Errorf("status update: phase %s, image %s", p.Status.Phase, p.Spec.Containers[0].Image)
	}
	next = obj.(*corev1.Pod).DeepCopy()
	next.Status.Phase = corev1.PodFailed
	next.Spec.Containers[0].Image = "new"
	obj, err = c.Update(t.Context(), next, "", metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := obj.(*corev1.Pod); p.Status.Phase != corev1.PodRunning || p.Spec.Containers[0].Image != "new" || p.Generation != 2 {
		t.Errorf("update: phase %s, image %s, generation %d", p.Status.Phase, p.Spec.Containers[0].Image, p.Generation)
	}
}

func TestGeneratedNamesAreMadeFromTheirBase(t *testing.T) {
	c := newMemory(t).Client(masters())
	seen := map[string]bool{}
	for range 20 {
		obj := configMap("")
		obj.GenerateName = "gen-"
		made := must(t, c, obj)
		if len(made.Name) != len("gen-")+5 || seen[made.Name] {
			t.Errorf("name %q", made.Name)
		}
		seen[made.Name] = true
	}
}

func TestCollectionsAreDeletedBySelectorAndLimit(t *testing.T) {
	cfg := listen(t, newMemory(t))
	api := clientset(t, cfg).CoreV1().ConfigMaps("default")
	for _, name := range []string{"a", "b", "c", "d"} {
		cm := configMap(name)
		cm.Labels = map[string]string{"even": fmt.Sprint(name == "b" || name == "d")}
		if _, err := api.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want ...string) {
		t.Helper()
		list, err := api.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, cm := range list.Items {
			names = append(names, cm.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("left: %v, want %v", names, want)
		}
	}
	all := []string{metav1.DryRunAll}
	if err := api.DeleteCollection(t.Context(), metav1.DeleteOptions{DryRun: all}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	left("a", "b", "c", "d")
	if err := api.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "even=true"}); err != nil {
		t.Error(err)
	}
	left("a", "c")
	if err := api.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{Limit: 1}); err != nil {
		t.Error(err)
	}
	left("c")
	foreground := metav1.DeletePropagationForeground
	if err := api.DeleteCollection(t.Context(), metav1.DeleteOptions{PropagationPolicy: &foreground}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	cm, err := api.Get(t.Context(), "c", metav1.GetOptions{})
	if err != nil || cm.DeletionTimestamp == nil || !slices.Contains(cm.Finalizers, metav1.FinalizerDeleteDependents) {
		t.Errorf("in the foreground: %v %+v", err, cm)
	}
	err = clientset(t, cfg).CoreV1().ConfigMaps("").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	if !apierrors.IsMethodNotSupported(err) {
		t.Errorf("in all namespaces at once: %v", err)
	}
}

// TestDeletionsAnswerWithTheObjectOrAStatus: which kinds are answered with what is upstream's choice for each.
func TestDeletionsAnswerWithTheObjectOrAStatus(t *testing.T) {
	s := newMemory(t)
	url := plain(t, s)
	const core = "/api/v1/namespaces/default/"
	for name, test := range map[string]struct{ path, body, want string }{
		"configmap":       {core + "configmaps", `{"metadata":{"name":"x"}}`, "Status"},
		"secret":          {core + "secrets", `{"metadata":{"name":"x"}}`, "Status"},
		"event":           {core + "events", `{"metadata":{"name":"x"},"involvedObject":{"namespace":"default"}}`, "Status"},
		"pod":             {core + "pods", `{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i"}]}}`, "Pod"},
		"service":         {core + "services", `{"metadata":{"name":"x"},"spec":{"ports":[{"port":80}]}}`, "Service"},
		"service account": {core + "serviceaccounts", `{"metadata":{"name":"x"}}`, "ServiceAccount"},
		"quota":           {core + "resourcequotas", `{"metadata":{"name":"x"},"spec":{"hard":{"pods":"100"}}}`, "ResourceQuota"},
		"pod template":    {core + "podtemplates", `{"metadata":{"name":"x"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}`, "PodTemplate"},
		"storage class":   {"/apis/storage.k8s.io/v1/storageclasses", `{"metadata":{"name":"x"},"provisioner":"a.b/c"}`, "StorageClass"},
		"driver":          {"/apis/storage.k8s.io/v1/csidrivers", `{"metadata":{"name":"x"},"spec":{}}`, "CSIDriver"},
		"driver's node":   {"/apis/storage.k8s.io/v1/csinodes", `{"metadata":{"name":"x"},"spec":{"drivers":[]}}`, "CSINode"},
		"priority class":  {"/apis/scheduling.k8s.io/v1/priorityclasses", `{"metadata":{"name":"x"},"value":5}`, "Status"},
	} {
		if code, _, body := send(t, "POST", url+test.path, test.body); code != 201 {
			t.Fatalf("%s: %d %s", name, code, body)
		}
		code, _, body := send(t, "DELETE", url+test.path+"/x", "")
		if code != 200 || !strings.Contains(body, `"kind":"`+test.want+`"`) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

func TestADeletionThatIsPendingTakesNoOtherWish(t *testing.T) {
	c := newMemory(t).Client(masters())
	p := pod("p")
	p.Spec.NodeName = "n"
	must(t, c, p)
	begun, err := c.Delete(t.Context(), podKey("p"), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []metav1.DeleteOptions{
		{PropagationPolicy: new(metav1.DeletePropagationForeground)},
		{PropagationPolicy: new(metav1.DeletePropagationOrphan), GracePeriodSeconds: new(int64(60))},
	} {
		again, err := c.Delete(t.Context(), podKey("p"), opts)
		if err != nil || again.GetResourceVersion() != begun.GetResourceVersion() {
			t.Errorf("%+v: %v, finalizers %v", opts, err, again.GetFinalizers())
		}
	}
}

func TestNothingHangsOnAnEvent(t *testing.T) {
	c := newMemory(t).Client(masters())
	key := view.Key{Kind: kind.Events, Namespace: "default", Name: "e"}
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		must(t, c, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Namespace: "default"}})
		if _, err := c.Delete(t.Context(), key, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Error(err)
		}
		gone(t, c, key)
	}
}

func TestNamesThatAreTakenSayByWhat(t *testing.T) {
	s := newMemory(t)
	maps := plain(t, s) + "/api/v1/namespaces/default/configmaps"
	for _, body := range []string{`{"metadata":{"name":"held","finalizers":["a.b/c"]}}`, `{"metadata":{"name":"there"}}`} {
		if code, _, text := send(t, "POST", maps, body); code != 201 {
			t.Fatal(text)
		}
	}
	if code, _, text := send(t, "DELETE", maps+"/held", ""); code != 200 {
		t.Fatal(text)
	}
	for body, want := range map[string]string{
		`{"metadata":{"name":"there"}}`:                     `"message":"configmaps \"there\" already exists"`,
		`{"metadata":{"name":"held"}}`:                      `"message":"object is being deleted: configmaps \"held\" already exists"`,
		`{"metadata":{"name":"there","generateName":"th"}}`: `"message":"configmaps \"there\" already exists, the server was not able to generate a unique name for the object"`,
	} {
		for _, query := range []string{"", "?dryRun=All"} {
			code, _, text := send(t, "POST", maps+query, body)
			if code != 409 || !strings.Contains(text, want) || !strings.Contains(text, `"reason":"AlreadyExists"`) {
				t.Errorf("%s%s: %d %s", body, query, code, text)
			}
		}
	}
}

func TestPriorityClassesAreNotCreatedByPut(t *testing.T) {
	url := plain(t, newMemory(t)) + "/apis/scheduling.k8s.io/v1/priorityclasses/x"
	code, _, body := send(t, "PUT", url, `{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"x"},"value":5}`)
	if code != 404 {
		t.Errorf("%d %s", code, body)
	}
}

func TestFinalizeMayChangeTheMetadataAndNotTheStatus(t *testing.T) {
	s := newMemory(t)
	url := plain(t, s) + "/api/v1/namespaces/n"
	must(t, s.Client(masters()), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
	code, _, body := send(t, "PUT", url+"/finalize", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","labels":{"l":"1"}},
		"spec":{"finalizers":["kubernetes","a.b/c"]},"status":{"phase":"Terminating"}}`)
	for _, want := range []string{`"l":"1"`, `"finalizers":["kubernetes","a.b/c"]`, `"phase":"Active"`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d %s, want %s", code, body, want)
		}
	}
}
