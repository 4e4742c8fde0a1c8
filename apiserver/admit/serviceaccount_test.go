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
