package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan/apiserver/audit"
)

func TestKeysAndPoliciesThatAreWrongAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := encrypted(t.Context(), Settings{EncryptionKeyFile: file}, nil, nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte(file)) {
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
