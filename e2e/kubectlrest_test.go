//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubectlsDoTheRest walks both kubectls through what needs no pods and the long walk leaves out.
func TestKubectlsDoTheRest(t *testing.T) {
	m := newMachine(t)
	m.started = true
	m.must("bin/sampan", "up", "--node=false")
	for _, k := range kubectls(t, m, "rest-") {
		t.Run(k.version(), func(t *testing.T) {
			for name, walk := range map[string]func(*tool){
				"generators": walkGenerators, "certificate": walkCertificate, "reconcile": walkReconcile, "prune": walkPrune,
				"raw": walkRaw, "edit": walkEdit, "wait": walkWait, "dump": walkDump,
			} {
				t.Run(name, func(t *testing.T) {
					own := *k
					own.T, own.dir = t, t.TempDir()
					walk(&own)
				})
			}
		})
	}
}

// walkGenerators makes one of everything that `kubectl create` has a command for and walkCreate does not make.
func walkGenerators(k *tool) {
	ns := k.namespace
	k.says("resourcequota/q created", "create", "quota", "q", "--hard=pods=50,configmaps=50")
	k.says("resourcequota/scoped created", "create", "quota", "scoped", "--hard=pods=50", "--scopes=BestEffort")
	k.says(`^Resource +Used +Hard`, "describe", "quota", "q")
	k.says("clusterrole.*/"+ns+" created", "create", "clusterrole", ns, "--verb=get", "--resource=pods,deployments.apps", "--resource-name=x")
	k.says("created", "create", "clusterrole", ns+"-paths", "--verb=get", "--non-resource-url=/logs/*")
	k.says("created", "create", "clusterrole", ns+"-sum", "--aggregation-rule=into="+ns)
	k.says("created", "create", "clusterrolebinding", ns, "--clusterrole="+ns, "--user=u", "--group=g", "--serviceaccount="+ns+":default")
	k.says("priorityclass.*created", "create", "priorityclass", ns, "--value=100", "--description=x", "--preemption-policy=Never")
	certificate, key := selfSigned(k)
	k.says("secret/pair created", "create", "secret", "tls", "pair", "--cert="+certificate, "--key="+key)
	k.says("^kubernetes.io/tls$", "get", "secret", "pair", "-o", "jsonpath={.type}")
	k.says("service/lb created", "create", "service", "loadbalancer", "lb", "--tcp=80:80")
	k.says("service/headless created", "create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80")
	k.says("cronjob.batch/nightly created", "create", "cronjob", "nightly", "--image=i", "--schedule=0 0 * * *")
	k.says("job.batch/now created", "create", "job", "now", "--from=cronjob/nightly")
	k.says("created", "create", "ingress", "secure", "--class=c", "--rule=h.example/p*=svc:80,tls=pair", "--default-backend=d:80")
	k.says("created", "create", "pdb", "half", "--selector=a=b", "--max-unavailable=50%")
	k.says(`^ey\S+\.\S+\.\S+$`, "create", "token", "default", "--duration=10m", "--audience=x")
	k.says(`configmap/hashed-\w+ created`, "create", "configmap", "hashed", "--from-literal=a=b", "--append-hash")
	k.with(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"made-"}}`, `configmap/made-[a-z0-9]{5} created`, "create", "-f", "-")
	k.says("No resources found", "get", "jobs", "-l", "nobody=here")
}

// selfSigned writes a certificate and its key, and returns their files.
func selfSigned(k *tool) (certificate, key string) {
	k.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		k.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		k.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		k.Fatal(err)
	}
	return k.file("tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		k.file("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
}

func walkCertificate(k *tool) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		k.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "bob", Organization: []string{"dev"}}}, private)
	if err != nil {
		k.Fatal(err)
	}
	request := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	for _, name := range []string{"yes", "no"} {
		k.with(fmt.Sprintf("apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: %s-%s}\n"+
			"spec: {request: %s, signerName: example.com/signer, usages: [client auth]}\n", k.namespace, name, request), "created", "apply", "-f", "-")
	}
	yes, no := k.namespace+"-yes", k.namespace+"-no"
	k.says(`^`+yes+` +\S+ +example.com/signer +\S+ +<none> +Pending$`, "get", "csr")
	k.says("approved", "certificate", "approve", yes)
	k.says("denied", "certificate", "deny", no)
	k.says(`^`+yes+` .* Approved$`, "get", "csr", yes)
	k.says(`^`+no+` .* Denied$`, "get", "csr", no)
	k.fails(1, "already Approved|already approved", "certificate", "deny", yes)
	k.says("Common Name: +bob", "describe", "csr", yes)
}

func walkReconcile(k *tool) {
	const rules = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: rec, namespace: %[1]s}\nrules: [{apiGroups: [\"\"], resources: [pods], verbs: [%[2]s]}]\n" +
		"---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: rec, namespace: %[1]s}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rec}\nsubjects: [{kind: User, name: %[3]s, apiGroup: rbac.authorization.k8s.io}]\n"
	verbs := func() string { return k.says("", "get", "role", "rec", "-o", "jsonpath={.rules[*].verbs}") }
	k.says("missing rules added", "auth", "reconcile", "-f", k.file("one.yaml", fmt.Sprintf(rules, k.namespace, "get", "u")))
	k.says("missing rules added", "auth", "reconcile", "-f", k.file("two.yaml", fmt.Sprintf(rules, k.namespace, "list", "v")))
	if got := verbs(); !strings.Contains(got, "get") || !strings.Contains(got, "list") {
		k.Errorf("reconciled to %s, want both verbs", got)
	}
	k.says("^u v$", "get", "rolebinding", "rec", "-o", "jsonpath={.subjects[*].name}")
	k.says("reconciled", "auth", "reconcile", "-f", filepath.Join(k.dir, "two.yaml"), "--remove-extra-permissions", "--remove-extra-subjects")
	if got := verbs(); strings.Contains(got, "get") {
		k.Errorf("reconciled to %s, want list only", got)
	}
}

// walkPrune applies sets and lets kubectl remove what is not in them any more: by label, and by an object that stands
// for the set.
func walkPrune(k *tool) {
	config := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", labels: {set: walk}}\n"
	}
	both, one := k.file("both.yaml", config("keep")+"---\n"+config("drop")), k.file("one.yaml", config("keep"))
	k.says("configmap/drop created", "apply", "-f", both, "--prune", "-l", "set=walk", "--prune-allowlist=core/v1/ConfigMap")
	k.says("configmap/drop pruned", "apply", "-f", one, "--prune", "-l", "set=walk", "--prune-allowlist=core/v1/ConfigMap")
	k.Setenv("KUBECTL_APPLYSET", "true")
	k.says("configmap/drop created", "apply", "-f", both, "--prune", "--applyset=secrets/set")
	k.says("^configmap/drop pruned", "apply", "-f", one, "--prune", "--applyset=secrets/set")
	k.says("^configmap/keep$", "get", "configmaps", "-l", "set=walk", "-o", "name")
	k.fails(1, `configmaps "drop" not found`, "get", "configmap", "drop")
}

func walkRaw(k *tool) {
	path := "/api/v1/namespaces/" + k.namespace + "/configmaps"
	const raw = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"},"data":{"a":"%d"}}`
	k.with(fmt.Sprintf(raw, 1), `"a":"1"`, "create", "--raw", path, "-f", "-")
	k.with(fmt.Sprintf(raw, 2), `"a":"2"`, "replace", "--raw", path+"/raw", "-f", "-")
	k.says(`"status":"Success"`, "delete", "--raw", path+"/raw")
	k.fails(1, "NotFound", "get", "--raw", path+"/raw")
}

// walkEdit edits what the server refuses, and through a subresource.
func walkEdit(k *tool) {
	k.Setenv("TMPDIR", k.dir) // refused edits are kept
	k.says("created", "create", "deployment", "dep", "--image=i", "--replicas=0")
	k.Setenv("KUBE_EDITOR", "sed -i s/replicas:.0/replicas:\\ -1/")
	k.fails(1, `spec.replicas: Invalid value|is invalid`, "edit", "deployment", "dep")
	k.Setenv("KUBE_EDITOR", "sed -i s/replicas:/replicos:/")
	k.fails(1, `is invalid|unknown field "spec.replicos"`, "edit", "deployment", "dep", "--validate=strict")
	k.says("condition met", "wait", "--for=jsonpath={.status.observedGeneration}", "deployment/dep", "--timeout=60s")
	k.Setenv("KUBE_EDITOR", `sed -i s/observedGeneration:.*/observedGeneration:\ 70/`)
	k.says("deployment.apps/dep edited", "edit", "deployment", "dep", "--subresource=status")
	k.says("scale.autoscaling/dep patched|deployment.apps/dep patched", "patch", "deployment", "dep", "--subresource=scale", "--type=merge", "-p", `{"spec":{"replicas":2}}`)
	k.says("^2$", "get", "deployment", "dep", "-o", "jsonpath={.spec.replicas}")
	k.fails(1, "Expected resource version to be 1", "scale", "deployment", "dep", "--replicas=3", "--resource-version=1")
	k.says("annotated", "annotate", "deployment", "dep", "kubernetes.io/change-cause=why")
	k.says("labels|dep", "label", "deployment", "dep", "--list")
	k.says("deleted", "delete", "deployment", "dep", "--cascade=foreground", "--timeout=60s")
}

func walkWait(k *tool) {
	k.fails(1, "timed out|not found", "wait", "--for=create", "configmap/never", "--timeout=1s")
	k.says("", "wait", "--for=delete", "configmap/never", "--timeout=60s")
	k.says("created", "create", "configmap", "there", "--from-literal=a=b")
	k.says("condition met", "wait", "--for=create", "configmap/there", "--timeout=60s")
	k.says("condition met", "wait", "--for=jsonpath={.data.a}=b", "configmap/there", "--timeout=60s")
	k.says("condition met", "wait", "--for=jsonpath={.data.a}", "configmap/there", "--timeout=60s")
	k.fails(1, "timed out", "wait", "--for=jsonpath={.data.a}=c", "configmap/there", "--timeout=1s")
	k.fails(1, "timed out", "wait", "--for=condition=Odd", "namespace/"+k.namespace, "--timeout=1s")
}

func walkDump(k *tool) {
	k.says("created", "create", "service", "clusterip", "dumped", "--tcp=80")
	dir := filepath.Join(k.dir, "dump")
	k.says("Cluster info dumped to", "cluster-info", "dump", "--namespaces="+k.namespace, "--output-directory="+dir, "-o", "yaml")
	if data, err := os.ReadFile(filepath.Join(dir, k.namespace, "services.yaml")); err != nil || !strings.Contains(string(data), "name: dumped") {
		k.Errorf("the dump's services: %v\n%s", err, data)
	}
	k.says(`"kind": "ServiceList"`, "cluster-info", "dump", "--namespaces="+k.namespace)
	lines, end := k.background("proxy", "--port=0", "--address="+nodeAddress, "--accept-hosts=.*")
	defer end()
	_, address, ok := strings.Cut(lines(), "Starting to serve on ")
	if !ok {
		k.Fatal("proxy does not say where it serves")
	}
	if status, body, err := get(k.m.httpClient(), "http://"+address+"/api/v1/namespaces/"+k.namespace+"/services/dumped"); err != nil || status != 200 || !strings.Contains(body, `"dumped"`) {
		k.Errorf("through the proxy: %d %v %s", status, err, body)
	}
}
