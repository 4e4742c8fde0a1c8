package admit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
	"sampan/kind"
)

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, p := range pairs {
		name, n, _ := strings.Cut(p, "=")
		out[corev1.ResourceName(name)] = resource.MustParse(n)
	}
	return out
}

func quotaOf(hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q", ResourceVersion: "7"},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes},
		Status:     corev1.ResourceQuotaStatus{Hard: hard, Used: used},
	}
}

func wants(requests, limits corev1.ResourceList) *corev1.Pod {
	return pod(func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}}
	})
}

func TestQuotaIsCharged(t *testing.T) {
	svc := func(t corev1.ServiceType) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Type: t, Ports: make([]corev1.ServicePort, 2)}}
	}
	for _, c := range []struct {
		name     string
		quota    *corev1.ResourceQuota
		obj, old kind.Object
		want     string // the used of the charged quota
		refusal  string
	}{
		{"within", quotaOf(list("pods=2", "cpu=1"), list("pods=1", "cpu=500m")), wants(list("cpu=500m"), nil), nil, "cpu=1,pods=2", ""},
		{"one too many", quotaOf(list("pods=2"), list("pods=2")), wants(nil, nil), nil, "",
			`pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`},
		{"several exceeded", quotaOf(list("pods=2", "requests.memory=1Gi", "limits.cpu=9"), list("pods=2", "requests.memory=512Mi", "limits.cpu=0")), wants(list("memory=1Gi"), list("cpu=1")), nil, "",
			`exceeded quota: q, requested: pods=1,requests.memory=1Gi, used: pods=2,requests.memory=512Mi, limited: pods=2,requests.memory=1Gi`},
		{"says too little", quotaOf(list("requests.cpu=1", "limits.memory=1Gi"), list("requests.cpu=0", "limits.memory=0")), wants(nil, nil), nil, "",
			`pods "p" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c`},
		{"not counted yet", quotaOf(list("pods=2"), nil), wants(nil, nil), nil, "", `pods "p" is forbidden: status unknown for quota: q, resources: pods`},
		{"not in force yet", &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: list("pods=0")}}, wants(nil, nil), nil, "", ""},
		{"out of scope", quotaOf(list("pods=0"), list("pods=0"), corev1.ResourceQuotaScopeNotBestEffort), wants(nil, nil), nil, "", ""},
		{"in scope", quotaOf(list("pods=0"), list("pods=0"), corev1.ResourceQuotaScopeBestEffort), wants(nil, nil), nil, "", "exceeded quota"},
		{"any kind", quotaOf(list("count/configmaps=1"), list("count/configmaps=1")), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "x"}}, nil, "",
			`configmaps "x" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1`},
		{"a change costs the difference", quotaOf(list("services=1", "services.nodeports=2"), list("services=1", "services.nodeports=0")), svc(corev1.ServiceTypeNodePort), svc(corev1.ServiceTypeClusterIP), "services=1,services.nodeports=2", ""},
		{"a change too many", quotaOf(list("services.nodeports=1"), list("services.nodeports=0")), svc(corev1.ServiceTypeNodePort), svc(corev1.ServiceTypeClusterIP), "", "exceeded quota: q, requested: services.nodeports=2"},
		{"giving back is always allowed", quotaOf(list("services.nodeports=1"), list("services.nodeports=4")), svc(corev1.ServiceTypeClusterIP), svc(corev1.ServiceTypeNodePort), "services.nodeports=2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			verb := admit.Create
			if c.old != nil {
				verb = admit.Update
			}
			before := c.quota.DeepCopy()
			charged, err := admit.ChargeQuotas(request(verb, c.obj, c.old), cluster(c.quota), time.Unix(0, 0))
			if d := cmp.Diff(before, c.quota); d != "" {
				t.Errorf("the view was written to: %s", d)
			}
			if c.refusal != "" {
				refused(t, err, 403, c.refusal)
				return
			}
			refused(t, err, 0, "")
			var got []string
			for _, q := range charged {
				if q.ResourceVersion != "7" {
					t.Error("the charged quota has lost its resourceVersion")
				}
				for _, name := range []corev1.ResourceName{"cpu", "pods", "services", "services.nodeports"} {
					if n, ok := q.Status.Used[name]; ok {
						got = append(got, string(name)+"="+n.String())
					}
				}
			}
			if s := strings.Join(got, ","); s != c.want {
				t.Errorf("used is %q, want %q", s, c.want)
			}
		})
	}
}
