package core_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestServiceAccountKeepsOnlyNamesOfSecrets(t *testing.T) {
	sa := kindtest.Created(t, core.ServiceAccount(), `{secrets: [{name: s, namespace: other, kind: Secret}]}`).(*corev1.ServiceAccount)
	if len(sa.Secrets) != 1 || sa.Secrets[0] != (corev1.ObjectReference{Name: "s"}) {
		t.Errorf("%+v", sa.Secrets)
	}
}

func TestServiceAccountWarnsOfMountableSecrets(t *testing.T) {
	const want = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
	plain := kindtest.Parse(t, core.ServiceAccount(), `{}`)
	sa := kindtest.Parse(t, core.ServiceAccount(), `{metadata: {annotations: {kubernetes.io/enforce-mountable-secrets: "true"}}}`)
	k := core.ServiceAccount()
	if got := k.Warnings(sa); len(got) != 1 || got[0] != want {
		t.Errorf("new: %q", got)
	}
	if got := k.UpdateWarnings(sa, plain); len(got) != 1 || got[0] != want {
		t.Errorf("newly set: %q", got)
	}
	if got := k.UpdateWarnings(sa, sa); len(got) != 0 {
		t.Errorf("already set: %q", got)
	}
}
