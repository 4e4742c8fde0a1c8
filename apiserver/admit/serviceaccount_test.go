package admit_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
	"sampan/view"
)

const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

func TestPodGetsATokenOfItsAccount(t *testing.T) {
	account := func(automount *bool) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "default"}, AutomountServiceAccountToken: automount}
	}
	two := func(p *corev1.Pod) {
		p.Spec.InitContainers, p.Spec.Containers = []corev1.Container{{Name: "i"}}, []corev1.Container{{Name: "a"}, {Name: "b"}}
	}
	for _, c := range []struct {
		name    string
		snap    *view.Snapshot
		change  func(*corev1.Pod)
		mounted string // the containers
		volumes int
	}{
		{"every container", cluster(account(nil)), two, "i a b", 1},
		{"an account that is not there yet", cluster(), two, "i a b", 1},
		{"the account says no", cluster(account(new(false))), two, "", 0},
		{"the pod says yes", cluster(account(new(false))), func(p *corev1.Pod) { two(p); p.Spec.AutomountServiceAccountToken = new(true) }, "i a b", 1},
		{"the pod says no", cluster(account(nil)), func(p *corev1.Pod) { two(p); p.Spec.AutomountServiceAccountToken = new(false) }, "", 0},
		{"something of its own there", cluster(account(nil)), func(p *corev1.Pod) {
			two(p)
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: tokenPath}}
		}, "i b", 1},
		{"something of its own everywhere", cluster(account(nil)), func(p *corev1.Pod) {
			own := []corev1.VolumeMount{{Name: "own", MountPath: tokenPath}}
			p.Spec.Containers = []corev1.Container{{Name: "a", VolumeMounts: own}, {Name: "b", VolumeMounts: own}}
		}, "", 0},
		{"mounts elsewhere", cluster(account(nil)), func(p *corev1.Pod) {
			two(p)
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: tokenPath + "/x"}}
		}, "i a b", 1},
		{"a volume of its own", cluster(account(nil)), func(p *corev1.Pod) {
			two(p)
			p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-own"}}
		}, "i a b", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pod(c.change)
			refused(t, admit.ServiceAccount(request(admit.Create, p, nil), c.snap), 0, "")
			var mounted []string
			for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
				for _, ctr := range list {
					for _, m := range ctr.VolumeMounts {
						if m.MountPath == tokenPath && m.ReadOnly && strings.HasPrefix(m.Name, "kube-api-access-") && m.Name == p.Spec.Volumes[0].Name {
							mounted = append(mounted, ctr.Name)
						}
					}
				}
			}
			if got := strings.Join(mounted, " "); got != c.mounted {
				t.Errorf("mounted in %q, want %q", got, c.mounted)
			}
			if len(p.Spec.Volumes) != c.volumes {
				t.Errorf("%d volumes, want %d", len(p.Spec.Volumes), c.volumes)
			}
		})
	}

	pulling := account(nil)
	pulling.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "account's"}}
	for _, own := range []string{"", "own"} {
		p := pod(func(p *corev1.Pod) {
			if two(p); own != "" {
				p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: own}}
			}
		})
		refused(t, admit.ServiceAccount(request(admit.Create, p, nil), cluster(pulling)), 0, "")
		want := own
		if want == "" {
			want = "account's"
		}
		if len(p.Spec.ImagePullSecrets) != 1 || p.Spec.ImagePullSecrets[0].Name != want {
			t.Errorf("pull secrets %v, want %s", p.Spec.ImagePullSecrets, want)
		}
	}
	names := make(map[string]bool)
	for _, name := range []string{"p", "q", "r"} {
		p := pod(func(p *corev1.Pod) { two(p); p.Name = name })
		refused(t, admit.ServiceAccount(request(admit.Create, p, nil), cluster()), 0, "")
		names[p.Spec.Volumes[0].Name] = true
	}
	if len(names) != 3 {
		t.Errorf("volumes of three pods are named %v", names)
	}

	p := pod(two)
	refused(t, admit.ServiceAccount(request(admit.Create, p, nil), cluster()), 0, "")
	want := []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
			Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace",
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
	}
	if d := cmp.Diff(want, p.Spec.Volumes[0].Projected.Sources); d != "" {
		t.Error(d)
	}
}

func TestMirrorPodGetsNothingSecret(t *testing.T) {
	mirror := func(change func(*corev1.Pod)) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
			change(p)
		})
	}
	refused(t, admit.ServiceAccount(request(admit.Create, mirror(func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{}}}}}}
	}), nil), cluster()), 403, "a mirror pod may not reference secrets")
	for text, change := range map[string]func(*corev1.Pod){
		"a mirror pod may not reference service accounts": func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" },
		"a mirror pod may not reference secrets": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}}}
		},
		"a mirror pod may not use ServiceAccountToken volume projections": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}}}}}}
		},
	} {
		refused(t, admit.ServiceAccount(request(admit.Create, mirror(change), nil), cluster()), 403, text)
	}
}

func TestPodsOfARestrictedAccountUseItsSecretsOnly(t *testing.T) {
	account := func(enforce string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "robot", Annotations: map[string]string{"kubernetes.io/enforce-mountable-secrets": enforce}},
			Secrets:    []corev1.ObjectReference{{Name: "mine"}}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
		}
	}
	uses := func(name string) (corev1.Volume, []corev1.EnvVar, []corev1.EnvFromSource) {
		ref := corev1.LocalObjectReference{Name: name}
		return corev1.Volume{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}},
			[]corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref}}}},
			[]corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}}
	}
	fine, fineEnv, fineFrom := uses("mine")
	volume, env, from := uses("other")
	const because = " is not allowed because service account robot does not reference that "
	for _, c := range []struct {
		change func(p *corev1.Pod)
		text   string
	}{
		{func(p *corev1.Pod) {
			p.Spec.Volumes, p.Spec.Containers = []corev1.Volume{fine}, []corev1.Container{{Name: "c", Env: fineEnv, EnvFrom: fineFrom}}
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
		}, ""},
		{func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{fine, volume} }, `volume with secret.secretName="other"` + because + "secret"},
		{func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "i", Env: env}} }, `init container i with envVar E referencing secret.secretName="other"` + because + "secret"},
		{func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "c", Env: env}} }, `container c with envVar E referencing secret.secretName="other"` + because + "secret"},
		{func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "c", EnvFrom: from}} }, `container c with envFrom referencing secret.secretName="other"` + because + "secret"},
		{func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "other"}} }, `imagePullSecrets[0].name="other"` + because + "imagePullSecret"},
	} {
		p := pod(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "robot"; c.change(p) })
		code := int32(403)
		if c.text == "" {
			code = 0
		}
		refused(t, admit.MountableSecrets(request(admit.Create, p, nil), cluster(account("true"))), code, c.text)
		refused(t, admit.MountableSecrets(request(admit.Create, p, nil), cluster(account("no"))), 0, "")
	}
	p := pod(func(p *corev1.Pod) {
		p.Spec.ServiceAccountName = "robot"
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "d", EnvFrom: from}}}
	})
	req := request(admit.Update, p, p)
	refused(t, admit.MountableSecrets(req, cluster(account("true"))), 0, "")
	req.Subresource = "ephemeralcontainers"
	refused(t, admit.MountableSecrets(req, cluster(account("true"))), 403, `ephemeral container d with envFrom referencing secret.secretName="other"`+because+"secret")
}
