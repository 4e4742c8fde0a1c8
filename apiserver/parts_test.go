package apiserver_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"sampan/apiserver"
	"sampan/apiserver/auth"
)

func signingRequest(t *testing.T, groups ...string) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: groups}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestSigningRequestsAreDecidedOnce(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	ctx, csrs := t.Context(), c.CertificatesV1().CertificateSigningRequests()
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: signingRequest(t), SignerName: "example.com/signer", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			Username: "somebody-else", Groups: []string{auth.GroupMasters},
		},
	}
	made, err := csrs.Create(ctx, csr, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Spec.Username == "somebody-else" || slices.Contains(made.Spec.Groups, auth.GroupMasters) {
		t.Errorf("a requester can claim to be another: %+v", made.Spec)
	}
	made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	if _, err := csrs.UpdateStatus(ctx, made, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) ||
		!strings.Contains(err.Error(), `updates may not add a condition of type "Approved"`) {
		t.Fatalf("a signer can approve: %v", err)
	}
	approved, err := csrs.UpdateApproval(ctx, "jane", made, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if conditions := approved.Status.Conditions; len(conditions) != 1 || conditions[0].LastUpdateTime.IsZero() || conditions[0].LastTransitionTime.IsZero() {
		t.Errorf("approved with %+v", conditions)
	}
	denied := approved.DeepCopy()
	denied.Status.Conditions[0].Type = certificatesv1.CertificateDenied
	if _, err := csrs.UpdateApproval(ctx, "jane", denied, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) ||
		!strings.Contains(err.Error(), `updates may not remove a condition of type "Approved"`) {
		t.Errorf("an approval was taken back: %v", err)
	}
	csr.Name, csr.Spec.Request, csr.Spec.SignerName = "root", signingRequest(t, auth.GroupMasters), certificatesv1.KubeAPIServerClientSignerName
	if _, err := csrs.Create(ctx, csr, metav1.CreateOptions{}); !apierrors.IsForbidden(err) ||
		!strings.Contains(err.Error(), "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed") {
		t.Errorf("a request for all power: %v", err)
	}
}

func TestOnlyThoseWhoMayDecideForASigner(t *testing.T) {
	s := newMemory(t, func(cfg *apiserver.Config) {
		cfg.Authorizer = func(a auth.Attributes) (bool, string) {
			return a.Resource != "signers" || a.Name == "example.com/*", ""
		}
	})
	c := kubernetes.NewForConfigOrDie(listen(t, s))
	for signer, allowed := range map[string]bool{"example.com/a": true, "example.org/a": false} {
		csr := &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "r-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{Request: signingRequest(t), SignerName: signer,
				Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}},
		}
		csr, err := c.CertificatesV1().CertificateSigningRequests().Create(t.Context(), csr, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue}}
		_, err = c.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), csr.Name, csr, metav1.UpdateOptions{})
		if allowed != (err == nil) || !allowed && !strings.Contains(err.Error(), `user not permitted to approve requests with signerName "example.org/a"`) {
			t.Errorf("%s: %v", signer, err)
		}
	}
}

func TestContainersAreAddedToLookAtAPod(t *testing.T) {
	s := newMemory(t)
	c := kubernetes.NewForConfigOrDie(listen(t, s))
	ctx, pods := t.Context(), c.CoreV1().Pods("default")
	p, err := pods.Create(ctx, pod("web"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// kubectl debug patches the subresource.
	patch := []byte(`{"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox","targetContainerName":"` + p.Spec.Containers[0].Name + `"}],"nodeName":"elsewhere"}}`)
	have, err := pods.Patch(ctx, "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "ephemeralcontainers")
	if err != nil {
		t.Fatal(err)
	}
	if len(have.Spec.EphemeralContainers) != 1 || have.Spec.NodeName != "" || have.Generation != p.Generation+1 {
		t.Errorf("patched to %+v", have.Spec)
	}
	for change, want := range map[string]string{
		`{"spec":{"ephemeralContainers":[{"name":"debug","image":"other"}]}}`:                          `existing ephemeral containers "debug" may not be changed`,
		`{"spec":{"ephemeralContainers":[{"name":"debug","$patch":"delete"}]}}`:                        `existing ephemeral containers "debug" may not be removed`,
		`{"spec":{"ephemeralContainers":[{"name":"two","image":"i","ports":[{"containerPort":1}]}]}}`:  `spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container`,
		`{"spec":{"ephemeralContainers":[{"name":"two","image":"i","targetContainerName":"nobody"}]}}`: `spec.ephemeralContainers[0].targetContainerName: Not found: "nobody"`,
		`{"spec":{"ephemeralContainers":[{"name":"` + p.Spec.Containers[0].Name + `","image":"i"}]}}`:  `spec.ephemeralContainers[0].name: Duplicate value`,
	} {
		_, err := pods.Patch(ctx, "web", types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{}, "ephemeralcontainers")
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", change, err, want)
		}
	}
	if _, err := pods.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"ephemeralContainers":[{"name":"three","image":"i"}]}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("added through the pod itself: %v", err)
	}
}

func TestPodIsBoundToANodeOnce(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	ctx, pods := t.Context(), c.CoreV1().Pods("default")
	p, err := pods.Create(ctx, pod("web"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.NominatedNodeName = "n1"
	if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	gated := pod("gated")
	gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
	if _, err := pods.Create(ctx, gated, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bind := func(pod string, target corev1.ObjectReference) error {
		return pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod}, Target: target}, metav1.CreateOptions{})
	}
	wantError(t, "to a pod", bind("web", corev1.ObjectReference{Kind: "Pod", Name: "n1"}), apierrors.IsInvalid, `target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"`)
	wantError(t, "to nothing", bind("web", corev1.ObjectReference{Kind: "Node"}), apierrors.IsInvalid, "target.name: Required value")
	wantError(t, "to a bad name", bind("web", corev1.ObjectReference{Name: "N_1"}), apierrors.IsInvalid, `target.name: Invalid value: "N_1": a lowercase RFC 1123 subdomain must consist of`)
	wantError(t, "while gated", bind("gated", corev1.ObjectReference{Name: "n1"}), apierrors.IsConflict, "pod gated has non-empty .spec.schedulingGates")
	stale := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "web", ResourceVersion: p.ResourceVersion}, Target: corev1.ObjectReference{Name: "n1"}}
	wantError(t, "of an old revision", pods.Bind(ctx, stale, metav1.CreateOptions{}), apierrors.IsConflict, "Precondition failed: ResourceVersion in precondition: "+p.ResourceVersion+", ResourceVersion in object meta: ")
	if err := bind("web", corev1.ObjectReference{Kind: "Node", Name: "n2"}); err != nil {
		t.Fatal(err)
	}
	wantError(t, "again", bind("web", corev1.ObjectReference{Name: "n1"}), apierrors.IsConflict, `pod web is already assigned to node "n2"`)
	p, err = pods.Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Spec.NodeName != "n2" || p.Status.NominatedNodeName != "" || len(p.Status.Conditions) != 1 || p.Status.Conditions[0].Type != corev1.PodScheduled || p.Status.Conditions[0].Status != corev1.ConditionTrue {
		t.Errorf("bound: %q %+v", p.Spec.NodeName, p.Status)
	}
}

func TestPodIsResizedWhereItsNodeCan(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	ctx, pods := t.Context(), c.CoreV1().Pods("default")
	p := pod("web")
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	p, err := pods.Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := p.Spec.Containers[0].Name
	resize := func(container string) error {
		_, err := pods.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"`+name+`",`+container+`}]}}`), metav1.PatchOptions{}, "resize")
		return err
	}
	if err := resize(`"resources":{"requests":{"cpu":"200m"}},"image":"other"`); err != nil {
		t.Fatal(err)
	}
	p, err = pods.Get(ctx, "web", metav1.GetOptions{})
	if err != nil || p.Spec.Containers[0].Resources.Requests.Cpu().String() != "200m" || p.Spec.Containers[0].Image == "other" {
		t.Errorf("resized to %+v %v", p.Spec.Containers[0], err)
	}
	for change, want := range map[string]string{
		`"resources":{"requests":{"cpu":null}}`:                                             "Pod QOS Class may not change as a result of resizing",
		`"resources":{"requests":{"example.com/gpu":"1"},"limits":{"example.com/gpu":"1"}}`: "only cpu and memory resources are mutable",
		`"resources":{"requests":{"cpu":null,"memory":"1Mi"}}`:                              "resource requests cannot be removed",
	} {
		if err := resize(change); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", change, err, want)
		}
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := resize(`"resources":{"requests":{"cpu":"300m"}}`); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "Pod running on node without support for resize") {
		t.Errorf("resized on a node whose agent does not report resources: %v", err)
	}
}

func TestJobSelectsItsOwnPods(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: "work-"}}
	job.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	job, err := c.BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := job.Spec.Template.Labels
	if labels[batchv1.ControllerUidLabel] != string(job.UID) || labels[batchv1.JobNameLabel] != job.Name || job.UID == "" ||
		job.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] != string(job.UID) {
		t.Errorf("the job %s %s has the labels %v and selects %v", job.Name, job.UID, labels, job.Spec.Selector)
	}
	// Jobs are of the first days: who deletes one without a wish leaves its pods.
	if err := c.BatchV1().Jobs("default").Delete(t.Context(), job.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if job, err := c.BatchV1().Jobs("default").Get(t.Context(), job.Name, metav1.GetOptions{}); err != nil || !slices.Contains(job.Finalizers, metav1.FinalizerOrphanDependents) {
		t.Errorf("deleted without a wish: %+v %v", job, err)
	}
	if err := c.BatchV1().Jobs("default").Delete(t.Context(), job.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BatchV1().Jobs("default").Get(t.Context(), job.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deleted in the background: %v", err)
	}
}

func TestReplicationControllersScale(t *testing.T) {
	c := kubernetes.NewForConfigOrDie(listen(t, newMemory(t)))
	rcs := c.CoreV1().ReplicationControllers("default")
	rc := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	rc.Spec.Template = &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	if _, err := rcs.Create(t.Context(), rc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	scale, err := rcs.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Selector != "app=web" {
		t.Fatalf("%+v %v", scale, err)
	}
	scale.Spec.Replicas = 3
	if _, err := rcs.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if rc, err := rcs.Get(t.Context(), "web", metav1.GetOptions{}); err != nil || *rc.Spec.Replicas != 3 || rc.Generation != 2 {
		t.Errorf("scaled to %+v %v", rc, err)
	}
}
