package apiserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"sampan/apiserver"
	"sampan/kind"
	"sampan/view"
)

// applyDeployment sends an apply patch for a Deployment.
func applyDeployment(t *testing.T, c *kubernetes.Clientset, manager, patch string, force bool, sub ...string) (*appsv1.Deployment, error) {
	t.Helper()
	return c.AppsV1().Deployments("default").Patch(t.Context(), "web", types.ApplyYAMLPatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: manager, Force: &force}, sub...)
}

const webDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, env: [{name: A, value: "1"}]}
`

func TestApplyCreatesAndRemembersWhoSetWhat(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	d, err := applyDeployment(t, c, "alice", webDeployment, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.ManagedFields) != 1 {
		t.Fatalf("records: %+v", d.ManagedFields)
	}
	r := d.ManagedFields[0]
	if r.Manager != "alice" || r.Operation != metav1.ManagedFieldsOperationApply || r.APIVersion != "apps/v1" || r.Time.IsZero() {
		t.Errorf("record: %+v", r)
	}
	for _, want := range []string{`"f:replicas":{}`, `k:{\"name\":\"web\"}`, `k:{\"name\":\"A\"}`, `"f:tier":{}`} {
		if !strings.Contains(string(r.FieldsV1.GetRawBytes()), want) {
			t.Errorf("%s is not in %s", want, r.FieldsV1.GetRawBytes())
		}
	}
	again, err := applyDeployment(t, c, "alice", webDeployment, false)
	if err != nil || again.ResourceVersion != d.ResourceVersion {
		t.Errorf("the same once more: %v, revision %s became %s", err, d.ResourceVersion, again.ResourceVersion)
	}
}

func TestApplyOfAnothersFieldIsAConflict(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	if _, err := applyDeployment(t, c, "alice", webDeployment, false); err != nil {
		t.Fatal(err)
	}
	three := strings.Replace(webDeployment, "replicas: 2", "replicas: 3", 1)
	_, err := applyDeployment(t, c, "bob", three, false)
	if !apierrors.IsConflict(err) {
		t.Fatalf("want a conflict, got %v", err)
	}
	status := err.(apierrors.APIStatus).Status()
	if want := `Apply failed with 1 conflict: conflict with "alice": .spec.replicas`; status.Message != want {
		t.Errorf("message %q, want %q", status.Message, want)
	}
	if causes := status.Details.Causes; len(causes) != 1 || causes[0].Type != metav1.CauseTypeFieldManagerConflict || causes[0].Field != ".spec.replicas" {
		t.Errorf("causes: %+v", causes)
	}
	d, err := applyDeployment(t, c, "bob", three, true)
	if err != nil || *d.Spec.Replicas != 3 {
		t.Fatalf("forced: %v %v", err, d)
	}
	// Alice's claim on the replicas is gone, so what she leaves out now stays bob's.
	less := strings.Replace(webDeployment, "  replicas: 2\n", "", 1)
	if d, err = applyDeployment(t, c, "alice", less, false); err != nil || *d.Spec.Replicas != 3 {
		t.Errorf("after alice gave the replicas up: %v %v", err, *d.Spec.Replicas)
	}
}

func TestApplyRemovesWhatItsManagerLeavesOut(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	if _, err := applyDeployment(t, c, "alice", webDeployment, false); err != nil {
		t.Fatal(err)
	}
	// Another manager adds a variable of its own to the same container.
	_, err := applyDeployment(t, c, "bob", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"B","value":"2"}]}]}}}}`, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := applyDeployment(t, c, "alice", strings.Replace(webDeployment, `, env: [{name: A, value: "1"}]`, "", 1), false)
	if err != nil {
		t.Fatal(err)
	}
	if env := d.Spec.Template.Spec.Containers[0].Env; len(env) != 1 || env[0].Name != "B" {
		t.Errorf("environment: %+v", env)
	}
	if d.Labels["tier"] != "front" {
		t.Errorf("labels: %v", d.Labels)
	}
}

func TestWritesOfOtherKindsAreRecorded(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	api := c.AppsV1().Deployments("default")
	if _, err := applyDeployment(t, c, "alice", webDeployment, false); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	_, err := applyDeployment(t, c, "alice", webDeployment, false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "kubectl-edit" using apps/v1`) {
		t.Errorf("want a conflict with kubectl-edit, got %v", err)
	}
	if _, err := api.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"status":{"observedGeneration":1}}`), metav1.PatchOptions{FieldManager: "ctrl"}, "status"); err != nil {
		t.Fatal(err)
	}
	d, err := api.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var status *metav1.ManagedFieldsEntry
	for i := range d.ManagedFields {
		if d.ManagedFields[i].Manager == "ctrl" {
			status = &d.ManagedFields[i]
		}
	}
	if status == nil || status.Subresource != "status" || string(status.FieldsV1.GetRawBytes()) != `{"f:status":{"f:observedGeneration":{}}}` {
		t.Errorf("record of the status: %+v", status)
	}
}

func TestScaleTakesTheReplicasFromTheirManager(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	if _, err := applyDeployment(t, c, "alice", webDeployment, false); err != nil {
		t.Fatal(err)
	}
	api := c.AppsV1().Deployments("default")
	scale, err := api.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 7
	if _, err := api.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{FieldManager: "scaler"}); err != nil {
		t.Fatal(err)
	}
	_, err = applyDeployment(t, c, "alice", webDeployment, false)
	if want := `conflict with "scaler" with subresource "scale" using apps/v1`; !apierrors.IsConflict(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("want a %s, got %v", want, err)
	}
	force := true
	_, err = c.AppsV1().Deployments("default").Patch(t.Context(), "web", types.ApplyYAMLPatchType,
		[]byte(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web"},"spec":{"replicas":4}}`),
		metav1.PatchOptions{FieldManager: "hpa", Force: &force}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	d, err := api.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 4 {
		t.Errorf("%v, %d replicas", err, *d.Spec.Replicas)
	}
}

func TestScaleIsShownAsATable(t *testing.T) {
	s := newMemory(t)
	if _, err := applyDeployment(t, clientset(t, listen(t, s)), "alice", webDeployment, false); err != nil {
		t.Fatal(err)
	}
	const path = "/apis/apps/v1/namespaces/default/deployments/web/scale"
	rec := ask(t, s.Handler(), "GET", path, "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	var table metav1.Table
	if err := json.Unmarshal(rec.Body.Bytes(), &table); err != nil || table.Kind != "Table" || len(table.Rows) != 1 {
		t.Fatalf("%v, %s", err, rec.Body)
	}
	var columns []string
	for _, c := range table.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if got := strings.Join(columns, " "); got != "Name Desired Available Age" {
		t.Errorf("columns %s", got)
	}
	if got := fmt.Sprint(table.Rows[0].Cells[:3]); got != "[web 2 0]" {
		t.Errorf("cells %s", got)
	}
	rec = ask(t, s.Handler(), "GET", path, "", "Accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
	if body := rec.Body.String(); !strings.Contains(body, `"kind":"PartialObjectMetadata"`) || strings.Contains(body, `"spec"`) {
		t.Errorf("metadata only: %s", body)
	}
}

// recordsOf returns the records of an object as "manager operation subresource" each.
func recordsOf(obj metav1.Object) []string {
	var out []string
	for _, e := range obj.GetManagedFields() {
		out = append(out, strings.TrimSpace(e.Manager+" "+string(e.Operation)+" "+e.Subresource))
	}
	return out
}

func TestPartsOfThisProcessAreRecordedByTheNameOfTheirProgram(t *testing.T) {
	s := newMemory(t)
	manager, kubelet := s.Client(masters()).ManagedBy("kube-controller-manager"), s.Client(masters()).ManagedBy("kubelet")
	made := must(t, manager, pod("p"))
	if err := s.Client(masters()).ManagedBy("kube-scheduler").Bind(t.Context(), podKey("p"), made.UID, "n1"); err != nil {
		t.Fatal(err)
	}
	bound, err := kubelet.Get(t.Context(), podKey("p"))
	if err != nil {
		t.Fatal(err)
	}
	ran := bound.(*corev1.Pod).DeepCopy()
	ran.Status.Phase = corev1.PodRunning
	obj, err := kubelet.Update(t.Context(), ran, "status", metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(recordsOf(obj)); got != "[kube-controller-manager Update kubelet Update status]" {
		t.Errorf("records: %s", got)
	}
	for i, wants := range []string{`"f:image":{}`, `{"f:status":{"f:phase":{}}}`} {
		if fields := string(obj.GetManagedFields()[i].FieldsV1.GetRawBytes()); !strings.Contains(fields, wants) || strings.Contains(fields, "nodeName") {
			t.Errorf("fields: %s, want %s, and nobody's nodeName", fields, wants)
		}
	}
	// The API server's own objects too.
	for _, key := range []view.Key{{Kind: kind.Namespaces, Name: "default"}, {Kind: kind.ClusterRoles, Name: "view"}} {
		own, err := kubelet.Get(t.Context(), key)
		if got := fmt.Sprint(recordsOf(own)); err != nil || got != "[kube-apiserver Update]" {
			t.Errorf("records of %s: %s %v", key, got, err)
		}
	}
}

func TestTheTimeOfARecordAloneIsNoChange(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Now = func() time.Time { return clock } })
	c := s.Client(masters()).ManagedBy("controller")
	must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	update := func(change func(*corev1.Namespace)) *corev1.Namespace {
		t.Helper()
		clock = clock.Add(time.Hour)
		cur, err := c.Get(t.Context(), view.Key{Kind: kind.Namespaces, Name: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		next := cur.(*corev1.Namespace).DeepCopy()
		change(next)
		obj, err := c.Update(t.Context(), next, "", metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return obj.(*corev1.Namespace)
	}
	// Finalizers are not changed by an update. The writer is recorded for them all the same: first a field, then a time.
	first := update(func(ns *corev1.Namespace) { ns.Spec.Finalizers = []corev1.FinalizerName{"example.com/a"} })
	again := update(func(ns *corev1.Namespace) { ns.Spec.Finalizers = []corev1.FinalizerName{"example.com/b"} })
	if again.ResourceVersion != first.ResourceVersion {
		t.Errorf("revision %s became %s by %+v", first.ResourceVersion, again.ResourceVersion, again.ManagedFields)
	}
	update(func(ns *corev1.Namespace) { ns.Labels["tier"] = "front" })
	last := update(func(ns *corev1.Namespace) { ns.Labels["tier"] = "back" })
	if records := last.ManagedFields; len(records) != 1 || !records[0].Time.Time.Equal(clock) {
		t.Errorf("another value of the same field: records %+v, want one of %s", records, clock)
	}
}

func TestApplyConflictsWithAControllerThatScaled(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	if _, err := applyDeployment(t, c, "alice", strings.Replace(webDeployment, "  replicas: 2\n", "", 1), false); err != nil {
		t.Fatal(err)
	}
	key := view.Key{Kind: kind.Deployments, Namespace: "default", Name: "web"}
	if _, err := s.Client(masters()).ManagedBy("kube-controller-manager").Patch(t.Context(), key, types.MergePatchType,
		[]byte(`{"spec":{"replicas":4}}`), "scale", metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := applyDeployment(t, c, "alice", webDeployment, false)
	if want := `conflict with "kube-controller-manager" with subresource "scale" using apps/v1: .spec.replicas`; !apierrors.IsConflict(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	d, err := applyDeployment(t, c, "alice", webDeployment, true)
	if err != nil || *d.Spec.Replicas != 2 || fmt.Sprint(recordsOf(d)) != "[alice Apply]" {
		t.Errorf("forced: %v, %d replicas, %v", err, *d.Spec.Replicas, recordsOf(d))
	}
}

func TestObjectsWithoutRecordsAreRecordedFromTheFirstApplyOn(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	must(t, s.Client(masters()), configMap("made"))
	old, err := c.CoreV1().ConfigMaps("default").Patch(t.Context(), "made", types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`), metav1.PatchOptions{})
	if err != nil || len(old.ManagedFields) != 0 {
		t.Fatalf("%v %+v", err, old.ManagedFields)
	}
	if _, err := c.CoreV1().ConfigMaps("default").Patch(t.Context(), "made", types.MergePatchType, []byte(`{"data":{"x":"y"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	cm, err := c.CoreV1().ConfigMaps("default").Patch(t.Context(), "made", types.ApplyYAMLPatchType,
		[]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {own: o}\n"), metav1.PatchOptions{FieldManager: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if len(cm.ManagedFields) != 2 || cm.Data["own"] != "o" || cm.Data["x"] != "y" {
		t.Errorf("%+v", cm)
	}
	_, err = c.CoreV1().ConfigMaps("default").Patch(t.Context(), "made", types.ApplyYAMLPatchType,
		[]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {own: o, x: z}\n"), metav1.PatchOptions{FieldManager: "alice"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "before-first-apply") {
		t.Errorf("want a conflict with what was there before, got %v", err)
	}
}

func TestBadAppliesAreRefused(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	yes := true
	for name, test := range map[string]struct {
		patch string
		opts  metav1.PatchOptions
		typ   types.PatchType
		code  int32
		want  string
	}{
		"no manager":        {webDeployment, metav1.PatchOptions{}, "", 422, `PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch`},
		"force elsewhere":   {`{}`, metav1.PatchOptions{Force: &yes}, types.MergePatchType, 422, "force: Forbidden: may not be specified for non-apply patch"},
		"manager too long":  {webDeployment, metav1.PatchOptions{FieldManager: strings.Repeat("x", 129)}, "", 422, "fieldManager: Too long"},
		"unknown field":     {strings.Replace(webDeployment, "replicas: 2", "replicaz: 2", 1), metav1.PatchOptions{FieldManager: "a"}, "", 400, ".spec.replicaz: field not declared in schema"},
		"another kind":      {strings.Replace(webDeployment, "kind: Deployment", "kind: Pod", 1), metav1.PatchOptions{FieldManager: "a"}, "", 400, "invalid object type: apps/v1, Kind=Pod"},
		"another name":      {strings.Replace(webDeployment, "name: web,", "name: wob,", 1), metav1.PatchOptions{FieldManager: "a"}, "", 400, "does not match the name on the URL"},
		"no YAML":           {"a: [", metav1.PatchOptions{FieldManager: "a"}, "", 400, "error decoding YAML"},
		"a list":            {"[1]", metav1.PatchOptions{FieldManager: "a"}, "", 400, "error decoding YAML"},
		"metadata a string": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: x", metav1.PatchOptions{FieldManager: "a"}, "", 400, "metadata"},
		"managed fields": {`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","managedFields":[{"manager":"x"}]}}`,
			metav1.PatchOptions{FieldManager: "a"}, "", 400, "metadata.managedFields must be nil"},
		"a UID of nothing": {`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","uid":"x"}}`,
			metav1.PatchOptions{FieldManager: "a"}, "", 409, "no existing object was found"},
		"twice, strict": {webDeployment + "kind: Deployment\n", metav1.PatchOptions{FieldManager: "a", FieldValidation: "Strict"}, "", 400, "error strict decoding YAML"},
		"invalid":       {strings.Replace(webDeployment, "replicas: 2", "replicas: -2", 1), metav1.PatchOptions{FieldManager: "a"}, "", 422, "must be greater than or equal to 0"},
	} {
		t.Run(name, func(t *testing.T) {
			typ := test.typ
			if typ == "" {
				typ = types.ApplyYAMLPatchType
			}
			_, err := c.AppsV1().Deployments("default").Patch(t.Context(), "web", typ, []byte(test.patch), test.opts)
			status, ok := err.(apierrors.APIStatus)
			if !ok || status.Status().Code != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %d and %q, got %v", test.code, test.want, err)
			}
		})
	}
}

func TestDryRunOfApplyWritesNothing(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	d, err := c.AppsV1().Deployments("default").Patch(t.Context(), "web", types.ApplyYAMLPatchType, []byte(webDeployment),
		metav1.PatchOptions{FieldManager: "alice", DryRun: []string{metav1.DryRunAll}})
	if err != nil || len(d.ManagedFields) != 1 {
		t.Errorf("%v %+v", err, d)
	}
	if _, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run: %v", err)
	}
}

func TestCreatedObjectsBelongToTheirCreator(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	made, err := c.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.ManagedFields) != 1 {
		t.Fatalf("records: %+v", made.ManagedFields)
	}
	var fields map[string]any
	if err := json.Unmarshal(made.ManagedFields[0].FieldsV1.GetRawBytes(), &fields); err != nil {
		t.Fatal(err)
	}
	spec, _ := fields["f:spec"].(map[string]any)
	if spec["f:terminationGracePeriodSeconds"] == nil || fields["f:status"] != nil {
		t.Errorf("fields: %s", made.ManagedFields[0].FieldsV1.GetRawBytes())
	}
}

func TestDuplicateItemsOfOldDoNotStopApply(t *testing.T) {
	s := newMemory(t)
	c := clientset(t, listen(t, s))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "dup"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "i", Env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}},
		Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 80, Name: "web"}},
	}}}}
	made, err := c.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{FieldManager: "alice"})
	if err != nil || len(made.ManagedFields) != 1 {
		t.Fatalf("%v %+v", err, made)
	}
	got, err := c.CoreV1().Pods("default").Patch(t.Context(), "dup", types.ApplyYAMLPatchType,
		[]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"dup","labels":{"x":"y"}}}`), metav1.PatchOptions{FieldManager: "bob"})
	if err != nil || got.Labels["x"] != "y" || len(got.Spec.Containers[0].Env) != 2 {
		t.Errorf("%v %+v", err, got)
	}
	got.Labels["z"] = "z"
	got, err = c.CoreV1().Pods("default").Update(t.Context(), got, metav1.UpdateOptions{FieldManager: "carol"})
	if err != nil || len(got.ManagedFields) != 3 {
		t.Errorf("%v %+v", err, got.ManagedFields)
	}
}

// TestWhatAWriteCannotChangeGetsNoOwner: a manager is recorded for what the request could set, not for what the server
// put back, whichever way it wrote.
func TestWhatAWriteCannotChangeGetsNoOwner(t *testing.T) {
	s := newMemory(t)
	url := plain(t, s)
	const owner = `"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"o","uid":"u"}]`
	for name, test := range map[string]struct {
		path, object      string // created
		sub, media, patch string // written by the manager m
		owns, lacks       []string
	}{
		"status of pods": {"/api/v1/namespaces/default/pods", `"spec":{"containers":[{"name":"c","image":"i"}]}`,
			"status", "merge-patch+json", `{"metadata":{"labels":{"l":"1"},` + owner + `},"spec":{"priority":7},"status":{"message":"m"}}`,
			[]string{"f:message", "f:l"}, []string{"f:spec", "f:ownerReferences"}},
		"status of others": {"/api/v1/namespaces/default/services", `"spec":{"ports":[{"port":80}]}`,
			"status", "merge-patch+json", `{"metadata":{"labels":{"l":"1"},` + owner + `},"spec":{"type":"NodePort"},"status":{"conditions":[{"type":"A","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`,
			[]string{"f:conditions", "f:l", "f:ownerReferences"}, []string{"f:spec"}},
		"status of deployments": {"/apis/apps/v1/namespaces/default/deployments", `"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}`,
			"status", "apply-patch+yaml", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"l":"1"},"annotations":{"n":"1"}},"spec":{"paused":true},"status":{"replicas":3}}`,
			[]string{"f:replicas", "f:n"}, []string{"f:spec", "f:l"}},
		"status of attachments": {"/apis/storage.k8s.io/v1/volumeattachments", `"spec":{"attacher":"a.b","nodeName":"n","source":{"persistentVolumeName":"pv"}}`,
			"status", "apply-patch+yaml", `{"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttachment","metadata":{"labels":{"l":"1"}},"status":{"attached":true}}`,
			[]string{"f:attached"}, []string{"f:metadata", "f:l"}},
		"containers to look at a pod": {"/api/v1/namespaces/default/pods", `"spec":{"containers":[{"name":"c","image":"i"}]}`,
			"ephemeralcontainers", "strategic-merge-patch+json", `{"metadata":{"labels":{"l":"1"}},"spec":{"priority":7,"ephemeralContainers":[{"name":"e","image":"i"}]}}`,
			[]string{"f:ephemeralContainers"}, []string{"f:priority", "f:l"}},
		"the object": {"/api/v1/namespaces/default/services", `"spec":{"ports":[{"port":80}]}`,
			"", "merge-patch+json", `{"metadata":{"labels":{"l":"1"}},"status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}}`,
			[]string{"f:l"}, []string{"f:status"}},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, body := send(t, "POST", url+test.path, `{"metadata":{"name":"x"},`+test.object+`}`); code != 201 {
				t.Fatalf("%d %s", code, body)
			}
			defer send(t, "DELETE", url+test.path+"/x?gracePeriodSeconds=0", "")
			code, _, body := send(t, "PATCH", url+strings.TrimSuffix(test.path+"/x/"+test.sub, "/")+"?fieldManager=m", test.patch, "Content-Type", "application/"+test.media)
			if code != 200 {
				t.Fatalf("%d %s", code, body)
			}
			var got metav1.PartialObjectMetadata
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			fields := ""
			for _, e := range got.ManagedFields {
				if e.Manager == "m" && e.Subresource == test.sub {
					fields = string(e.FieldsV1.Raw)
				}
			}
			for _, f := range test.owns {
				if !strings.Contains(fields, `"`+f+`"`) {
					t.Errorf("%s is not owned: %s", f, fields)
				}
			}
			for _, f := range test.lacks {
				if strings.Contains(fields, `"`+f+`"`) {
					t.Errorf("%s is owned: %s", f, fields)
				}
			}
		})
	}
}
