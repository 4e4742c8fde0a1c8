package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"sampan/apiserver/audit"
	"sampan/store"
	"sampan/store/sealed"
)

// encrypted returns the store as the server uses it: with Secrets and the identity encrypted, if there are keys for
// it. Those that are not encrypted with the first key are written anew. observe hears of what is encrypted and
// decrypted; it may be nil.
func encrypted(ctx context.Context, s Settings, st store.Store, observe func(sealed.Operation)) (store.Store, error) {
	var keys []sealed.Key
	if s.EncryptionKeyFile != "" {
		data, err := os.ReadFile(s.EncryptionKeyFile)
		if err != nil {
			return nil, fmt.Errorf("keys for encryption: %w", err)
		}
		if keys, err = sealed.ParseKeys(data); err != nil {
			return nil, fmt.Errorf("keys for encryption in %s: %w", s.EncryptionKeyFile, err)
		}
	}
	over := sealed.New(st, keys, "/secrets/", identityKey)
	over.Observe = observe
	if _, err := over.Reseal(ctx); err != nil {
		return nil, fmt.Errorf("encryption: %w", err)
	}
	return over, nil
}

// openAudit returns the audit log that the settings ask for, or nil.
func openAudit(s Settings, log *slog.Logger) (*audit.Log, error) {
	if s.AuditLog.Path == "" {
		return nil, nil
	}
	policy := audit.Everything()
	if s.AuditPolicyFile != "" {
		data, err := os.ReadFile(s.AuditPolicyFile)
		if err != nil {
			return nil, fmt.Errorf("audit policy: %w", err)
		}
		if policy, err = audit.ParsePolicy(data); err != nil {
			return nil, fmt.Errorf("audit policy %s: %w", s.AuditPolicyFile, err)
		}
	}
	return audit.Open(s.AuditLog, policy, log)
}
