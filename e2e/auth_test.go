//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubectlWhoMayDoWhat drives identities, roles, impersonation and tokens with the real kubectl, and looks for a
// Secret's plain text in what the server has stored.
func TestKubectlWhoMayDoWhat(t *testing.T) {
	m := newMachine(t)
	files := t.TempDir()
	keys, audit := filepath.Join(files, "keys"), filepath.Join(files, "audit.log")
	key := func(name string) string {
		secret := make([]byte, 32)
		rand.Read(secret)
		return name + ":" + base64.StdEncoding.EncodeToString(secret) + "\n"
	}
	first := key("first")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up := func() {
		t.Helper()
		m.started = true
		m.must("bin/sampan", "up", "--node=false", "--data-dir="+m.dataDir, "--encryption-key-file="+keys, "--audit-log-path="+audit)
	}
	write(first)
	up()

	expect := func(want string, args ...string) {
		t.Helper()
		if out := m.kubectl(args...); !strings.Contains(out, want) {
			t.Errorf("kubectl %s says\n%s\nwant %q in it", strings.Join(args, " "), out, want)
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, err := m.try("bin/kubectl", args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("kubectl %s: %v\n%s\nwant %q in it", strings.Join(args, " "), err, out, want)
		}
	}
	expect("kubernetes-admin", "auth", "whoami")
	expect("yes", "auth", "can-i", "delete", "nodes")
	refused("no", "auth", "can-i", "list", "pods", "--as=bob")
	m.kubectl("create", "rolebinding", "bob-edits", "--clusterrole=edit", "--user=bob")
	// The rules of these are put together by a controller.
	m.kubectl("wait", "--for=jsonpath={.rules[0].verbs}", "clusterrole/edit", "clusterrole/view", "--timeout=60s")
	expect("yes", "auth", "can-i", "create", "deployments.apps", "--as=bob")
	refused("no", "auth", "can-i", "create", "deployments.apps", "--as=bob", "-n", "kube-system")
	expect("selfsubjectaccessreviews", "auth", "can-i", "--list", "--as=carol")
	expect("bob", "auth", "whoami", "--as=bob", "--as-group=devs")
	refused(`roles.rbac.authorization.k8s.io is forbidden: User "bob" cannot list resource "roles"`, "get", "roles", "--as=bob")
	m.kubectl("create", "clusterrole", "binder", "--verb=create", "--resource=clusterrolebindings.rbac.authorization.k8s.io")
	m.kubectl("create", "clusterrolebinding", "binders", "--clusterrole=binder", "--group=system:binders")
	refused(`attempting to grant RBAC permissions not currently held`, "create", "clusterrolebinding", "up", "--clusterrole=cluster-admin", "--user=bob",
		"--as=carol", "--as-group=system:binders")
	expect("configmap/c created", "create", "configmap", "c", "--as=bob")
	expect("reconciled", "auth", "reconcile", "-f", filepath.Join(root, "e2e/testdata/role.yaml"))

	m.kubectl("create", "serviceaccount", "web")
	m.kubectl("create", "rolebinding", "web-sees", "--clusterrole=view", "--serviceaccount=default:web")
	token := strings.TrimSpace(m.kubectl("create", "token", "web", "--duration=20m"))
	asToken := func(args ...string) []string {
		return append([]string{"--kubeconfig=/dev/null", "--server=https://127.0.0.1:6443", "--insecure-skip-tls-verify", "--token=" + token}, args...)
	}
	expect("system:serviceaccount:default:web", asToken("auth", "whoami")...)
	expect("No resources found", asToken("get", "pods")...)
	refused(`secrets is forbidden: User "system:serviceaccount:default:web" cannot list resource "secrets"`, asToken("get", "secrets")...)
	m.kubectl("delete", "serviceaccount", "web")
	refused("Unauthorized", asToken("get", "pods")...)
	refused("may not specify a duration less than 10 minutes", "create", "token", "default", "--duration=1m")

	// A Secret is not on the disk as it is; and neither after the key was changed.
	m.kubectl("create", "secret", "generic", "s", "--from-literal=word=a-very-plain-word")
	stored := func() []byte {
		t.Helper()
		var all []byte
		for _, name := range []string{"store.db", "store.db.wal"} {
			data, err := os.ReadFile(filepath.Join(m.dataDir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		return all
	}
	if data := stored(); bytes.Contains(data, []byte("a-very-plain-word")) || !bytes.Contains(data, []byte("k8s:enc:aesgcm:v1:first:")) {
		t.Error("the Secret is stored as it is")
	}
	m.must("bin/sampan", "down", "--data-dir="+m.dataDir)
	second := key("second")
	write(second + first)
	up()
	m.must("bin/sampan", "down", "--data-dir="+m.dataDir)
	write(second)
	up()
	word := base64.StdEncoding.EncodeToString([]byte("a-very-plain-word"))
	expect(word, "get", "secret", "s", "-o", "jsonpath={.data.word}")
	m.must("bin/sampan", "down", "--data-dir="+m.dataDir)
	write(key("third"))
	if out, err := m.try("bin/sampan", "up", "--node=false", "--data-dir="+m.dataDir, "--encryption-key-file="+keys); err == nil || !strings.Contains(out, `is encrypted with the key "second", which is not among those that were given`) {
		t.Errorf("up without the key: %v\n%s", err, out)
	}

	data, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"impersonatedUser":{"username":"bob"`, `"verb":"create","user":{"username":"kubernetes-admin"`, `"stage":"ResponseComplete"`, `"code":401`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("the audit log has no %s", want)
		}
	}
	if bytes.Contains(data, []byte(token)) || bytes.Contains(data, []byte(word)) {
		t.Error("the audit log tells secrets")
	}
}
