package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/audit"
)

// TestTheKubeconfigIsGoodForeverWhileTheServerRuns looks at what the server shows and what the administrator has, for
// years and without a restart.
func TestTheKubeconfigIsGoodForeverWhileTheServerRuns(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir, cfg.NodeName = t.TempDir(), "n"
	s, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var i identities
		if err := i.prepare(s, time.Now()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- i.keepFresh(ctx, s, slog.New(slog.DiscardHandler)) }()
		first, err := os.ReadFile(s.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			time.Sleep(30 * 24 * time.Hour)
			synctest.Wait()
			data, err := os.ReadFile(s.Kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			var file clientcmd.Config
			if err := yaml.Unmarshal(data, &file); err != nil {
				t.Fatal(err)
			}
			user := file.AuthInfos[0].AuthInfo
			pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
			if err != nil {
				t.Fatal(err)
			}
			opts := x509.VerifyOptions{Roots: i.pool, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
			if _, err := pair.Leaf.Verify(opts); err != nil {
				t.Fatalf("the administrator's certificate, at %s: %v", time.Now(), err)
			}
			shown, err := i.tls().GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := shown.Leaf.Verify(x509.VerifyOptions{Roots: i.pool, CurrentTime: time.Now(), DNSName: "kubernetes.default.svc"}); err != nil {
				t.Fatalf("the server's certificate, at %s: %v", time.Now(), err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		last, err := os.ReadFile(s.Kubeconfig)
		if err != nil || bytes.Equal(first, last) {
			t.Errorf("the kubeconfig is as it was: %v", err)
		}
		if info, err := os.Stat(s.Kubeconfig); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
	})
}

func TestKeysAndPoliciesThatAreWrongAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := encrypted(t.Context(), Settings{EncryptionKeyFile: file}, nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte(file)) {
		t.Errorf("keys: %v", err)
	}
	if _, err := openAudit(Settings{AuditLog: audit.File{Path: filepath.Join(dir, "log")}, AuditPolicyFile: file}, nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte(file)) {
		t.Errorf("policy: %v", err)
	}
	cfg := DefaultConfig()
	cfg.AuditPolicyFile = file
	if _, err := cfg.Check(); err == nil {
		t.Error("a policy without a log is taken")
	}
	cfg.AuditLogPath, cfg.AuditLogMaxAge = file, -1
	if _, err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "audit-log-maxage -1") {
		t.Errorf("a negative age: %v", err)
	}
}
