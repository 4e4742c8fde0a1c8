package admit

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/view"
)

// enforceMountable is the annotation of an account whose pods may use the Secrets only that the account names.
const enforceMountable = "kubernetes.io/enforce-mountable-secrets"

// MountableSecrets refuses pods that use Secrets which their account does not name, if the account is annotated so: in
// volumes, as variables, for their ephemeral containers too, and to pull images.
func MountableSecrets(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID != kind.Pods || !(req.Verb == Create && req.Subresource == "" || req.Verb == Update && req.Subresource == "ephemeralcontainers") {
		return nil
	}
	pod, ok := req.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	account, ok := view.Get[*corev1.ServiceAccount](snap, kind.ServiceAccounts, req.Namespace, pod.Spec.ServiceAccountName)
	if !ok {
		return nil
	}
	if enforce, err := strconv.ParseBool(account.Annotations[enforceMountable]); err != nil || !enforce {
		return nil
	}
	unnamed := func(name string) bool {
		return !slices.ContainsFunc(account.Secrets, func(ref corev1.ObjectReference) bool { return ref.Name == name })
	}
	var first error
	refuse := func(what, name string) {
		if first == nil {
			first = forbidden(req, "%s is not allowed because service account %s does not reference that %s", what, account.Name, name)
		}
	}
	const secret = `secret.secretName=%q`
	variables := func(what string, env []corev1.EnvVar, from []corev1.EnvFromSource) {
		for _, e := range env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && unnamed(e.ValueFrom.SecretKeyRef.Name) {
				refuse(fmt.Sprintf("%s with envVar %s referencing "+secret, what, e.Name, e.ValueFrom.SecretKeyRef.Name), "secret")
			}
		}
		for _, f := range from {
			if f.SecretRef != nil && unnamed(f.SecretRef.Name) {
				refuse(fmt.Sprintf("%s with envFrom referencing "+secret, what, f.SecretRef.Name), "secret")
			}
		}
	}
	if req.Verb == Create {
		for _, v := range pod.Spec.Volumes {
			if v.Secret != nil && unnamed(v.Secret.SecretName) {
				refuse(fmt.Sprintf("volume with "+secret, v.Secret.SecretName), "secret")
			}
		}
		for _, c := range pod.Spec.InitContainers {
			variables("init container "+c.Name, c.Env, c.EnvFrom)
		}
		for _, c := range pod.Spec.Containers {
			variables("container "+c.Name, c.Env, c.EnvFrom)
		}
		for i, ref := range pod.Spec.ImagePullSecrets {
			if !slices.Contains(account.ImagePullSecrets, ref) {
				refuse(fmt.Sprintf("imagePullSecrets[%d].name=%q", i, ref.Name), "imagePullSecret")
			}
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		variables("ephemeral container "+c.Name, c.Env, c.EnvFrom)
	}
	return first
}
