package volume_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/node/volume"
	"sampan/view"
)

// issuer numbers the tokens that it issues.
type issuer struct {
	now   time.Time
	n     int
	fail  error
	asked []*authenticationv1.TokenRequest
}

func (i *issuer) clock() time.Time { return i.now }

func (i *issuer) issue(_ context.Context, account view.Key, r *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	if i.fail != nil {
		return nil, i.fail
	}
	i.asked = append(i.asked, r)
	i.n++
	out := r.DeepCopy()
	out.Status.Token = fmt.Sprintf("%s/%s#%d", account.Namespace, account.Name, i.n)
	out.Status.ExpirationTimestamp = metav1.NewTime(i.now.Add(time.Duration(*r.Spec.ExpirationSeconds) * time.Second))
	return out, nil
}

func tokenPod(seconds int64) *corev1.Pod {
	pod := podWith(vol("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
		ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds},
	}}}}))
	pod.Spec.ServiceAccountName = "robot"
	return pod
}

func TestTokenIsBoundToThePodAndRenewedBeforeItEnds(t *testing.T) {
	i := &issuer{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	m := volume.New(t.TempDir(), i.issue, i.clock)
	pod := tokenPod(1000)
	t.Cleanup(func() {
		if err := m.Unmount(pod.UID); err != nil {
			t.Error(err)
		}
	})
	dir := mount(t, m, pod, facts())
	token := func() string { return content(t, dir+"/token") }
	if got := token(); got != "ns/robot#1" {
		t.Fatalf("the token is %q", got)
	}
	if ref := i.asked[0].Spec.BoundObjectRef; ref == nil || ref.Kind != "Pod" || ref.UID != pod.UID || ref.Name != pod.Name {
		t.Errorf("the token is bound to %v", ref)
	}
	start := i.now
	if due := m.NextUpdate(pod.UID); !due.Equal(start.Add(800 * time.Second)) {
		t.Errorf("renewal is due at %v", due)
	}
	for _, step := range []struct {
		at    time.Duration
		fail  error
		want  string
		fails bool
		due   time.Duration
	}{
		{at: 799 * time.Second, want: "ns/robot#1", due: 800 * time.Second},
		{at: 800 * time.Second, want: "ns/robot#2", due: 1600 * time.Second},
		{at: 1600 * time.Second, fail: errors.New("down"), want: "ns/robot#2", due: 1610 * time.Second},
		{at: 1610 * time.Second, want: "ns/robot#3", due: 2410 * time.Second},
		{at: 9999 * time.Second, fail: errors.New("down"), want: "ns/robot#3", fails: true, due: 10009 * time.Second},
	} {
		i.now, i.fail = start.Add(step.at), step.fail
		if err := m.Update(t.Context(), pod, facts()); (err != nil) != step.fails {
			t.Errorf("at %v: %v", step.at, err)
		}
		if got := token(); got != step.want {
			t.Errorf("at %v the token is %q, want %q", step.at, got, step.want)
		}
		if due := m.NextUpdate(pod.UID).Sub(start); due != step.due {
			t.Errorf("at %v renewal is due at %v, want %v", step.at, due, step.due)
		}
	}
	if err := m.Unmount(pod.UID); err != nil || !m.NextUpdate(pod.UID).IsZero() {
		t.Errorf("a pod that is gone has tokens still (%v)", err)
	}
}

func TestPodWaitsForAToken(t *testing.T) {
	i := &issuer{fail: errors.New(`serviceaccounts "robot" not found`)}
	m := volume.New(t.TempDir(), i.issue, i.clock)
	err := m.Mount(t.Context(), tokenPod(600), facts())
	if err == nil || !strings.Contains(err.Error(), `MountVolume.SetUp failed for volume "v" : failed to fetch token: serviceaccounts "robot" not found`) {
		t.Errorf("error is %v", err)
	}
	err = volume.New(t.TempDir(), nil, time.Now).Mount(t.Context(), tokenPod(600), facts())
	if err == nil || !strings.Contains(err.Error(), "no issuer") {
		t.Errorf("error is %v", err)
	}
}

func TestTokenFileIsForThePodsOwnUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	for _, c := range []struct {
		name   string
		change func(*corev1.Pod)
		mode   os.FileMode
	}{
		{"any user", func(*corev1.Pod) {}, 0o644},
		{"one user", func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1234))}
			p.Spec.Containers = []corev1.Container{{Name: "c"}}
		}, 0o600},
		{"a group", func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(1234))}
		}, 0o640},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &issuer{now: time.Unix(1e9, 0)}
			m := volume.New(t.TempDir(), i.issue, i.clock)
			pod := tokenPod(600)
			mode := corev1.ProjectedVolumeSourceDefaultMode
			pod.Spec.Volumes[0].Projected.DefaultMode = &mode
			c.change(pod)
			t.Cleanup(func() {
				if err := m.Unmount(pod.UID); err != nil {
					t.Error(err)
				}
			})
			dir := mount(t, m, pod, facts())
			st, err := os.Stat(dir + "/token")
			if err != nil {
				t.Fatal(err)
			}
			if got := st.Mode().Perm(); got != c.mode {
				t.Errorf("mode is %o, want %o", got, c.mode)
			}
		})
	}
}
