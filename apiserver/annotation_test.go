package apiserver_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/apiserver/audit"
)

// awaited is a file that tells when a text has been written to it.
type awaited struct {
	text  string
	data  bytes.Buffer
	found chan struct{}
}

func (f *awaited) Write(p []byte) (int, error) {
	before := bytes.Contains(f.data.Bytes(), []byte(f.text))
	f.data.Write(p)
	if !before && bytes.Contains(f.data.Bytes(), []byte(f.text)) {
		close(f.found)
	}
	return len(p), nil
}

func (*awaited) Close() error { return nil }

func TestAuditLogHoldsWhatPodSecurityFound(t *testing.T) {
	file := &awaited{
		text:  `"pod-security.kubernetes.io/audit-violations":"would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)`,
		found: make(chan struct{}),
	}
	log := audit.New(file, audit.Everything(), silent())
	c := clientset(t, listen(t, newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = log })))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "watched", Labels: map[string]string{"pod-security.kubernetes.io/audit": "baseline"}}}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := pod("p")
	p.Namespace, p.Spec.HostNetwork = "watched", true
	if _, err := c.CoreV1().Pods("watched").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select { // the answer may be there before the line is
	case <-file.found:
	case <-time.After(30 * time.Second):
		t.Errorf("no line says what was found:\n%s", file.data.String())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
