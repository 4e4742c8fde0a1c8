package admit

import (
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/view"
)

const defaultServiceAccount = "default"

// What a pod finds of its account, and where.
const (
	tokenVolumePrefix = "kube-api-access-"
	tokenMountPath    = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenSeconds      = 3607 // an hour, told from pods that ask for exactly one
	rootCAConfigMap   = "kube-root-ca.crt"
)

// ServiceAccount gives a new pod the account "default" if it names none, the account's image pull secrets if it has
// none of its own, and a volume with the account's token in every container, unless the pod or else the account
// says automountServiceAccountToken: false. An account must exist, except "default": the controller that makes it
// may be a moment behind the namespace, and the pod waits on its node for the token. Pods of static manifests
// (mirror pods) have no account.
func ServiceAccount(req *Request, snap *view.Snapshot) error {
	pod := podOf(req)
	if pod == nil || req.Verb != Create {
		return nil
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return checkMirror(req, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultServiceAccount
	}
	name := pod.Spec.ServiceAccountName
	pod.Spec.DeprecatedServiceAccount = name
	account, _ := snap.Get(view.Key{Kind: kind.ServiceAccounts, Namespace: req.Namespace, Name: name}).(*corev1.ServiceAccount)
	if account == nil {
		if name != defaultServiceAccount {
			return forbidden(req, "error looking up service account %s/%s: serviceaccount %q not found", req.Namespace, name, name)
		}
		account = new(corev1.ServiceAccount)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(account.ImagePullSecrets)
	}
	automount := true
	if a := account.AutomountServiceAccountToken; a != nil {
		automount = *a
	}
	if a := pod.Spec.AutomountServiceAccountToken; a != nil {
		automount = *a
	}
	if automount {
		mountToken(req, pod)
	}
	return nil
}

// mountToken mounts the token where clients look for it, in each container that has nothing there.
func mountToken(req *Request, pod *corev1.Pod) {
	volume, have := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolumePrefix) {
			volume, have = v.Name, true
			break
		}
	}
	if !have {
		volume = tokenVolumePrefix + suffix(req.Namespace+"/"+pod.Name+"/"+pod.GenerateName)
	}
	needed := false
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenMountPath }) {
				continue
			}
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, ReadOnly: true, MountPath: tokenMountPath})
			needed = true
		}
	}
	if have || !needed {
		return
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(corev1.ProjectedVolumeSourceDefaultMode),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: corev1.ServiceAccountTokenKey, ExpirationSeconds: new(int64(tokenSeconds))}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: rootCAConfigMap},
				Items:                []corev1.KeyToPath{{Key: corev1.ServiceAccountRootCAKey, Path: corev1.ServiceAccountRootCAKey}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: corev1.ServiceAccountNamespaceKey, FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}})
}

// suffix returns five letters in the form of generated names. They need only differ from what a pod's author
// writes, so they are a function of the pod's name.
func suffix(of string) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	h := fnv.New64a()
	h.Write([]byte(of))
	x := h.Sum64()
	var b [5]byte
	for i := range b {
		b[i] = alphabet[x%uint64(len(alphabet))]
		x /= uint64(len(alphabet))
	}
	return string(b[:])
}
