package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/registry"
)

// TestNamesAreUpstreams holds what kubectl api-resources shows of the kinds beside the core group: short names,
// version, whether namespaced, kind, singular, categories, subresources.
func TestNamesAreUpstreams(t *testing.T) {
	var have strings.Builder
	for _, k := range registry.New().Served() {
		switch k.GVK.Group {
		case "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "scheduling.k8s.io", "node.k8s.io", "certificates.k8s.io":
		default:
			continue
		}
		var sub []string
		for _, p := range k.Parts {
			sub = append(sub, p.Name)
		}
		if k.Scale != nil {
			sub = append(sub, "scale")
		}
		if k.Status != nil {
			sub = append(sub, "status")
		}
		fmt.Fprintf(&have, "%s [%s] %s %t %s %s [%s] [%s]\n", k.GroupResource().Resource, strings.Join(k.ShortNames, ","), k.GVK.GroupVersion(),
			k.Namespaced, k.GVK.Kind, k.Singular, strings.Join(k.Categories, ","), strings.Join(sub, ","))
	}
	if d := cmp.Diff(`deployments [deploy] apps/v1 true Deployment deployment [all] [scale,status]
replicasets [rs] apps/v1 true ReplicaSet replicaset [all] [scale,status]
statefulsets [sts] apps/v1 true StatefulSet statefulset [all] [scale,status]
daemonsets [ds] apps/v1 true DaemonSet daemonset [all] [status]
controllerrevisions [] apps/v1 true ControllerRevision controllerrevision [] []
jobs [] batch/v1 true Job job [all] [status]
cronjobs [cj] batch/v1 true CronJob cronjob [all] [status]
horizontalpodautoscalers [hpa] autoscaling/v2 true HorizontalPodAutoscaler horizontalpodautoscaler [all] [status]
horizontalpodautoscalers [hpa] autoscaling/v1 true HorizontalPodAutoscaler horizontalpodautoscaler [all] [status]
poddisruptionbudgets [pdb] policy/v1 true PodDisruptionBudget poddisruptionbudget [] [status]
ingresses [ing] networking.k8s.io/v1 true Ingress ingress [] [status]
ingressclasses [] networking.k8s.io/v1 false IngressClass ingressclass [] []
networkpolicies [netpol] networking.k8s.io/v1 true NetworkPolicy networkpolicy [] []
certificatesigningrequests [csr] certificates.k8s.io/v1 false CertificateSigningRequest certificatesigningrequest [] [approval,status]
roles [] rbac.authorization.k8s.io/v1 true Role role [] []
clusterroles [] rbac.authorization.k8s.io/v1 false ClusterRole clusterrole [] []
rolebindings [] rbac.authorization.k8s.io/v1 true RoleBinding rolebinding [] []
clusterrolebindings [] rbac.authorization.k8s.io/v1 false ClusterRoleBinding clusterrolebinding [] []
priorityclasses [pc] scheduling.k8s.io/v1 false PriorityClass priorityclass [] []
runtimeclasses [] node.k8s.io/v1 false RuntimeClass runtimeclass [] []
`, have.String()); d != "" {
		t.Error(d)
	}
}
