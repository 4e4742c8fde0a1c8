package nodeauth_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/nodeauth"
	"sampan/kind"
	"sampan/view"
)

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func world() *view.Snapshot {
	pod := func(name, node string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: meta("shop", name), Spec: corev1.PodSpec{NodeName: node, ServiceAccountName: name + "-account"}}
		if change != nil {
			change(p)
		}
		return p
	}
	volume := func(source corev1.VolumeSource) corev1.Volume { return corev1.Volume{Name: "v", VolumeSource: source} }
	name := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	type object struct {
		id  kind.ID
		obj kind.Object
	}
	secret := func(name string) *corev1.SecretReference { return &corev1.SecretReference{Name: name} }
	stored := new("storage")
	var claimed []object
	var mounts []corev1.Volume
	for n, source := range map[string]corev1.PersistentVolumeSource{
		"stage":     {CSI: &corev1.CSIPersistentVolumeSource{NodeStageSecretRef: secret("pv-stage"), NodeExpandSecretRef: secret("pv-expand"), ControllerPublishSecretRef: secret("pv-controller")}},
		"iscsi":     {ISCSI: &corev1.ISCSIPersistentVolumeSource{SecretRef: secret("pv-iscsi")}},
		"flex":      {FlexVolume: &corev1.FlexPersistentVolumeSource{SecretRef: secret("pv-flex")}},
		"cephfs":    {CephFS: &corev1.CephFSPersistentVolumeSource{SecretRef: secret("pv-cephfs")}},
		"rbd":       {RBD: &corev1.RBDPersistentVolumeSource{SecretRef: secret("pv-rbd")}},
		"scaleio":   {ScaleIO: &corev1.ScaleIOPersistentVolumeSource{SecretRef: secret("pv-scaleio")}},
		"cinder":    {Cinder: &corev1.CinderPersistentVolumeSource{SecretRef: secret("pv-cinder")}},
		"storageos": {StorageOS: &corev1.StorageOSPersistentVolumeSource{SecretRef: &corev1.ObjectReference{Namespace: "storage", Name: "pv-storageos"}}},
		"bare":      {StorageOS: &corev1.StorageOSPersistentVolumeSource{}},
		"azure":     {AzureFile: &corev1.AzureFilePersistentVolumeSource{SecretName: "pv-azure"}},
		"azure2":    {AzureFile: &corev1.AzureFilePersistentVolumeSource{SecretName: "pv-azure2", SecretNamespace: stored}},
		"hostpath":  {HostPath: &corev1.HostPathVolumeSource{}},
	} {
		mounts = append(mounts, volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: n}}))
		claimed = append(claimed,
			object{kind.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", n), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: n}}},
			object{kind.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: meta("", n), Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: source}}})
	}
	var w view.World
	for i, o := range append(claimed, []object{
		{kind.Pods, pod("web", "n1", func(p *corev1.Pod) {
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{name("pull")}
			p.Spec.InitContainers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: name("init-env")}}}}}
			p.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{{Name: "plain"}, {ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: name("key")}}}, {ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("env")}}}}}}
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: name("debug")}}}}}}
			p.Spec.Volumes = []corev1.Volume{
				volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "mounted"}}),
				volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: name("projected")}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name("kube-root-ca.crt")}},
				}}}),
				volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name("mounted")}}),
				volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: new(name("by-csi"))}}),
				volume(corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{SecretRef: new(name("by-iscsi"))}}),
				volume(corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{SecretRef: new(name("by-flex"))}}),
				volume(corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{SecretRef: new(name("by-cephfs"))}}),
				volume(corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{SecretRef: new(name("by-rbd"))}}),
				volume(corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{}}),
				volume(corev1.VolumeSource{AzureFile: &corev1.AzureFileVolumeSource{SecretName: "by-azure"}}),
				volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}),
				volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "moved"}}),
				{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
			}
		})},
		{kind.Pods, pod("mounts", "n1", func(p *corev1.Pod) { p.Spec.Volumes = mounts })},
		{kind.Pods, pod("other", "n2", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "theirs"}})}
		})},
		{kind.Pods, pod("mirror", "n1", func(p *corev1.Pod) {
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{name("by-mirror")}
		})},
		{kind.Pods, pod("waiting", "", nil)},
		{kind.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", "data"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv"}}},
		{kind.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: meta("", "pv"), Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				NodePublishSecretRef: &corev1.SecretReference{Namespace: "storage", Name: "csi"},
			}},
		}}},
		{kind.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: meta("", "free")}},
		{kind.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: meta("", "left"), Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "moved"}}}},
		{kind.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", "moved"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "elsewhere"}}},
		{kind.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: meta("", "unused"), Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "unused"}}}},
		{kind.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", "unused"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "unused"}}},
		{kind.VolumeAttachments, &storagev1.VolumeAttachment{ObjectMeta: meta("", "theirs"), Spec: storagev1.VolumeAttachmentSpec{NodeName: "n2"}}},
		{kind.VolumeAttachments, &storagev1.VolumeAttachment{ObjectMeta: meta("", "va"), Spec: storagev1.VolumeAttachmentSpec{NodeName: "n1"}}},
	}...) {
		w.Put(o.id, o.obj, int64(i+1))
	}
	return w.Snapshot()
}

func TestNodesSeeTheirOwnOnly(t *testing.T) {
	n1 := auth.User{Name: "system:node:n1", Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}
	authorize := nodeauth.Authorizer(world())
	for _, c := range []struct {
		request string // verb resource[/subresource][.group] [namespace/]name [fieldSelector]
		want    string // "yes", or what the reason begins with; "no" without a reason
	}{
		{"get secrets shop/mounted", "yes"},
		{"get secrets shop/projected", "yes"},
		{"get secrets shop/env", "yes"},
		{"get secrets shop/debug", "yes"},
		{"get secrets shop/pull", "yes"},
		{"watch secrets shop/pull", "yes"},
		{"get secrets storage/csi", "yes"},
		{"get secrets shop/by-csi", "yes"},
		{"get secrets shop/by-iscsi", "yes"},
		{"get secrets shop/by-flex", "yes"},
		{"get secrets shop/by-cephfs", "yes"},
		{"get secrets shop/by-rbd", "yes"},
		{"get secrets shop/by-azure", "yes"},
		{"get secrets shop/pv-stage", "yes"},
		{"get secrets shop/pv-expand", "yes"},
		{"get secrets shop/pv-controller", "no relationship"},
		{"get secrets shop/pv-iscsi", "yes"},
		{"get secrets shop/pv-flex", "yes"},
		{"get secrets shop/pv-cephfs", "yes"},
		{"get secrets shop/pv-rbd", "yes"},
		{"get secrets shop/pv-scaleio", "yes"},
		{"get secrets shop/pv-cinder", "yes"},
		{"get secrets storage/pv-storageos", "yes"},
		{"get secrets shop/pv-azure", "yes"},
		{"get secrets storage/pv-azure2", "yes"},
		{"get secrets shop/pv-azure2", "no relationship"},
		{"get secrets storage/pv-rbd", "no relationship"},
		{"get secrets shop/key", "no relationship"},
		{"get secrets/x shop/mounted", "cannot read subresource"},
		{"get secrets shop/theirs", "no relationship found between node 'n1' and this object"},
		{"get secrets shop/by-mirror", "no relationship"},
		{"get secrets ops/mounted", "no relationship"},
		{"list secrets shop/", "No Object name found"},
		{"update secrets shop/mounted", "can only read resources of this type"},
		{"get configmaps shop/init-env", "yes"},
		{"get configmaps shop/mounted", "yes"},
		{"get configmaps shop/key", "yes"},
		{"get configmaps shop/env", "no relationship"},
		{"get configmaps ops/mounted", "no relationship"},
		{"get configmaps shop/kube-root-ca.crt", "yes"},
		{"get configmaps shop/x", "no relationship"},
		{"get persistentvolumeclaims shop/data", "yes"},
		{"get persistentvolumeclaims shop/web-scratch", "yes"},
		{"update persistentvolumeclaims/status shop/data", "yes"},
		{"update persistentvolumeclaims/status shop/unused", "no relationship"},
		{"delete persistentvolumeclaims/status shop/data", "can only get/update/patch this type"},
		{"get persistentvolumeclaims/x shop/data", "cannot get subresource"},
		{"get persistentvolumeclaims shop/unused", "no relationship"},
		{"get persistentvolumeclaims shop/v", "no relationship"},
		{"update persistentvolumeclaims shop/data", "can only get individual resources of this type"},
		{"get persistentvolumes pv", "yes"},
		{"get persistentvolumes free", "no relationship"},
		{"get volumeattachments.storage.k8s.io va", "yes"},
		{"get persistentvolumes left", "no relationship"},
		{"get persistentvolumes unused", "no relationship"},
		{"get persistentvolumes gone", "no relationship"},
		{"list persistentvolumes ", "can only get individual resources of this type"},
		{"get volumeattachments.storage.k8s.io theirs", "no relationship"},
		{"get volumeattachments.storage.k8s.io vb", "no relationship"},
		{"create serviceaccounts/token shop/web-account", "yes"},
		{"create serviceaccounts/token shop/other-account", "no relationship"},
		{"get serviceaccounts/token shop/web-account", "can only create tokens for individual service accounts"},
		{"get serviceaccounts shop/web-account", "yes"},
		{"create serviceaccounts shop/web-account", "can only get individual resources of this type"},
		{"get nodes n1", "yes"},
		{"get nodes n2", "node 'n1' cannot read 'n2', only its own Node object"},
		{"list nodes ", "node 'n1' cannot read all nodes, only its own Node object"},
		{"watch nodes n1", "yes"},
		{"patch nodes/status n1", "yes"},
		{"patch nodes/status n2", "node 'n1' is not allowed to modify node 'n2'"},
		{"get nodes/status n1", "no"},
		{"watch nodes ", "node 'n1' cannot read all nodes, only its own Node object"},
		{"update nodes n1", "yes"},
		{"update nodes n2", "node 'n1' is not allowed to modify node 'n2'"},
		{"delete nodes n1", "no"},
		{"create nodes ", "yes"},
		{"get pods shop/web", "yes"},
		{"get pods shop/other", "no relationship"},
		{"list pods  spec.nodeName=n1", "yes"},
		{"watch pods  spec.nodeName=n1,status.phase!=Failed", "yes"},
		{"list pods  spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"},
		{"list pods ", "can only list/watch pods"},
		{"list pods  status.phase=n1", "can only list/watch pods"},
		{"list pods  spec.nodeName!=n1", "can only list/watch pods"},
		{"list pods  spec.nodeName=n1,(", "can only list/watch pods"},
		{"list pods shop/web", "yes"},
		{"list pods shop/other", "no relationship"},
		{"watch pods shop/other", "no relationship"},
		{"get pods shop/gone", "no relationship"},
		{"create pods shop/", "yes"},
		{"create pods/eviction shop/web", "yes"},
		{"create pods/binding shop/web", "no"},
		{"delete pods shop/gone", "yes"},
		{"patch pods/status shop/web", "yes"},
		{"patch pods/status shop/other", "node 'n1' can only change pods"},
		{"delete pods shop/waiting", "node 'n1' can only change pods"},
		{"delete pods shop/web", "yes"},
		{"create pods/eviction shop/other", "node 'n1' can only change pods"},
		{"update pods shop/web", "no"},
		{"update leases.coordination.k8s.io kube-node-lease/n1", "yes"},
		{"create leases.coordination.k8s.io kube-node-lease/", "yes"},
		{"get leases.coordination.k8s.io kube-node-lease/n1", "yes"},
		{"patch leases.coordination.k8s.io kube-node-lease/n1", "yes"},
		{"delete leases.coordination.k8s.io kube-node-lease/n1", "yes"},
		{"update leases/status.coordination.k8s.io kube-node-lease/n1", "cannot access subresources of a node lease"},
		{"update leases.other.io kube-node-lease/n1", "no"},
		{"update csinodes.storage.k8s.io n1", "yes"},
		{"create csinodes.storage.k8s.io ", "yes"},
		{"get csinodes.storage.k8s.io n2", "can only access CSINode with the same name as the requesting node"},
		{"list csinodes.storage.k8s.io ", "can only get, create, update, patch, or delete a CSINode"},
		{"get csinodes/status.storage.k8s.io n1", "cannot authorize CSINode subresources"},
		{"get /metrics", "no"},
		{"update leases.coordination.k8s.io kube-node-lease/n2", "can only access node lease with the same name"},
		{"get leases.coordination.k8s.io shop/n1", "can only access leases in the"},
		{"list leases.coordination.k8s.io kube-node-lease/", "can only get, create, update"},
		{"list services ", "yes"},
		{"create events shop/", "yes"},
		{"list deployments.apps ", "no"},
		{"create tokenreviews.authentication.k8s.io ", "yes"},
	} {
		verb, rest, _ := strings.Cut(c.request, " ")
		resource, rest, _ := strings.Cut(rest, " ")
		name, selector, _ := strings.Cut(rest, " ")
		resource, group, _ := strings.Cut(resource, ".")
		resource, sub, _ := strings.Cut(resource, "/")
		a := auth.Attributes{User: n1, Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: name, FieldSelector: selector}
		if ns, n, ok := strings.Cut(name, "/"); ok {
			a.Namespace, a.Name = ns, n
		}
		if strings.HasPrefix(resource, "/") {
			a = auth.Attributes{User: n1, Verb: verb, Path: "/metrics"}
		}
		ok, reason := authorize(a)
		switch c.want {
		case "yes", "no":
			if ok != (c.want == "yes") || reason != "" {
				t.Errorf("%s: %v %q", c.request, ok, reason)
			}
		default:
			if ok || !strings.HasPrefix(reason, c.want) {
				t.Errorf("%s: %v %q, want %q", c.request, ok, reason, c.want)
			}
		}
	}
}

func TestOthersAreNoNodes(t *testing.T) {
	for _, u := range []auth.User{
		{Name: "bob", Groups: []string{auth.GroupNodes}},
		{Name: "system:node:n1"},
		{Name: "system:node:", Groups: []string{auth.GroupNodes}},
	} {
		if ok, reason := nodeauth.Authorizer(world())(auth.Attributes{User: u, Verb: "get", Resource: "services", Namespace: "shop", Name: "x"}); ok || reason != "" {
			t.Errorf("%+v: %v %q", u, ok, reason)
		}
	}
}
