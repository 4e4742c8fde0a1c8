package admit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/policy"

	"sampan/apiserver/admit"
	"sampan/kind"
)

func podSecurity(t *testing.T) admit.Step {
	t.Helper()
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return admit.PodSecurity(checks)
}

// level is a namespace with Pod Security labels, given as mode and level by turns.
func level(pairs ...string) *corev1.Namespace {
	ns := namespace("ns", corev1.NamespaceActive)
	ns.Labels = map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		ns.Labels["pod-security.kubernetes.io/"+pair[0]] = pair[1]
	}
	return ns
}

func privilegedPod(p *corev1.Pod) {
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}}
}

const tooPrivileged = `violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`

func TestPodSecurity(t *testing.T) {
	harmless := func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}} }
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}}
	deployment.Spec.Template.Spec = pod(privilegedPod).Spec
	renamed := pod(privilegedPod)
	renamed.Spec.Containers[0].Image = "other"
	for _, c := range []struct {
		name     string
		ns       *corev1.Namespace
		obj, old kind.Object
		text     string
		warnings []string
		notes    map[string]string
	}{
		{"no labels", level(), pod(privilegedPod), nil, "", nil, nil},
		{"enforced", level("enforce", "baseline"), pod(privilegedPod), nil,
			`pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`, nil, nil},
		{"harmless", level("enforce", "baseline"), pod(harmless), nil, "", nil, nil},
		{"warned", level("warn", "baseline"), pod(privilegedPod), nil, "", []string{"would " + tooPrivileged}, nil},
		{"audited", level("audit", "baseline"), pod(privilegedPod), nil, "", nil,
			map[string]string{"pod-security.kubernetes.io/audit-violations": "would " + tooPrivileged}},
		{"templates are warned about only", level("enforce", "baseline", "warn", "baseline"), deployment, nil, "", []string{"would " + tooPrivileged}, nil},
		{"nothing new", level("enforce", "baseline"), pod(privilegedPod), pod(privilegedPod), "", nil, nil},
		{"a new image", level("enforce", "baseline"), renamed, pod(privilegedPod), "violates PodSecurity", nil, nil},
		{"unknown level", level(), level("enforce", "strict"), nil, `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`, nil, nil},
		{"stricter than what runs", level(), level("enforce", "baseline"), level(), "", []string{
			`existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"`, "a (and 1 other pod): privileged"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, two := pod(privilegedPod), pod(privilegedPod)
			one.Name, two.Name = "a", "b"
			verb := admit.Create
			if c.old != nil {
				verb = admit.Update
			}
			req := request(verb, c.obj, c.old)
			var warnings []string
			var notes map[string]string
			req.Warn = func(text string) { warnings = append(warnings, text) }
			req.Annotate = func(key, value string) { notes = map[string]string{key: value} }
			err := podSecurity(t)(req, cluster(c.ns, one, two))
			code := int32(403)
			switch {
			case c.text == "":
				code = 0
			case req.Kind.ID == kind.Namespaces:
				code = 422
			}
			refused(t, err, code, c.text)
			if d := cmp.Diff(c.warnings, warnings); d != "" {
				t.Errorf("warnings: %s", d)
			}
			if d := cmp.Diff(c.notes, notes); d != "" {
				t.Errorf("notes: %s", d)
			}
		})
	}
}
