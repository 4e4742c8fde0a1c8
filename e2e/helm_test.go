//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newestHelm returns the path of helm, which .ci/helm builds where it is missing.
func newestHelm(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, ".ci/helm")).Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(string(exit.Stderr))
	}
	if os.Getenv("SAMPAN_E2E") == "require" {
		t.Fatalf("helm: %v", err)
	}
	t.Skipf("no helm: %v", err)
	return ""
}

// TestHelmWorks takes a chart through its life: hooks, waiting for what is ready, a failed upgrade that takes itself
// back, a rollback by hand. Helm's two ways to write, apply in the server and three-way merges of its own, do the same.
func TestHelmWorks(t *testing.T) {
	path := newestHelm(t)
	m := newMachine(t)
	m.up()
	m.importBusybox()
	for _, mode := range []string{"true", "false"} {
		t.Run("server-side="+mode, func(t *testing.T) {
			dir, namespace := t.TempDir(), "helm-"+mode
			h := &tool{T: t, m: m, path: path, namespace: namespace, dir: dir}
			k := &tool{T: t, m: m, path: filepath.Join(root, "bin/kubectl"), namespace: namespace, dir: dir}
			k.says("created", "create", "namespace", namespace)
			releaseLives(h, k, filepath.Join(root, "e2e/testdata/boat"), "--server-side="+mode)
			scaffoldLives(h, k, "--server-side="+mode)
			k.says("deleted", "delete", "namespace", namespace, "--timeout=60s")
		})
	}
}

// releaseLives installs, changes, breaks and removes a release.
func releaseLives(h, k *tool, chart, mode string) {
	page := func(want string) {
		h.Helper()
		k.says("^"+want+" "+k.namespace+" true$", "get", "configmap", "boat", "-o", "jsonpath={.data.page} {.data.namespace} {.data.apps}")
	}
	pods := func(name string) string {
		return k.says("", "get", "pod", name, "-o", "jsonpath={.metadata.uid}")
	}

	h.fails(1, `release: not found`, "status", "boat")
	h.says("page: first", "install", "boat", chart, "--dry-run=client")
	h.says("boat shows first", "install", "boat", chart, "--wait", "--timeout=90s", mode)
	page("first")
	k.says(`^boat +1/1 +1 +1 `, "get", "deployment", "boat")
	k.says("^Succeeded Succeeded$", "get", "pods", "boat-before", "boat-after", "-o", "jsonpath={.items[0].status.phase} {.items[1].status.phase}")
	k.says("^helm.sh/release.v1 deployed$", "get", "secret", "sh.helm.release.v1.boat.v1", "-o", "jsonpath={.type} {.metadata.labels.status}")
	k.says("Helm", "get", "deployment", "boat", "-o", `jsonpath={.metadata.labels.app\.kubernetes\.io/managed-by}`)
	h.fails(1, "cannot reuse a name", "install", "boat", chart)
	h.says("Phase: +Succeeded", "test", "boat", "--timeout=60s")

	before := pods("boat-before")
	h.says(`namespace: `+k.namespace, "upgrade", "boat", chart, "--set", "page=second", "--dry-run=server", mode)
	page("first")
	h.says("boat shows second", "upgrade", "boat", chart, "--set", "page=second,replicas=2", "--wait", "--timeout=90s", mode)
	page("second")
	k.says(`^boat +2/2 +2 +2 `, "get", "deployment", "boat")
	if after := pods("boat-before"); after == before {
		h.Errorf("the hook before an upgrade did not run again: %s", after)
	}
	h.says("Phase: +Succeeded", "test", "boat", "--timeout=60s")
	h.says(`page: second`, "get", "values", "boat")
	h.says(`replicas: 2`, "get", "manifest", "boat")
	h.says(`helm.sh/hook: test`, "get", "hooks", "boat")
	h.says(`^boat\s+`+k.namespace+`\s+2\s.*deployed\s+boat-1.0.0`, "list")
	h.says(`(?s)superseded.*Install complete.*deployed.*Upgrade complete`, "history", "boat")

	h.fails(1, "rolled back|rollback", "upgrade", "boat", chart, "--set", "page=third,replicas=2,missing=true", "--wait", "--timeout=90s", "--rollback-on-failure", mode)
	page("second")
	h.says(`(?s)failed.*Upgrade "boat" failed.*deployed.*Rollback to 2`, "history", "boat")
	h.says("Rollback was a success", "rollback", "boat", "1", "--wait", "--timeout=90s", mode)
	page("first")
	k.says(`^boat +1/1 +1 +1 `, "get", "deployment", "boat")
	h.says("Rollback to 1", "history", "boat")

	h.says(`release "boat" uninstalled`, "uninstall", "boat", "--wait", "--timeout=60s")
	k.says("", "wait", "--for=delete", "replicasets", "--all", "--timeout=60s") // helm waits for what it has made itself
	k.says("No resources found", "get", "deployments,replicasets,services,secrets")
	h.fails(1, "release: not found", "history", "boat")
}

// scaffoldLives does the same with the chart that `helm create` writes, which has an Ingress and an autoscaler. Its
// image is not at hand, so it runs no pods.
func scaffoldLives(h, k *tool, mode string) {
	h.says("Creating made", "create", "made")
	values := "replicaCount=0,ingress.enabled=true"
	h.says("STATUS: deployed", "install", "made", filepath.Join(h.dir, "made"), "--set", values, "--wait", "--timeout=60s", mode)
	k.says("^ingress.networking.k8s.io/made$", "get", "ingresses", "-o", "name")
	h.says("STATUS: deployed", "upgrade", "made", filepath.Join(h.dir, "made"), "--set", values+",autoscaling.enabled=true,autoscaling.minReplicas=2", "--reuse-values", mode)
	k.says("^Deployment/made 2$", "get", "hpa", "made", "-o", "jsonpath={.spec.scaleTargetRef.kind}/{.spec.scaleTargetRef.name} {.spec.minReplicas}")
	h.says("Rollback was a success", "rollback", "made", mode)
	k.says("No resources found", "get", "hpa")
	h.says(`release "made" uninstalled`, "uninstall", "made", "--wait", "--timeout=60s")
}
