package resourcequota

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/quota"
	"sampan/kind/registry"
	"sampan/plan/plantest"
	"sampan/view"
)

var (
	key = view.Key{Kind: kind.ResourceQuotas, Namespace: "ns", Name: "q"}
	now = time.Unix(1_800_000_000, 0)
)

func limits(hard ...string) *corev1.ResourceQuota {
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q", UID: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{}}}
	for _, h := range hard {
		name, n, _ := strings.Cut(h, ":")
		q.Spec.Hard[corev1.ResourceName(name)] = resource.MustParse(n)
	}
	return q
}

func pod(name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	if cpu != "" {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func finished(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }

// terminating since so many seconds, with half a minute's grace.
func terminating(seconds int) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp = new(metav1.NewTime(now.Add(-time.Duration(seconds) * time.Second)))
		p.DeletionGracePeriodSeconds = new(int64(30))
	}
}

func configMap(ns, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
}

func service(t corev1.ServiceType, ports int) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Type: t, Ports: make([]corev1.ServicePort, ports)}}
}

func claim(class, size string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}}}
}

func TestUsageIsCounted(t *testing.T) {
	scoped := func(q *corev1.ResourceQuota, s corev1.ResourceQuotaScope) *corev1.ResourceQuota {
		q.Spec.Scopes = []corev1.ResourceQuotaScope{s}
		return q
	}
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"nothing yet", []kind.Object{limits("pods:2", "requests.cpu:1")}, "pods=0 requests.cpu=0"},
		{"pods", []kind.Object{limits("pods:2", "requests.cpu:1", "cpu:1"), pod("a", "200m"), pod("b", "300m")}, "cpu=500m pods=2 requests.cpu=500m"},
		{"finished pods count as objects only", []kind.Object{limits("pods:2", "count/pods:9", "cpu:1"), pod("a", "200m", finished)}, "count/pods=1 cpu=0 pods=0"},
		{"pods that linger on a lost node are free", []kind.Object{limits("pods:2"), pod("a", "", terminating(10)), pod("b", "", terminating(31))}, "pods=1"},
		{"other namespaces do not count", []kind.Object{limits("configmaps:2"), configMap("ns", "a"), configMap("other", "a")}, "configmaps=1"},
		{"any kind can be counted", []kind.Object{limits("count/configmaps:2", "count/deployments.apps:3"), configMap("ns", "a")}, "count/configmaps=1 count/deployments.apps=0"},
		{"what nobody counts has no usage", []kind.Object{limits("count/widgets.example.com:2", "pods:1")}, "pods=0"},
		{"node ports", []kind.Object{limits("services:9", "services.nodeports:9", "services.loadbalancers:9"), service(corev1.ServiceTypeNodePort, 2)}, "services=1 services.loadbalancers=0 services.nodeports=2"},
		{"load balancers", []kind.Object{limits("services.nodeports:9", "services.loadbalancers:9"), service(corev1.ServiceTypeLoadBalancer, 2)}, "services.loadbalancers=1 services.nodeports=2"},
		{"storage", []kind.Object{limits("requests.storage:9Gi", "persistentvolumeclaims:3", "fast.storageclass.storage.k8s.io/requests.storage:9Gi", "slow.storageclass.storage.k8s.io/persistentvolumeclaims:1"), claim("fast", "2Gi")},
			"fast.storageclass.storage.k8s.io/requests.storage=2Gi persistentvolumeclaims=1 requests.storage=2Gi slow.storageclass.storage.k8s.io/persistentvolumeclaims=0"},
		{"best effort only", []kind.Object{scoped(limits("pods:2"), corev1.ResourceQuotaScopeBestEffort), pod("a", "200m"), pod("b", "")}, "pods=1"},
		{"all but best effort", []kind.Object{scoped(limits("pods:2"), corev1.ResourceQuotaScopeNotBestEffort), pod("a", "200m"), pod("b", ""), pod("c", "1")}, "pods=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := plantest.New(now, c.objects...)
			ctl := New(registry.New())
			plantest.Fixpoint(t, ctl, key, cluster, func(*plantest.Cluster) bool { return false })
			q, _ := view.Get[*corev1.ResourceQuota](cluster.Snapshot(), key.Kind, key.Namespace, key.Name)
			var got []string
			for _, name := range quota.Names(q.Status.Used) {
				n := q.Status.Used[name]
				got = append(got, string(name)+"="+n.String())
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("used is %q, want %q", s, c.want)
			}
			plantest.Check(t, ctl, key, now, c.objects...)
		})
	}
}

func TestCountIsLookedAtAgainWhenALostPodStopsToCount(t *testing.T) {
	p := Decide(Gather(registry.New(), plantest.New(now, limits("pods:2"), pod("a", "", terminating(10))).Snapshot(), key, now))
	if want := now.Add(20 * time.Second); p.WakeAt.Sub(want).Abs() > time.Second {
		t.Errorf("woken at %v, want %v", p.WakeAt, want)
	}
}

func TestOnlyWhatCountsWakes(t *testing.T) {
	snap := plantest.New(now, limits("pods:2", "cpu:1")).Snapshot()
	change := func(old, next kind.Object, id kind.ID) view.Change {
		one := next
		if one == nil {
			one = old
		}
		return view.Change{Key: view.KeyOf(id, one), Old: old, New: next}
	}
	running := pod("a", "1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
	for _, c := range []struct {
		name   string
		change view.Change
		wakes  bool
	}{
		{"new pod", change(nil, pod("a", "1"), kind.Pods), true},
		{"pod starts", change(pod("a", "1"), running, kind.Pods), false},
		{"pod ends", change(running, pod("a", "1", finished), kind.Pods), true},
		{"pod is deleted", change(running, pod("a", "1", terminating(0)), kind.Pods), true},
		{"pod is gone", change(running, nil, kind.Pods), true},
		{"something else", change(nil, configMap("ns", "a"), kind.ConfigMaps), false},
		{"the quota", change(nil, limits("pods:1"), kind.ResourceQuotas), true},
	} {
		var keys []view.Key
		for _, w := range New(registry.New()).Watches {
			if w.Kind == c.change.Key.Kind {
				keys = append(keys, w.Keys(snap, c.change)...)
			}
		}
		if got := len(keys) > 0; got != c.wakes {
			t.Errorf("%s: woken %v", c.name, keys)
		}
	}
}
