package admit_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
	naming := func(change func(*corev1.Pod)) *corev1.Pod {
		p := mirror("n1")
		change(p)
		return p
	}
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c"}}
		if change != nil {
			change(c)
		}
		return c
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
		{"its labels at its beginning", request(admit.Create, node("n1", map[string]string{"node-restriction.kubernetes.io/tier": "db"}), nil),
			`node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/tier`},
		{"a mirror pod with an account", request(admit.Create, naming(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }), nil),
			`node "n1" can not create pods that reference a service account`},
		{"a mirror pod with a Secret", request(admit.Create, naming(func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}} }), nil),
			`node "n1" can not create pods that reference secrets`},
		{"a mirror pod with a variable from a ConfigMap", request(admit.Create, naming(func(p *corev1.Pod) {
			p.Spec.Containers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}}}
		}), nil), `node "n1" can not create pods that reference configmaps`},
		{"a mirror pod with a claim", request(admit.Create, naming(func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}}}
		}), nil), `node "n1" can not create pods that reference persistentvolumeclaims`},
		{"a mirror pod with a trust bundle", request(admit.Create, naming(func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{}}}}}}}
		}), nil), `node "n1" can not create pods that reference clustertrustbundles`},
		{"its pod's labels", sub(request(admit.Update, pod(func(p *corev1.Pod) { p.Spec.NodeName, p.Labels = "n1", map[string]string{"a": "b"} }), on("n1")), "status"),
			`node "n1" cannot update labels through pod status`},
		{"its pod's devices", sub(request(admit.Update, pod(func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.ResourceClaimStatuses = "n1", []corev1.PodResourceClaimStatus{{Name: "gpu", ResourceClaimName: new("other")}}
		}), on("n1")), "status"), `node "n1" cannot update resource claim statuses`},
		{"a claim's growth", sub(request(admit.Update, claim(func(c *corev1.PersistentVolumeClaim) {
			c.Status.Capacity = corev1.ResourceList{"storage": resource.MustParse("2Gi")}
		}), claim(nil)), "status"), ""},
		{"a claim's labels", sub(request(admit.Update, claim(func(c *corev1.PersistentVolumeClaim) { c.Labels = map[string]string{"a": "b"} }), claim(nil)), "status"),
			`node "n1" is not allowed to update fields other than status.quantity and status.conditions`},
		{"a claim's phase", sub(request(admit.Update, claim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimBound }), claim(nil)), "status"),
			`node "n1" is not allowed to update fields other than status.quantity and status.conditions`},
		{"a claim", request(admit.Update, claim(nil), claim(nil)), "may only update PVC status"},
		{"its certificate", request(admit.Create, signing(t, "kubernetes.io/kubelet-serving", "system:node:n1"), nil), ""},
		{"another's certificate", request(admit.Create, signing(t, "kubernetes.io/kubelet-serving", "system:node:n2"), nil),
			"can only create a node CSR with CN=system:node:n1"},
		{"another's certificate to get in", request(admit.Create, signing(t, "kubernetes.io/kube-apiserver-client-kubelet", "system:node:n2"), nil),
			"can only create a node CSR with CN=system:node:n1"},
		{"a certificate of no node", request(admit.Create, signing(t, "example.com/x", "me"), nil), ""},
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

// signing is a request for a certificate of a signer and name.
func signing(t *testing.T, signer, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "csr"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}}
}

func TestNodesGetTokensThatTheirPodsUse(t *testing.T) {
	p := pod(func(p *corev1.Pod) {
		p.UID, p.Spec.NodeName = "u", "n1"
		p.Spec.Volumes = []corev1.Volume{
			{Name: "api", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault"}}}}}},
			{Name: "inline", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "inline"}}},
			{Name: "claimed", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
			{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		}
	})
	driver := func(name string) *storagev1.CSIDriver {
		return &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSIDriverSpec{TokenRequests: []storagev1.TokenRequest{{Audience: "for-" + name}}}}
	}
	bound := func(name, driver string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name}},
			&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}, Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver}}}}
	}
	claim, volume := bound("data", "claimed")
	own, ownVolume := bound("p-own", "ephemeral")
	snap := cluster(p, pod(func(p *corev1.Pod) { p.Name, p.UID, p.Spec.NodeName = "q", "v", "n2" }),
		driver("inline"), driver("claimed"), driver("ephemeral"), driver("unused"), claim, volume, own, ownVolume)
	ref := func(name string, uid types.UID) *authenticationv1.BoundObjectReference {
		return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: name, UID: uid}
	}
	for _, c := range []struct {
		name      string
		ref       *authenticationv1.BoundObjectReference
		audiences []string
		code      int32
		text      string
	}{
		{"of the API", ref("p", "u"), nil, 0, ""},
		{"of a volume", ref("p", "u"), []string{"vault"}, 0, ""},
		{"of a driver", ref("p", "u"), []string{"for-inline"}, 0, ""},
		{"of a claim's driver", ref("p", "u"), []string{"for-claimed"}, 0, ""},
		{"of an ephemeral volume's driver", ref("p", "u"), []string{"for-ephemeral"}, 0, ""},
		{"of another driver", ref("p", "u"), []string{"for-unused"}, 403, `audience "for-unused" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience`},
		{"that a role allows", ref("p", "u"), []string{"registry"}, 0, ""},
		{"of two", ref("p", "u"), []string{"vault", "for-inline"}, 403, "node may only request 0 or 1 audiences"},
		{"of nothing", nil, nil, 403, "node requested token not bound to a pod"},
		{"of a Secret", &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: "p", UID: "u"}, nil, 403, "node requested token not bound to a pod"},
		{"of any pod of the name", ref("p", ""), nil, 403, "node requested token with a pod binding without a uid"},
		{"of an earlier pod", ref("p", "w"), nil, 403, "the UID in the bound object reference (w) does not match the UID in record"},
		{"of no pod", ref("x", "u"), nil, 404, `pods "x" not found`},
		{"of another node's pod", ref("q", "v"), nil, 403, "node requested token bound to a pod scheduled on a different node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := request(admit.Create, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"}}, nil)
			req.Subresource, req.User, req.Groups = "token", "system:node:n1", []string{"system:nodes"}
			req.Object = &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: c.audiences, BoundObjectRef: c.ref}}
			req.May = func(verb, resource, namespace, name string) bool {
				return verb == "request-serviceaccounts-token-audience" && resource == "registry" && namespace == "ns" && name == "web"
			}
			refused(t, admit.NodeRestriction(req, snap), c.code, c.text)
		})
	}
}
