package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatAKilledServerLeftUnfinishedIsRemoved(t *testing.T) {
	s := settingsOf(t)
	if err := removeUnfinished(s); err != nil {
		t.Fatalf("an empty directory: %v", err)
	}
	stay := []string{
		".kubeconfig-", ".kubeconfig-mine", ".profile", "kubeconfig", "kubeconfig-12", "pki/.gitignore", "pki/apiserver.key",
		"pki/apiserver.key.12", "pki/.apiserver.key.bak", "server.lock",
	}
	leave := []string{".backup-77", ".kubeconfig-1276090673", "pki/.admin.key.1745146310", "pki/.apiserver.crt.0", "pki/.ca.crt.3445871541"}
	if err := os.MkdirAll(filepath.Join(s.pkiDir(), ".folder.key.5"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(stay, leave) {
		if err := os.WriteFile(filepath.Join(s.DataDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeUnfinished(s); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(stay, "pki/.folder.key.5") {
		if _, err := os.Stat(filepath.Join(s.DataDir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range leave {
		if _, err := os.Stat(filepath.Join(s.DataDir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}
