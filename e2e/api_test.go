//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool is a kubectl, or a helm, that talks to a machine's server, in a namespace of its own.
type tool struct {
	*testing.T
	m         *machine
	path      string
	namespace string
	dir       string
}

// oldKubectl is the other kubectl that is at hand: an older one, from the machine's own packages.
const oldKubectl = "/usr/bin/kubectl"

func (k *tool) command(stdin string, args ...string) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(k.Context(), 2*time.Minute)
	all := append([]string{"--kubeconfig", filepath.Join(k.m.dataDir, "kubeconfig"), "--namespace", k.namespace}, args...)
	cmd := exec.CommandContext(ctx, k.path, all...)
	cmd.Dir = k.dir
	cmd.Env = append(os.Environ(), "HOME="+k.dir)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	return cmd, cancel
}

func (k *tool) run(stdin string, args ...string) (string, error) {
	cmd, cancel := k.command(stdin, args...)
	defer cancel()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := k.m.start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// says runs the tool, which must succeed and print something that matches the pattern.
func (k *tool) says(pattern string, args ...string) string {
	k.Helper()
	return k.with("", pattern, args...)
}

// with is says with an input.
func (k *tool) with(stdin, pattern string, args ...string) string {
	k.Helper()
	out, err := k.run(stdin, args...)
	if err != nil {
		k.Errorf("%s %s: %v\n%s", filepath.Base(k.path), strings.Join(args, " "), err, out)
	} else if !regexp.MustCompile("(?m)" + pattern).MatchString(out) {
		k.Errorf("%s %s says\n%s\nwant %s", filepath.Base(k.path), strings.Join(args, " "), out, pattern)
	}
	return out
}

// fails runs the tool, which must fail and print something that matches the pattern.
func (k *tool) fails(code int, pattern string, args ...string) {
	k.Helper()
	out, err := k.run("", args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		k.Errorf("%s %s: %v, want exit code %d\n%s", filepath.Base(k.path), strings.Join(args, " "), err, code, out)
	} else if !regexp.MustCompile("(?m)" + pattern).MatchString(out) {
		k.Errorf("%s %s says\n%s\nwant %s", filepath.Base(k.path), strings.Join(args, " "), out, pattern)
	}
}

// file writes a file and returns its path.
func (k *tool) file(name, content string) string {
	k.Helper()
	path := filepath.Join(k.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		k.Fatal(err)
	}
	return path
}

// background starts kubectl and returns what it prints, line by line, and how to end it.
func (k *tool) background(args ...string) (lines func() string, end func()) {
	k.Helper()
	cmd, cancel := k.command("", args...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := k.m.start(cmd); err != nil {
		k.Fatal(err)
	}
	go func() { in.CloseWithError(errors.Join(io.EOF, cmd.Wait())) }()
	one := make([]byte, 1)
	return func() string {
			var line []byte
			for {
				if _, err := out.Read(one); err != nil || one[0] == '\n' {
					return string(line)
				}
				line = append(line, one[0])
			}
		}, func() {
			cancel()
			_, _ = io.Copy(io.Discard, out)
		}
}

// reads reads lines until each of some strings was in one, and returns what it has read.
func (k *tool) reads(lines func() string, want ...string) string {
	k.Helper()
	var read strings.Builder
	for missing := want; len(missing) > 0; {
		line := lines()
		if line == "" {
			k.Fatalf("it says\n%s\nwant %q too", read.String(), missing)
		}
		read.WriteString(line + "\n")
		missing = slices.DeleteFunc(slices.Clone(missing), func(s string) bool { return strings.Contains(line, s) })
	}
	return read.String()
}

// TestKubectlsWorkUnchanged drives the kubectl that is built here and the older one of the machine, if there is
// one, through what people do with them.
func TestKubectlsWorkUnchanged(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	for _, k := range kubectls(t, m, "walk-") {
		t.Run(k.version(), func(t *testing.T) {
			k.T = t
			for _, part := range []struct {
				name string
				walk func(*tool)
			}{
				{"create", walkCreate}, {"apply", walkApply}, {"get", walkGet}, {"change", walkChange}, {"explain", walkExplain},
				{"workloads", walkWorkloads}, {"pods", walkPods}, {"watch", walkWatch}, {"auth", walkAuth}, {"node", walkNode},
				{"delete", walkDelete},
			} {
				t.Run(part.name, func(t *testing.T) {
					own := *k
					own.T = t
					part.walk(&own)
				})
			}
			k.says("deleted", "delete", "namespace", k.namespace, "--timeout=60s")
		})
	}
}

func walkCreate(k *tool) {
	k.says("configmap/literal created", "create", "configmap", "literal", "--from-literal=key=one")
	k.says("configmap/file created", "create", "configmap", "file", "--from-file="+k.file("page", "text"))
	k.says("secret/s created", "create", "secret", "generic", "s", "--from-literal=password=x")
	k.says("secret/tls created", "create", "secret", "docker-registry", "tls", "--docker-server=x", "--docker-username=u", "--docker-password=p")
	k.says("service/svc created", "create", "service", "clusterip", "svc", "--tcp=80:8080")
	k.says("service/np created", "create", "service", "nodeport", "np", "--tcp=80:8080")
	k.says("service/ext created", "create", "service", "externalname", "ext", "--external-name=example.com")
	k.says("serviceaccount/robot created", "create", "serviceaccount", "robot")
	k.says("deployment.apps/made created", "create", "deployment", "made", "--image=busybox:e2e", "--replicas=0")
	k.says("cronjob.batch/cron created", "create", "cronjob", "cron", "--image=busybox:e2e", "--schedule=0 0 1 1 *")
	k.says("job.batch/j created", "create", "job", "j", "--image=busybox:e2e")
	k.says("ingress.networking.k8s.io/ing created", "create", "ingress", "ing", "--rule=example.com/*=svc:80")
	k.says("role.rbac.authorization.k8s.io/reader created", "create", "role", "reader", "--verb=get,list", "--resource=pods,configmaps")
	k.says("rolebinding.rbac.authorization.k8s.io/reader created", "create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+k.namespace+":robot")
	k.says("poddisruptionbudget.policy/pdb created", "create", "poddisruptionbudget", "pdb", "--selector=app=none", "--min-available=1")
	k.says("horizontalpodautoscaler.autoscaling/made autoscaled", "autoscale", "deployment", "made", "--min=1", "--max=3")
	k.says("^ey", "create", "token", "robot")
	k.says("name: dry", "create", "configmap", "dry", "--dry-run=server", "-o", "yaml")
	k.says("name: dry", "create", "configmap", "dry", "--dry-run=client", "-o", "yaml")
	k.fails(1, `configmaps "dry" not found`, "get", "configmap", "dry")
	k.fails(1, `configmaps "literal" already exists`, "create", "configmap", "literal")
	k.with("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: piped}\n", "configmap/piped created", "create", "-f", "-")
	k.fails(1, `unknown field "dta"`, "create", "-f", k.file("typo.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typo}\ndta: {}\n"))
	k.fails(1, `ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"`, "create", "configmap", "Bad_Name")
	k.fails(1, `no matches for kind "Boat" in version "v1"`, "create", "-f", k.file("boat.yaml", "apiVersion: v1\nkind: Boat\nmetadata: {name: x}\n"))
}

const applied = `
apiVersion: v1
kind: ConfigMap
metadata: {name: applied, labels: {app: applied}}
data: {value: "%s"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: applied, labels: {app: applied}}
spec:
  replicas: %d
  selector: {matchLabels: {app: applied}}
  template:
    metadata: {labels: {app: applied}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: a, image: "busybox:e2e", command: [sleep, "100000"]}]
`

func walkApply(k *tool) {
	one, two := k.file("one.yaml", fmt.Sprintf(applied, "one", 0)), k.file("two.yaml", fmt.Sprintf(applied, "two", 0))
	k.says(`created \(server dry run\)`, "apply", "-f", one, "--dry-run=server")
	k.says("configmap/applied created", "apply", "-f", one)
	k.says("configmap/applied unchanged", "apply", "-f", one)
	k.fails(1, `^\+  value: two`, "diff", "-f", two)
	k.says("configmap/applied configured", "apply", "-f", two)
	k.says("deployment.apps/applied unchanged", "apply", "-f", two)
	k.says("", "diff", "-f", two)
	k.says("value.*two", "apply", "view-last-applied", "configmap/applied")
	k.says("configmap/applied configured", "apply", "-f", one, "--prune", "-l", "app=applied")

	ssa := k.file("ssa.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: one, b: one}\n")
	k.says("configmap/ssa serverside-applied", "apply", "--server-side", "-f", ssa)
	k.says("configmap/ssa serverside-applied", "apply", "--server-side", "-f", ssa)
	k.says("", "diff", "--server-side", "-f", ssa)
	other := k.file("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: two}\n")
	k.fails(1, `^\+  a: two`, "diff", "--server-side", "--field-manager=other", "--force-conflicts", "-f", other)
	k.fails(1, `conflict with "kubectl": .data.a`, "apply", "--server-side", "--field-manager=other", "-f", other)
	k.says("configmap/ssa serverside-applied", "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", other)
	k.says("manager: other", "get", "configmap", "ssa", "-o", "yaml", "--show-managed-fields")
	k.says("^two one$", "get", "configmap", "ssa", "-o", "jsonpath={.data.a} {.data.b}")
	k.says("serverside-applied", "apply", "--server-side", "-f", k.file("three.yaml", fmt.Sprintf(applied, "three", 0)), "--force-conflicts")

	k.file("kustomization.yaml", "resources: [ssa.yaml]\nnamePrefix: k-\n")
	k.says("configmap/k-ssa created", "apply", "-k", k.dir)
}

func walkGet(k *tool) {
	k.says(`^NAME +DATA +AGE$`, "get", "configmaps")
	k.says(`^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR$`, "get", "deployments", "-o", "wide")
	k.says(`^made +0/0 +0 +0 +\S+ +busybox +busybox:e2e +app=made$`, "get", "deployments", "-o", "wide")
	k.says(`^svc +ClusterIP +10\.\S+ +<none> +80/TCP +\S+$`, "get", "services")
	k.says(`^ext +ExternalName +<none> +example.com +<none>`, "get", "services")
	k.says("^kind: ConfigMap$", "get", "configmap", "literal", "-o", "yaml")
	k.says(`"kind": "ConfigMap"`, "get", "configmap", "literal", "-o", "json")
	k.says("^one$", "get", "configmap", "literal", "-o", "jsonpath={.data.key}")
	k.says("^literal +one$", "get", "configmaps", "-o", "custom-columns=NAME:.metadata.name,KEY:.data.key")
	k.says("^one$", "get", "configmap", "literal", "-o", "go-template={{.data.key}}")
	k.says("^configmap/literal$", "get", "configmaps", "-o", "name")
	k.says(`app=applied$`, "get", "deployments", "--show-labels")
	k.says(`^applied +\S+ +\S+ +\S+ +\S+ +applied$`, "get", "deployments", "-L", "app")
	k.says("^applied ", "get", "deployments", "-l", "app in (applied)")
	k.says("^literal ", "get", "configmaps", "--field-selector", "metadata.name=literal")
	k.says("^literal ", "get", "configmaps", "--sort-by=.metadata.name")
	k.says("^literal ", "get", "configmaps", "--chunk-size=2")
	k.says("^"+k.namespace+" +literal ", "get", "configmaps", "-A")
	k.says("^deployment.apps/made ", "get", "all")
	k.says("^secret/s ", "get", "secrets,configmaps")
	k.says("name: made", "get", "deployment", "made", "--subresource=status", "-o", "yaml")
	k.says("replicas: 0", "get", "deployment", "made", "--subresource=scale", "-o", "yaml")
	k.says("^ok$", "get", "--raw", "/readyz")
	k.says("gitVersion", "get", "--raw", "/version")
	k.says(`ConfigMapList`, "get", "--raw", "/api/v1/namespaces/"+k.namespace+"/configmaps?limit=1")
	k.says("No resources found", "get", "replicationcontrollers")
	k.fails(1, `the server doesn't have a resource type "boats"`, "get", "boats")
	k.fails(1, `configmaps "none" not found`, "get", "configmap", "none")
	for kind, want := range map[string]string{
		"deployment/made": "StrategyType: +RollingUpdate", "service/svc": "TargetPort: +8080/TCP", "configmap/literal": "^key:$",
		"secret/s": "^password: +1 bytes", "namespace/" + k.namespace: "Status: +Active", "serviceaccount/robot": "Name: +robot",
		"storageclass/local-path": "IsDefaultClass: +Yes", "role/reader": "Resources", "ingress/ing": "example.com", "cronjob/cron": "Schedule: +0 0 1 1",
		"pdb/pdb": "Min available: +1", "hpa/made": "Max replicas: +3",
	} {
		k.says(want, "describe", kind)
	}
	k.says("client.*v1|Client Version", "version")
	k.says("Server Version: v1.37", "version")
	k.says("Kubernetes control plane", "cluster-info")
	k.says("current-context", "config", "view")
}

func walkChange(k *tool) {
	k.Setenv("KUBE_EDITOR", "sed -i s/one/edited/")
	k.says("configmap/literal edited", "edit", "configmap", "literal")
	k.says("^edited$", "get", "configmap", "literal", "-o", "jsonpath={.data.key}")
	k.Setenv("KUBE_EDITOR", "true")
	k.says("Edit cancelled, no changes made", "edit", "configmap", "literal")
	k.says("configmap/literal patched$", "patch", "configmap", "literal", "--type=merge", "-p", `{"data":{"m":"1"}}`)
	k.says(`configmap/literal patched \(no change\)`, "patch", "configmap", "literal", "--type=merge", "-p", `{"data":{"m":"1"}}`)
	k.says("configmap/literal patched", "patch", "configmap", "literal", "--type=json", "-p", `[{"op":"replace","path":"/data/m","value":"2"}]`)
	k.says("deployment.apps/made patched", "patch", "deployment", "made", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"busybox","env":[{"name":"A","value":"1"}]}]}}}}`)
	k.says("^A busybox:e2e$", "get", "deployment", "made", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].name} {.spec.template.spec.containers[0].image}")
	k.says("patched", "patch", "deployment", "made", "--subresource=status", "--type=merge", "-p", `{"status":{"conditions":[{"type":"Odd","status":"True"}]}}`)
	k.says("labeled", "label", "configmap", "literal", "tier=front")
	k.fails(1, "already has a value", "label", "configmap", "literal", "tier=back")
	k.says("labeled", "label", "configmap", "literal", "tier=back", "--overwrite")
	k.says("unlabeled", "label", "configmap", "literal", "tier-")
	k.says("labeled", "label", "configmaps", "--all", "everywhere=yes")
	k.says("annotated", "annotate", "configmap", "literal", "note=x")
	k.says("annotated", "annotate", "configmap", "literal", "note-")
	k.says("replaced", "replace", "-f", k.file("literal.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: literal}\ndata: {key: replaced}\n"))
	k.says("replaced", "replace", "--force", "-f", filepath.Join(k.dir, "literal.yaml"))
	k.says("^replaced$", "get", "configmap", "literal", "-o", "jsonpath={.data.key}")
	k.says("image updated", "set", "image", "deployment/made", "busybox=busybox:other")
	k.says("env updated", "set", "env", "deployment/made", "B=2")
	k.says("resource requirements updated", "set", "resources", "deployment/made", "--limits=memory=64Mi")
	k.says("serviceaccount updated", "set", "serviceaccount", "deployment/made", "robot")
	k.says("selector updated", "set", "selector", "service/svc", "app=made")
	k.says("subjects updated", "set", "subject", "rolebinding/reader", "--user=bob")
	k.fails(1, "the object has been modified", "replace", "-f", k.file("stale.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: literal, resourceVersion: \"1\"}\n"))
	k.fails(1, `field is immutable`, "patch", "deployment", "made", "--type=merge", "-p", `{"spec":{"selector":{"matchLabels":{"x":"y"}}}}`)
}

func walkExplain(k *tool) {
	k.says("^KIND: +Pod$", "explain", "pods")
	k.says("FIELD: containers <..Container>", "explain", "pod.spec.containers")
	k.says("activeDeadlineSeconds", "explain", "pods", "--recursive")
	k.says("^GROUP: +apps$", "explain", "deployments.spec.strategy", "--api-version=apps/v1")
	k.says("^VERSION: +v1$", "explain", "cronjobs.spec.schedule")
	k.fails(1, `field "nope" does not exist`, "explain", "pod.spec.nope")
	k.says(`^pods +po +v1 +true +Pod`, "api-resources")
	k.says(`^deployments +deploy +apps/v1 +true +Deployment +\S*get\S* +all`, "api-resources", "-o", "wide")
	k.says("^nodes +no +v1 +false +Node", "api-resources", "--namespaced=false")
	k.says("^deployments.apps$", "api-resources", "--api-group=apps", "--verbs=list,watch", "-o", "name")
	for _, version := range []string{"apps/v1", "v1", "batch/v1", "autoscaling/v2", "autoscaling/v1", "events.k8s.io/v1", "rbac.authorization.k8s.io/v1"} {
		k.says("^"+version+"$", "api-versions")
	}
}

func walkWorkloads(k *tool) {
	k.says("scaled", "scale", "deployment/applied", "--replicas=2")
	k.says("successfully rolled out", "rollout", "status", "deployment/applied", "--timeout=60s")
	k.says("condition met", "wait", "--for=condition=Available", "deployment/applied", "--timeout=60s")
	k.says("condition met", "wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/applied", "--timeout=60s")
	k.fails(1, "timed out waiting", "wait", "--for=condition=Progressing=false", "deployment/applied", "--timeout=1s")
	k.fails(1, "Expected replicas to be 7, was 2", "scale", "deployment/applied", "--replicas=3", "--current-replicas=7")
	k.says("paused", "rollout", "pause", "deployment/applied")
	k.says("env updated", "set", "env", "deployment/applied", "PAUSED=yes")
	k.fails(1, "cannot restart a paused deployment|can't restart paused deployment", "rollout", "restart", "deployment/applied")
	k.says("resumed", "rollout", "resume", "deployment/applied")
	k.says("successfully rolled out", "rollout", "status", "deployment/applied", "--timeout=60s")
	k.says("^2 ", "rollout", "history", "deployment/applied")
	k.says("PAUSED:", "rollout", "history", "deployment/applied", "--revision=2")
	k.says("rolled back", "rollout", "undo", "deployment/applied")
	k.says("restarted", "rollout", "restart", "deployment/applied")
	k.says("successfully rolled out", "rollout", "status", "deployment/applied", "--timeout=60s")
	k.says("service/applied exposed", "expose", "deployment/applied", "--port=80", "--target-port=8080")
	k.says(`^applied-\S+ +1/1 +Running +0 +\S+ +10\.\S+ `, "get", "pods", "-l", "app=applied", "-o", "wide")
	k.says("Normal +Scheduled +[Pp]od/applied|Normal +Scheduled", "events")
	k.says("ScalingReplicaSet", "events", "--for", "deployment/applied")
	k.says("Scheduled", "get", "events", "--field-selector=reason=Scheduled")
	k.says("Started", "describe", "pods", "-l", "app=applied")
	k.fails(1, "Metrics API not available", "top", "pods")
	k.fails(1, "Metrics API not available", "top", "nodes")
}

func walkPods(k *tool) {
	k.says("pod/one created", "run", "one", "--image=busybox:e2e", "--labels=app=one", "--command", "--", "sh", "-c", "echo hello; exec httpd -f -p 8080 -h /etc")
	k.says("condition met", "wait", "--for=condition=Ready", "pod/one", "--timeout=60s")
	lines, end := k.background("logs", "--follow", "one") // a container that runs need not have said anything yet
	k.reads(lines, "hello")
	end()
	k.says("^hello$", "logs", "one")
	k.says("hello", "logs", "-l", "app=one", "--prefix", "--timestamps")
	k.says("^uid=0", "exec", "one", "--", "id")
	k.with("typed\n", "^typed$", "exec", "-i", "one", "--", "cat")
	k.fails(7, "exit code 7", "exec", "one", "--", "sh", "-c", "exit 7")
	k.Setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false") // over SPDY, as older ones do
	k.with("typed\n", "^typed$", "exec", "-i", "one", "--", "cat")
	k.Setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true")
	k.file("there", "carried over\n")
	k.says("", "cp", filepath.Join(k.dir, "there"), "one:/tmp/there")
	k.says("^carried over$", "exec", "one", "--", "cat", "/tmp/there")
	k.says("", "cp", "one:/tmp/there", filepath.Join(k.dir, "back"))
	if back, _ := os.ReadFile(filepath.Join(k.dir, "back")); string(back) != "carried over\n" {
		k.Errorf("cp brought back %q", back)
	}
	k.says("", "exec", "one", "--", "sh", "-c", "echo page > /etc/page")
	lines, end = k.background("port-forward", "pod/one", ":8080", "--address", nodeAddress)
	port := regexp.MustCompile(`Forwarding from \S+:(\d+) ->`).FindStringSubmatch(lines())
	if port == nil {
		k.Error("port-forward does not say where it listens")
	} else if status, body, err := get(k.m.httpClient(), "http://"+nodeAddress+":"+port[1]+"/page"); err != nil || status != http.StatusOK || body != "page\n" {
		k.Errorf("through the forwarded port: %d %q %v", status, body, err)
	}
	end()
	k.with("to the shell\n", "to the shell", "run", "attached", "--image=busybox:e2e", "--restart=Never", "--rm", "-i", "--quiet", "--command", "--", "cat")
	k.says("pod/ticks created", "run", "ticks", "--image=busybox:e2e", "--restart=Never", "--command", "--", "sh", "-c", "while :; do echo tick; sleep 1; done")
	k.says("condition met", "wait", "--for=condition=Ready", "pod/ticks", "--timeout=60s")
	lines, end = k.background("attach", "ticks")
	k.reads(lines, "tick")
	end()
	k.says("deleted", "delete", "pod", "ticks", "--now")
	k.fails(1, `pods "none" not found`, "logs", "none")
	k.says("created", "run", "imageless", "--image=nobody/has:this")
	k.says("condition met", "wait", "--for=condition=PodScheduled", "pod/imageless", "--timeout=60s")
	k.says("condition met", "wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}", "pod/imageless", "--timeout=60s")
	k.fails(1, `container "imageless" in pod "imageless" is waiting to start: `, "logs", "imageless")
	k.says("deleted", "delete", "pod", "imageless", "--now")
	k.fails(1, `container none is not valid for pod one|container none not found in pod one`, "logs", "one", "-c", "none")
}

func walkWatch(k *tool) {
	k.says("created", "create", "configmap", "seen", "--from-literal=v=1")
	lines, end := k.background("get", "configmaps", "--watch", "--output-watch-events", "--field-selector=metadata.name=seen", "-o", "custom-columns=E:.type,N:.object.metadata.name,V:.object.data.v", "--no-headers")
	shows := func(want string) {
		k.Helper()
		if line := lines(); !regexp.MustCompile(want).MatchString(line) {
			k.Errorf("get --watch says %q, want %s", line, want)
		}
	}
	shows(`^ADDED +seen +1$`) // from here on it watches
	k.says("patched", "patch", "configmap", "seen", "-p", `{"data":{"v":"2"}}`)
	k.says("deleted", "delete", "configmap", "seen")
	k.says("created", "create", "configmap", "seen", "--from-literal=v=3")
	shows(`^MODIFIED +seen +2$`)
	shows(`^DELETED +seen +2$`)
	shows(`^ADDED +seen +3$`)
	end()
	lines, end = k.background("wait", "--for=create", "configmap/later", "--timeout=60s")
	k.says("created", "create", "configmap", "later")
	if line := lines(); !strings.Contains(line, "condition met") {
		k.Errorf("wait --for=create says %q", line)
	}
	end()
	k.says("patched", "patch", "configmap", "later", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	k.says("deleted", "delete", "configmap", "later", "--wait=false")
	lines, end = k.background("wait", "--for=delete", "configmap/later", "--timeout=60s")
	k.says("patched", "patch", "configmap", "later", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	if line := lines(); line != "" && !strings.Contains(line, "condition met") { // it may have been gone already
		k.Errorf("wait --for=delete says %q", line)
	}
	end()
}

func walkAuth(k *tool) {
	k.says("^yes$", "auth", "can-i", "create", "pods")
	k.says("^yes$", "auth", "can-i", "*", "*", "--all-namespaces")
	k.fails(1, "^no$", "auth", "can-i", "create", "pods", "--as=nobody")
	k.says("^yes$", "auth", "can-i", "list", "configmaps", "--as=bob")
	k.says(`^configmaps +\[\] +\[\] +\[get list\]`, "auth", "can-i", "--list", "--as=bob")
	k.says("Username", "auth", "whoami")
	k.fails(1, `User "nobody" cannot list resource "pods"`, "get", "pods", "--as=nobody")
}

func walkNode(k *tool) {
	node := k.says(".", "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	k.says("cordoned", "cordon", node)
	k.says("SchedulingDisabled", "get", "nodes")
	k.says("uncordoned", "uncordon", node)
	k.says("tainted", "taint", "node", node, "key=value:NoSchedule")
	k.says("untainted", "taint", "node", node, "key-")
	k.says("drained|evicting", "drain", node, "--pod-selector=app=one", "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--grace-period=0", "--timeout=60s")
	k.says("uncordoned", "uncordon", node)
	k.says("Allocatable:", "describe", "node", node)
}

func walkDelete(k *tool) {
	hash := func() string { return k.says("", "get", "rs", "-l", "app=applied", "-o", "name") }
	k.says(`deleted.*\(server dry run\)`, "delete", "deployment", "applied", "--dry-run=server")
	k.says(`deployment.apps "applied" deleted`, "delete", "deployment", "applied", "--cascade=orphan")
	if sets := hash(); !strings.Contains(sets, "replicaset.apps/applied-") {
		k.Errorf("after an orphaning deletion the replica sets are %q", sets)
	}
	k.says("created", "apply", "-f", k.file("again.yaml", fmt.Sprintf(applied, "x", 2)))
	k.says("successfully rolled out", "rollout", "status", "deployment/applied", "--timeout=60s")
	k.says("deleted", "delete", "deployment", "applied", "--cascade=foreground", "--timeout=60s")
	if sets := hash(); strings.Contains(sets, "replicaset") {
		k.Errorf("after a deletion in the foreground the replica sets are %q", sets)
	}
	k.says("created", "apply", "-f", filepath.Join(k.dir, "again.yaml"))
	k.says("deleted", "delete", "-f", filepath.Join(k.dir, "again.yaml"), "--cascade=background")
	k.says("", "wait", "--for=delete", "pods", "-l", "app=applied", "--timeout=60s")
	k.says("created", "run", "forced", "--image=busybox:e2e", "--command", "--", "sleep", "100000")
	k.says("force deleted", "delete", "pod", "forced", "--force", "--grace-period=0")
	k.says("deleted", "delete", "secrets", "--all")
	k.says("No resources found", "delete", "secrets", "--all")
	k.says("deleted", "delete", "configmaps,services,deployments", "--all", "--wait=false")
	k.says("condition met", "wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=60s") // by a controller, again
	k.says("deleted", "delete", "configmaps", "--all", "--ignore-not-found")
	k.fails(1, `configmaps "none" not found`, "delete", "configmap", "none")
}
