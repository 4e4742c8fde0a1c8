package apiserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// clientsFor returns clients that speak one encoding each, with servers of their own.
func clientsFor(t *testing.T) map[string]*kubernetes.Clientset {
	t.Helper()
	out := map[string]*kubernetes.Clientset{}
	for name, media := range map[string]string{"json": "application/json", "protobuf": "application/vnd.kubernetes.protobuf"} {
		c := rest.CopyConfig(listen(t, newMemory(t)))
		c.ContentType = media
		c.AcceptContentTypes = media
		out[name] = kubernetes.NewForConfigOrDie(c)
	}
	return out
}

func TestAutoscalerIsOneObjectInTwoVersions(t *testing.T) {
	for name, c := range clientsFor(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			v1, v2 := c.AutoscalingV1().HorizontalPodAutoscalers("default"), c.AutoscalingV2().HorizontalPodAutoscalers("default")
			w, err := v1.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			made, err := v1.Create(ctx, &autoscalingv1.HorizontalPodAutoscaler{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
					ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
					MaxReplicas:    5, TargetCPUUtilizationPercentage: new(int32(60)),
				},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if *made.Spec.MinReplicas != 1 || *made.Spec.TargetCPUUtilizationPercentage != 60 {
				t.Errorf("created as %+v", made.Spec)
			}
			newer, err := v2.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(newer.Spec.Metrics) != 1 || *newer.Spec.Metrics[0].Resource.Target.AverageUtilization != 60 {
				t.Errorf("in version 2: %+v", newer.Spec)
			}

			newer.Spec.Metrics = append(newer.Spec.Metrics, autoscalingv2.MetricSpec{
				Type: autoscalingv2.PodsMetricSourceType,
				Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "hits"},
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: new(resource.MustParse("10"))}},
			})
			if _, err := v2.Update(ctx, newer, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			// A patch of what version 1 shows must not lose what it does not; the use of CPU comes last then.
			patched, err := v1.Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"spec":{"maxReplicas":7,"targetCPUUtilizationPercentage":70}}`), metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if patched.Spec.MaxReplicas != 7 || !strings.Contains(patched.Annotations["autoscaling.alpha.kubernetes.io/metrics"], "hits") {
				t.Errorf("patched: %+v", patched)
			}
			list, err := v2.List(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range list.Items {
				if h.Name == name && (len(h.Spec.Metrics) != 2 || *h.Spec.Metrics[1].Resource.Target.AverageUtilization != 70 || len(h.Annotations) != 0) {
					t.Errorf("listed in version 2: %+v %v", h.Spec, h.Annotations)
				}
			}
			for _, want := range []int32{5, 5, 7} {
				e := <-w.ResultChan()
				h, ok := e.Object.(*autoscalingv1.HorizontalPodAutoscaler)
				if !ok || h.Spec.MaxReplicas != want {
					t.Fatalf("watched %s %T %+v, want version 1 with %d", e.Type, e.Object, e.Object, want)
				}
			}
		})
	}
}

func TestAppliesInBothVersionsShareTheirOwners(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	ctx := t.Context()
	apply := func(path, body, manager string) error {
		return c.RESTClient().Patch(types.ApplyYAMLPatchType).AbsPath(path).Param("fieldManager", manager).Body([]byte(body)).Do(ctx).Error()
	}
	const spec = `"metadata":{"name":"h"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"maxReplicas":%s}}`
	body := func(version, max string) string {
		return `{"apiVersion":"autoscaling/` + version + `","kind":"HorizontalPodAutoscaler",` + strings.ReplaceAll(spec, "%s", max)
	}
	path := func(version string) string {
		return "/apis/autoscaling/" + version + "/namespaces/default/horizontalpodautoscalers/h"
	}
	if err := apply(path("v2"), body("v2", "5"), "one"); err != nil {
		t.Fatal(err)
	}
	if err := apply(path("v1"), body("v1", "6"), "two"); !apierrors.IsConflict(err) {
		t.Errorf("another's field was set through another version: %v", err)
	}
	if err := apply(path("v1"), body("v1", "6"), "one"); err != nil {
		t.Errorf("one's own field could not be set through another version: %v", err)
	}
}

func TestEventsOfBothGroupsAreTheSame(t *testing.T) {
	for name, c := range clientsFor(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			older, newer := c.CoreV1().Events("default"), c.EventsV1().Events("default")
			w, err := newer.Watch(ctx, metav1.ListOptions{FieldSelector: "regarding.name=web"})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			e := &eventsv1.Event{
				ObjectMeta: metav1.ObjectMeta{Name: name + ".1"}, EventTime: metav1.NewMicroTime(time.Now()),
				ReportingController: "example.com/c", ReportingInstance: "c-1", Action: "Look", Reason: "Looked", Note: "looked at it",
				Type: corev1.EventTypeNormal, Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web"},
			}
			if _, err := newer.Create(ctx, e, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			list, err := older.List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=web,reason=Looked"})
			if err != nil || len(list.Items) != 1 || list.Items[0].Message != "looked at it" {
				t.Errorf("in the core group: %+v %v", list, err)
			}
			if _, err := older.Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name + ".2"}, Message: "older",
				InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web"}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, note := range []string{"looked at it", "older"} {
				got := <-w.ResultChan()
				if e, ok := got.Object.(*eventsv1.Event); !ok || e.Note != note {
					t.Errorf("watched %T %+v, want %q", got.Object, got.Object, note)
				}
			}
			e.Name, e.EventTime, e.Type = name+".3", metav1.MicroTime{}, "Odd"
			_, err = newer.Create(ctx, e, metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "eventTime: Required value") || !strings.Contains(err.Error(), "has invalid value: Odd") {
				t.Errorf("an event without what the newer form requires: %v", err)
			}
			if _, err := newer.List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=web"}); !apierrors.IsBadRequest(err) {
				t.Errorf("a field of the other version could be selected by: %v", err)
			}
			if _, err := newer.Get(ctx, "nothing", metav1.GetOptions{}); err == nil || err.Error() != `events.events.k8s.io "nothing" not found` {
				t.Errorf("an event that is not there: %v", err)
			}
			// A table prints both alike.
			data, err := c.EventsV1().RESTClient().Get().AbsPath("/apis/events.k8s.io/v1/namespaces/default/events").
				SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").Do(ctx).Raw()
			if err != nil || !strings.Contains(string(data), `"looked at it"`) {
				t.Errorf("table: %s %v", data, err)
			}
		})
	}
}

func TestDiscoveryPrefersTheVersionsThatUpstreamPrefers(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	data, err := c.RESTClient().Get().AbsPath("/apis/autoscaling").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var group metav1.APIGroup
	if err := json.Unmarshal(data, &group); err != nil {
		t.Fatal(err)
	}
	if group.PreferredVersion.Version != "v2" || len(group.Versions) != 2 || group.Versions[1].Version != "v1" {
		t.Errorf("autoscaling is served as %+v", group)
	}
	_, lists, err := c.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string][]string{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			served[l.GroupVersion] = append(served[l.GroupVersion], r.Name)
		}
	}
	for gv, want := range map[string]string{
		"v1":                     "bindings configmaps endpoints events limitranges namespaces namespaces/finalize namespaces/status nodes nodes/status persistentvolumeclaims persistentvolumes pods pods/attach pods/binding pods/ephemeralcontainers pods/eviction pods/exec pods/log pods/portforward pods/resize pods/status podtemplates replicationcontrollers replicationcontrollers/scale replicationcontrollers/status resourcequotas resourcequotas/status secrets serviceaccounts serviceaccounts/token services services/status",
		"apps/v1":                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets statefulsets",
		"batch/v1":               "cronjobs cronjobs/status jobs jobs/status",
		"autoscaling/v1":         "horizontalpodautoscalers horizontalpodautoscalers/status",
		"autoscaling/v2":         "horizontalpodautoscalers horizontalpodautoscalers/status",
		"policy/v1":              "poddisruptionbudgets poddisruptionbudgets/status",
		"events.k8s.io/v1":       "events",
		"networking.k8s.io/v1":   "ingresses ingresses/status ingressclasses networkpolicies",
		"storage.k8s.io/v1":      "storageclasses volumeattachments volumeattachments/status csidrivers csinodes csistoragecapacities",
		"scheduling.k8s.io/v1":   "priorityclasses",
		"node.k8s.io/v1":         "runtimeclasses",
		"certificates.k8s.io/v1": "certificatesigningrequests certificatesigningrequests/approval certificatesigningrequests/status",
		"coordination.k8s.io/v1": "leases",
		"discovery.k8s.io/v1":    "endpointslices",
		schemaGV("rbac.authorization.k8s.io", "v1"): "roles rolebindings clusterroles clusterrolebindings",
	} {
		for _, name := range strings.Fields(want) {
			found := false
			for _, r := range served[gv] {
				found = found || r == name
			}
			if !found {
				t.Errorf("%s is not served in %s, which has %v", name, gv, served[gv])
			}
		}
	}
}

func schemaGV(group, version string) string {
	return schema.GroupVersion{Group: group, Version: version}.String()
}

func TestVersionsAreDocumented(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	for path, want := range map[string]string{
		"/openapi/v3/apis/autoscaling/v1":   "targetCPUUtilizationPercentage",
		"/openapi/v3/apis/autoscaling/v2":   "stabilizationWindowSeconds",
		"/openapi/v3/apis/events.k8s.io/v1": "regarding",
	} {
		var code int
		data, err := c.RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&code).Raw()
		if err != nil || code != http.StatusOK || !strings.Contains(string(data), want) {
			t.Errorf("%s does not describe %s: %d %v", path, want, code, err)
		}
	}
}

// TestNewEventsAreHeldToTheRulesOfTheirVersionHoweverTheyCome creates Events of events.k8s.io by every verb that can.
func TestNewEventsAreHeldToTheRulesOfTheirVersionHoweverTheyCome(t *testing.T) {
	h := newMemory(t).Handler()
	const all, one = "/apis/events.k8s.io/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events/e"
	body := func(more string) string {
		return `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e"},"regarding":{"namespace":"default"},"reason":"Test","type":"Normal","note":"n"` + more + `}`
	}
	for _, test := range []struct{ method, path, media string }{
		{"POST", all, "application/json"},
		{"PUT", one, "application/json"},
		{"PATCH", one + "?fieldManager=me", "application/apply-patch+yaml"},
	} {
		rec := ask(t, h, test.method, test.path, body(""), "Content-Type", test.media)
		if rec.Code != 422 || !strings.Contains(rec.Body.String(), "eventTime: Required value") {
			t.Errorf("%s without an eventTime: %d %s", test.method, rec.Code, rec.Body)
		}
		whole := body(`,"eventTime":"2026-01-01T00:00:00.000000Z","action":"Act","reportingController":"example.com/c","reportingInstance":"i"`)
		if rec := ask(t, h, test.method, test.path, whole, "Content-Type", test.media); rec.Code != 201 {
			t.Errorf("%s of a good one: %d %s", test.method, rec.Code, rec.Body)
		}
		if rec := ask(t, h, "DELETE", one, ""); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
	}
}
