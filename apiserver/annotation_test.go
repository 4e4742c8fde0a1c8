package apiserver_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/apiserver/audit"
)

type closing struct{ bytes.Buffer }

func (*closing) Close() error { return nil }

func TestAuditLogHoldsWhatPodSecurityFound(t *testing.T) {
	lines := new(closing)
	log := audit.New(lines, audit.Everything(), silent())
	c := clientset(t, listen(t, newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = log })))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "watched", Labels: map[string]string{"pod-security.kubernetes.io/audit": "baseline"}}}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := pod("p")
	p.Namespace, p.Spec.HostNetwork = "watched", true
	if _, err := c.CoreV1().Pods("watched").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Run(ended); err != nil {
		t.Fatal(err)
	}
	want := `"pod-security.kubernetes.io/audit-violations":"would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)`
	for line := range strings.Lines(lines.String()) {
		if strings.Contains(line, want) && strings.Contains(line, `"stage":"ResponseComplete"`) {
			return
		}
	}
	t.Errorf("no line has %s:\n%s", want, lines.String())
}
