package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/view"
)

// Token implements client.TokenIssuer: a token is the time at which it was made.
func (f *fakeAPI) Token(_ context.Context, account view.Key, r *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Snapshot().Get(account) == nil {
		return nil, apierrors.NewNotFound(account.Kind.GroupResource(), account.Name)
	}
	out := r.DeepCopy()
	out.Status.Token = fmt.Sprint(time.Now().Unix())
	out.Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(time.Duration(*r.Spec.ExpirationSeconds) * time.Second))
	return out, nil
}

func TestTokenOfARunningPodIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "robot"
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(1000))},
			}}}}}}
		}))
		synctest.Wait()
		if p := b.pod("web"); p.Status.Phase == corev1.PodRunning {
			t.Error("the pod runs without the token that it asks for")
		}
		made := time.Now()
		b.api.mu.Lock()
		b.api.put(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "robot"}}, "put")
		b.api.mu.Unlock()
		synctest.Wait() // the account wakes the pod; nothing is waited for
		b.wantReady("web")
		token := func() string {
			t.Helper()
			data, err := os.ReadFile(filepath.Join(b.dir, "root/pods/uid-web/volumes/kubernetes.io~projected/v/token"))
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		for renewals, wait := range []time.Duration{0, 799 * time.Second, 2 * time.Second, 798 * time.Second} {
			time.Sleep(wait)
			synctest.Wait()
			want := fmt.Sprint(made.Add(time.Duration(renewals/2) * 800 * time.Second).Unix())
			if got := token(); got != want {
				t.Errorf("after %v the token is of %s, want %s", time.Since(made), got, want)
			}
		}
		b.delete("web", 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.pod("web") != nil {
			t.Error("the pod is still there")
		}
		b.stop()
	})
}

func TestRuntimeClassNamesTheRuntimesHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.api.mu.Lock()
		b.api.put(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "plain"}, Handler: ""}, "put")
		b.api.put(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "vm"}, Handler: "kata"}, "put")
		b.api.mu.Unlock()
		for _, class := range []string{"plain", "vm", "none"} {
			b.create(newPod(class, func(p *corev1.Pod) { p.Spec.RuntimeClassName = &class }))
		}
		synctest.Wait()
		b.wantReady("plain")
		for _, want := range []string{`no runtime for "kata" is configured`, `RuntimeClass "none" not found`} {
			if !b.events.said(want) {
				t.Errorf("nobody says %q", want)
			}
		}
		b.stop()
	})
}
