package volume_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/controller/volume"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func claims() plan.Controller  { return volume.NewClaims(volume.Config{Root: "/vol"}) }
func volumes() plan.Controller { return volume.NewVolumes(volume.Config{Root: "/vol"}) }

func claimKey() view.Key {
	return view.Key{Kind: kind.PersistentVolumeClaims, Namespace: "default", Name: "data"}
}

func volumeKey(name string) view.Key { return view.Key{Kind: kind.PersistentVolumes, Name: name} }

func claim(options ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	class := "local-path"
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", UID: "c1", Annotations: map[string]string{}, Finalizers: []string{"kubernetes.io/pvc-protection"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

func class(name string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &name }
}

func noClass(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }

func selected(node string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Annotations["volume.kubernetes.io/selected-node"] = node }
}

func naming(volume string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = volume }
}

func bound(volume string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName = volume
		c.Annotations["pv.kubernetes.io/bind-completed"] = "yes"
	}
}

func deleted(c *corev1.PersistentVolumeClaim) {
	at := metav1.NewTime(now())
	c.DeletionTimestamp = &at
}

func many(c *corev1.PersistentVolumeClaim) {
	c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
}

func pv(name, class, size string, options ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{}, Finalizers: []string{"kubernetes.io/pv-protection"}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	for _, o := range options {
		o(v)
	}
	return v
}

func forClaim(uid types.UID) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) {
		v.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: "default", Name: "data", UID: uid}
	}
}

func phase(p corev1.PersistentVolumePhase) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) { v.Status.Phase = p }
}

func deletePolicy(v *corev1.PersistentVolume) {
	v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
}

func provisioned(v *corev1.PersistentVolume) {
	v.Annotations["pv.kubernetes.io/provisioned-by"] = volume.Provisioner
	v.Finalizers = append(v.Finalizers, volume.Finalizer)
}

func going(v *corev1.PersistentVolume) {
	at := metav1.NewTime(now())
	v.DeletionTimestamp = &at
}

func node(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
}

func immediate(name, provisioner string) *storagev1.StorageClass {
	mode := storagev1.VolumeBindingImmediate
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
}

func user(node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db-0"},
		Spec: corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}},
	}
}

const bind = "update persistentvolumes/%; update persistentvolumeclaims/default/data"

func to(volume string) string { return strings.ReplaceAll(bind, "%", volume) }

func TestClaims(t *testing.T) {
	local := volume.DefaultStorageClass()
	const said = "event ProvisioningSucceeded: Successfully provisioned volume pvc-c1"
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"waits for a pod", []kind.Object{local, claim()}, "event WaitForFirstConsumer: waiting for first consumer to be created before binding"},
		{"waits for its pod's node", []kind.Object{local, claim(), user("")}, "event WaitForPodScheduled: waiting for pod db-0 to be scheduled"},
		{"is made on the chosen node", []kind.Object{local, claim(selected("n1")), node("n1")},
			"create persistentvolumes/pvc-c1; update persistentvolumeclaims/default/data; " + said},
		{"chosen node is gone", []kind.Object{local, claim(selected("n1"))},
			`update persistentvolumeclaims/default/data; warning ProvisioningFailed: node "n1" not found`},
		{"made already, not bound yet", []kind.Object{local, claim(selected("n1")), node("n1"), pv("pvc-c1", "local-path", "5Gi", forClaim("c1"))},
			"update persistentvolumeclaims/default/data"},
		{"a directory has one writer", []kind.Object{local, claim(selected("n1"), many), node("n1")},
			`warning ProvisioningFailed: failed to provision volume with StorageClass "local-path": only the access modes ReadWriteOnce and ReadWriteOncePod are supported`},
		{"at once, on the only node", []kind.Object{immediate("now", volume.Provisioner), claim(class("now")), node("n1")},
			"create persistentvolumes/pvc-c1; update persistentvolumeclaims/default/data; " + said},
		{"at once, but no node", []kind.Object{immediate("now", volume.Provisioner), claim(class("now"))},
			`warning ProvisioningFailed: failed to provision volume with StorageClass "now": no node is available`},
		{"smallest that fits", []kind.Object{claim(class("")), pv("a", "", "50Gi"), pv("b", "", "10Gi"), pv("c", "", "1Gi")}, to("b")},
		{"other class", []kind.Object{claim(class("")), pv("a", "fast", "50Gi")},
			"event FailedBinding: no persistent volumes available for this claim and no storage class is set"},
		{"reserved for it", []kind.Object{claim(class("")), pv("a", "", "50Gi", forClaim("")), pv("b", "", "10Gi")}, to("a")},
		{"reserved for another", []kind.Object{claim(class("")), pv("a", "", "50Gi", forClaim("other"))},
			"event FailedBinding: no persistent volumes available for this claim and no storage class is set"},
		{"not available yet", []kind.Object{claim(class("")), pv("a", "", "50Gi", phase(corev1.VolumePending))},
			"event FailedBinding: no persistent volumes available for this claim and no storage class is set"},
		{"named", []kind.Object{claim(class(""), naming("a")), pv("a", "", "50Gi"), pv("b", "", "10Gi")}, to("a")},
		{"named one is too small", []kind.Object{claim(class(""), naming("a")), pv("a", "", "1Gi")},
			`warning VolumeMismatch: Cannot bind to requested volume "a": requested PV is too small`},
		{"named one is another's", []kind.Object{claim(class(""), naming("a")), pv("a", "", "9Gi", forClaim("other"))},
			`warning FailedBinding: volume "a" already bound to a different claim.`},
		{"unknown class", []kind.Object{claim(class("fast"))}, `warning ProvisioningFailed: storageclass.storage.k8s.io "fast" not found`},
		{"default class came later", []kind.Object{claim(noClass), local}, "update persistentvolumeclaims/default/data"},
		{"other provisioner", []kind.Object{immediate("ext", "example.com/disk"), claim(class("ext"))},
			"update persistentvolumeclaims/default/data; event ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/disk' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."},
		{"bound", []kind.Object{claim(bound("a")), pv("a", "", "9Gi", forClaim("c1"))}, "status persistentvolumeclaims/default/data"},
		{"volume is lost", []kind.Object{claim(bound("a"))},
			"status persistentvolumeclaims/default/data; warning ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!"},
		{"deleted, unused", []kind.Object{claim(bound("a"), deleted), pv("a", "", "9Gi", forClaim("c1"))}, "update persistentvolumeclaims/default/data"},
		{"deleted, its pod has no node", []kind.Object{local, claim(deleted), user("")}, "update persistentvolumeclaims/default/data"},
		{"deleted, in use", []kind.Object{local, claim(deleted), user("n1")}, "waiting: deletion waits for pod db-0, which uses the claim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plantest.Check(t, claims(), claimKey(), now(), c.objects...)
			p, _ := claims().Decide(plantest.New(now(), c.objects...).Snapshot(), claimKey(), now(), nil)
			if got := strings.ReplaceAll(strings.TrimSpace(plantest.Text(p, now())), "\n", "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestProvisionedVolumeIsADirectoryOnItsNode(t *testing.T) {
	cluster := plantest.New(now(), volume.DefaultStorageClass(), claim(selected("n1")), node("n1"))
	plantest.Fixpoint(t, claims(), claimKey(), cluster, func(*plantest.Cluster) bool { return false })
	v, ok := view.Get[*corev1.PersistentVolume](cluster.Snapshot(), kind.PersistentVolumes, "", "pvc-c1")
	if !ok {
		t.Fatal("no volume")
	}
	if v.Spec.Local.Path != "/vol/pvc-c1" || v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
		v.Spec.ClaimRef.UID != "c1" || v.Annotations["pv.kubernetes.io/provisioned-by"] != volume.Provisioner ||
		!slices.Contains(v.Finalizers, volume.Finalizer) || v.Spec.StorageClassName != "local-path" {
		t.Errorf("volume %+v", v)
	}
	c, _ := view.Get[*corev1.PersistentVolumeClaim](cluster.Snapshot(), kind.PersistentVolumeClaims, "default", "data")
	if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName != "pvc-c1" || c.Status.Capacity.Storage().String() != "5Gi" ||
		c.Annotations["pv.kubernetes.io/bound-by-controller"] != "yes" {
		t.Errorf("claim %+v", c)
	}
}

func TestSameEventIsSaidOnce(t *testing.T) {
	snap := plantest.New(now(), volume.DefaultStorageClass(), claim()).Snapshot()
	p, mem := claims().Decide(snap, claimKey(), now(), nil)
	if p.Reasons[0].EventReason == "" {
		t.Error("not said at all")
	}
	if p, _ = claims().Decide(snap, claimKey(), now(), mem); p.Reasons[0].EventReason != "" {
		t.Error("said again")
	}
}

func TestVolumes(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"new", []kind.Object{pv("a", "", "1Gi", phase(corev1.VolumePending))}, "status persistentvolumes/a"},
		{"available", []kind.Object{pv("a", "", "1Gi")}, "nothing"},
		{"bound", []kind.Object{pv("a", "", "1Gi", forClaim("c1")), claim(bound("a"))}, "status persistentvolumes/a"},
		{"claim is being bound", []kind.Object{pv("a", "", "1Gi", forClaim("c1")), claim()}, "waiting: waiting for claim default/data to be bound"},
		{"retained", []kind.Object{pv("a", "", "1Gi", forClaim("c1"), phase(corev1.VolumeBound))}, "status persistentvolumes/a"},
		{"retained for the next claim of that name", []kind.Object{pv("a", "", "1Gi", forClaim("c0"), phase(corev1.VolumeReleased)), claim()}, "nothing"},
		{"deleted with its claim", []kind.Object{pv("a", "", "1Gi", forClaim("c1"), deletePolicy, provisioned, phase(corev1.VolumeBound))},
			"status persistentvolumes/a; delete persistentvolumes/a"},
		{"nobody can delete it", []kind.Object{pv("a", "", "1Gi", forClaim("c1"), deletePolicy, phase(corev1.VolumeBound))},
			`status persistentvolumes/a; warning VolumeFailedDelete: error getting deleter volume plugin for volume "a": no deletable volume plugin matched`},
		{"deleted, unused", []kind.Object{pv("a", "", "1Gi", going)}, "update persistentvolumes/a"},
		{"deleted, in use", []kind.Object{pv("a", "", "1Gi", going, forClaim("c1"), phase(corev1.VolumeBound)), claim(bound("a"))}, "nothing"},
		{"its claim went elsewhere", []kind.Object{pv("a", "", "1Gi", forClaim("c1"), func(v *corev1.PersistentVolume) {
			v.Annotations["pv.kubernetes.io/bound-by-controller"] = "yes"
		}), claim(bound("b"))}, "update persistentvolumes/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plantest.Check(t, volumes(), volumeKey("a"), now(), c.objects...)
			p, _ := volumes().Decide(plantest.New(now(), c.objects...).Snapshot(), volumeKey("a"), now(), nil)
			if got := strings.ReplaceAll(strings.TrimSpace(plantest.Text(p, now())), "\n", "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestVolumeWaitsForItsNodeToRemoveTheDirectory(t *testing.T) {
	v := pv("a", "", "1Gi", forClaim("c1"), deletePolicy, provisioned, going, phase(corev1.VolumeReleased))
	v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}}}}}}}
	cluster := plantest.New(now(), v, node("n1"))
	settle := func() *corev1.PersistentVolume {
		plantest.Fixpoint(t, volumes(), volumeKey("a"), cluster, func(*plantest.Cluster) bool { return false })
		v, _ := view.Get[*corev1.PersistentVolume](cluster.Snapshot(), kind.PersistentVolumes, "", "a")
		return v
	}
	if v := settle(); v == nil || !slices.Equal(v.Finalizers, []string{volume.Finalizer}) {
		t.Errorf("volume %+v", v)
	}
	cluster.Remove(view.Key{Kind: kind.Nodes, Name: "n1"})
	if v := settle(); v != nil {
		t.Errorf("without its node the volume stays: %v", v.Finalizers)
	}
}
