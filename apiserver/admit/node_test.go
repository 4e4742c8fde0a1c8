package admit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
)

func TestNewNodeIsTaintedOnce(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	for range 2 {
		refused(t, admit.NodeTaint(request(admit.Create, node, nil), cluster()), 0, "")
	}
	if d := cmp.Diff([]corev1.Taint{{Key: "node.kubernetes.io/not-ready", Effect: "NoSchedule"}}, node.Spec.Taints); d != "" {
		t.Error(d)
	}
}

func TestNodesAreHeldToWhatIsTheirs(t *testing.T) {
	node := func(name string, labels map[string]string, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}}
	}
	on := func(name string) *corev1.Pod { return pod(func(p *corev1.Pod) { p.Spec.NodeName = name }) }
	mirror := func(name string) *corev1.Pod {
		p := on(name)
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u1", Controller: new(true)}}
		return p
	}
	ownedBy := func(owners ...metav1.OwnerReference) *corev1.Pod {
		p := mirror("n1")
		p.OwnerReferences = owners
		return p
	}
	csi := func(name string) *storagev1.CSINode {
		return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	self := node("n1", nil)
	self.UID = "u1"
	sub := func(req *admit.Request, subresource string) *admit.Request {
		req.Subresource = subresource
		return req
	}
	for _, c := range []struct {
		name string
		req  *admit.Request
		text string
	}{
		{"itself", request(admit.Update, node("n1", nil), node("n1", nil)), ""},
		{"another", request(admit.Update, node("n2", nil), node("n2", nil)), `node "n1" is not allowed to modify node "n2"`},
		{"another's status", sub(request(admit.Update, node("n2", nil), node("n2", nil)), "status"), `node "n1" is not allowed to modify node "n2"`},
		{"its taints", request(admit.Update, node("n1", nil), node("n1", nil, corev1.Taint{Key: "x"})), `node "n1" is not allowed to modify taints`},
		{"labels of its own", request(admit.Update, node("n1", map[string]string{"kubernetes.io/hostname": "n1", "rack": "3"}), node("n1", nil)), ""},
		{"labels that divide the cluster", request(admit.Update, node("n1", map[string]string{"node-restriction.kubernetes.io/tier": "db", "node-role.kubernetes.io/control-plane": ""}), node("n1", nil)),
			"is not allowed to modify labels: node-restriction.kubernetes.io/tier, node-role.kubernetes.io/control-plane"},
		{"its pod's status", sub(request(admit.Update, on("n1"), on("n1")), "status"), ""},
		{"another's pod's status", sub(request(admit.Update, on("n2"), on("n2")), "status"), `node "n1" can only update pod status for pods with spec.nodeName set to itself`},
		{"its pod's end", request(admit.Delete, nil, on("n1")), ""},
		{"another's pod's end", request(admit.Delete, nil, on("n2")), `node "n1" can only delete pods with spec.nodeName set to itself`},
		{"a pod", request(admit.Create, on("n1"), nil), `pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`},
		{"a mirror pod", request(admit.Create, mirror("n1"), nil), ""},
		{"another's mirror pod", request(admit.Create, mirror("n2"), nil), `node "n1" can only create pods with spec.nodeName set to itself`},
		{"a mirror pod of nobody", request(admit.Create, ownedBy(), nil), `node "n1" can only create pods with an owner reference set to itself`},
		{"a mirror pod of two", request(admit.Create, ownedBy(metav1.OwnerReference{}, metav1.OwnerReference{}), nil), `node "n1" can only create pods with a single owner reference set to itself`},
		{"a mirror pod of another", request(admit.Create, ownedBy(metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "n2", UID: "u1", Controller: new(true)}), nil),
			`node "n1" can only create pods with an owner reference set to itself`},
		{"a mirror pod that it does not control", request(admit.Create, ownedBy(metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u1"}), nil),
			`node "n1" can only create pods with a controller owner reference set to itself`},
		{"a mirror pod of an earlier node", request(admit.Create, ownedBy(metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u0", Controller: new(true)}), nil),
			`node n1 UID mismatch: expected u0 got u1`},
		{"its CSINode", request(admit.Create, csi("n1"), nil), ""},
		{"another's CSINode", request(admit.Create, csi("n2"), nil), "can only access CSINode with the same name as the requesting node"},
		{"a pod's spec", request(admit.Update, on("n1"), on("n1")), `unexpected operation "UPDATE", node "n1" can only create and delete mirror pods`},
		{"an eviction", sub(request(admit.Create, nil, on("n2")), "eviction"), `node n1 can only evict pods with spec.nodeName set to itself`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := int32(403)
			if c.text == "" {
				code = 0
			}
			refused(t, admit.NodeRestriction(c.req, cluster(self)), 0, "") // of anybody else
			c.req.User, c.req.Groups = "system:node:n1", []string{"system:nodes"}
			refused(t, admit.NodeRestriction(c.req, cluster(self)), code, c.text)
		})
	}
}
