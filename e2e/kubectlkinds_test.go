//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/registry"
)

// kubectls returns the kubectls that are at hand, each with a namespace of its own that it has made.
func kubectls(t *testing.T, m *machine, prefix string) []*tool {
	t.Helper()
	var out []*tool
	for i, path := range []string{filepath.Join(root, "bin/kubectl"), oldKubectl} {
		if _, err := os.Stat(path); err != nil {
			t.Logf("no %s", path)
			continue
		}
		k := &tool{T: t, m: m, path: path, namespace: fmt.Sprint(prefix, i), dir: t.TempDir()}
		k.says("created", "create", "namespace", k.namespace)
		k.says("condition met", "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
		out = append(out, k)
	}
	return out
}

// version returns what the tool calls itself, as a name for a test.
func (k *tool) version() string {
	k.Helper()
	out, err := k.run("", "version", "--client")
	if err != nil {
		k.Errorf("%s: %v\n%s", k.path, err, out)
	}
	return regexp.MustCompile(`v\d\S*`).FindString(out)
}

// TestKubectlKnowsEveryKind takes the least object of each kind, in each version, through what kubectl does with any: it
// finds the kind in discovery, the schema in OpenAPI, the columns in tables, and describes objects with code of its own.
func TestKubectlKnowsEveryKind(t *testing.T) {
	m := newMachine(t)
	m.started = true
	m.must("bin/sampan", "up", "--node=false")
	kinds := registry.New()
	for _, k := range kubectls(t, m, "kinds-") {
		t.Run(k.version(), func(t *testing.T) {
			k.T = t
			var objects []kind.Object
			var names []string
			for i, shown := range kinds.Served() {
				stored, version := kinds.ByGVR(shown.GroupResource().WithVersion(shown.GVK.Version))
				if stored.ID == kind.Namespaces {
					continue // one was made for this walk
				}
				names = append(names, fmt.Sprintf("%s-least-%d", k.namespace, i))
				obj := least(stored, k.namespace, names[len(names)-1])
				if version != nil {
					obj = version.Shown(obj)
				}
				obj.GetObjectKind().SetGroupVersionKind(shown.GVK)
				objects = append(objects, obj)
				k.says("^KIND: +"+shown.GVK.Kind+"$", "explain", shown.GroupResource().Resource, "--api-version="+shown.GVK.GroupVersion().String(), "--recursive")
			}
			kindsLive(k, objects, names)
		})
	}
}

// least returns the least object of a kind that can be created in a namespace.
func least(k *kind.Kind, namespace, name string) kind.Object {
	obj := kindtest.Minimal(k)
	obj.SetName(name)
	obj.SetNamespace("")
	obj.SetUID("")
	obj.SetResourceVersion("")
	if n, ok := obj.(*storagev1.CSINode); ok {
		n.Spec.Drivers = []storagev1.CSINodeDriver{} // kubectl does not let null pass
	}
	if e, ok := obj.(*corev1.Event); ok {
		e.InvolvedObject.Namespace = namespace
		e.Type, e.EventTime = corev1.EventTypeNormal, metav1.NowMicro()
		e.ReportingController, e.ReportingInstance, e.Action, e.Reason = "example.com/c", "c-1", "Look", "Looked"
	}
	return obj
}

const endpointsWarning = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"

// kindsLive creates objects, shows and changes them in every way that fits any object, and deletes them.
func kindsLive(k *tool, objects []kind.Object, names []string) {
	manifest, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		k.Fatal(err)
	}
	file := k.file("least.json", string(manifest))
	// run runs kubectl and returns what it says beside the warning that all use of Endpoints gets.
	run := func(stdin string, args ...string) string {
		k.Helper()
		return strings.ReplaceAll(k.with(stdin, "", args...), endpointsWarning, "")
	}
	// each does so, and kubectl must say the pattern about each object; %s is its name.
	each := func(stdin, pattern string, args ...string) string {
		k.Helper()
		out := run(stdin, args...)
		for i, name := range names {
			if want := strings.ReplaceAll(pattern, "%s", name); !regexp.MustCompile("(?mi)" + want).MatchString(out) {
				k.Fatalf("kubectl %s says nothing like %s of %T:\n%.3000s", strings.Join(args, " "), want, objects[i], out)
			}
		}
		return out
	}
	each("", "/%s created$", "create", "-f", file, "--validate=strict")
	each("", `/%s( |$)`, "get", "-f", file, "-o", "wide")
	each("", "/%s$", "get", "-f", file, "-o", "name")
	each("", "^Name: +%s$", "describe", "-f", file)
	each("", "/%s labeled$", "label", "-f", file, "walk=yes")
	each("", "/%s annotated$", "annotate", "-f", file, "walk=yes")
	each("", "/%s patched$", "patch", "-f", file, "--type=json", "-p", `[{"op":"add","path":"/metadata/annotations/patched","value":"yes"}]`)
	written := each("", "^    name: %s$", "get", "-f", file, "-o", "yaml")
	each(written, "/%s replaced$", "replace", "-f", "-")
	if out := run(each("", "%s", "get", "-f", file, "-o", "yaml"), "diff", "-f", "-"); out != "" {
		k.Errorf("what was just read differs from what is there:\n%s", out)
	}
	each(strings.ReplaceAll(written, `walk: "yes"`, `walk: "no"`), "/%s configured$", "apply", "-f", "-", "--overwrite")
	each("", "/%s serverside-applied$", "apply", "--server-side", "--force-conflicts", "-f", file)
	each("", `"%s" deleted`, "delete", "-f", file, "--wait=false", "--cascade=background")
}
