package admit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	enforced := func(level string) map[string]string { return map[string]string{"enforce-policy": level + ":latest"} }
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
		{"no labels", level(), pod(privilegedPod), nil, "", nil, enforced("privileged")},
		{"labels that are none", level("enforce", "strict"), pod(harmless), nil, `violates PodSecurity "restricted:latest"`, nil, map[string]string{
			"enforce-policy": "restricted:latest",
			"error":          `Failed to parse policy: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`}},
		{"enforced", level("enforce", "baseline"), pod(privilegedPod), nil,
			`pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`, nil, enforced("baseline")},
		{"enforced and audited", level("enforce", "baseline", "audit", "baseline"), pod(privilegedPod), nil, "violates PodSecurity", nil,
			map[string]string{"enforce-policy": "baseline:latest", "audit-violations": "would " + tooPrivileged}},
		{"harmless", level("enforce", "baseline"), pod(harmless), nil, "", nil, enforced("baseline")},
		{"warned", level("warn", "baseline"), pod(privilegedPod), nil, "", []string{"would " + tooPrivileged}, enforced("privileged")},
		{"audited", level("audit", "baseline"), pod(privilegedPod), nil, "", nil,
			map[string]string{"enforce-policy": "privileged:latest", "audit-violations": "would " + tooPrivileged}},
		{"templates are warned about only", level("enforce", "baseline", "warn", "baseline"), deployment, nil, "", []string{"would " + tooPrivileged}, nil},
		{"nothing new", level("enforce", "baseline"), pod(privilegedPod), pod(privilegedPod), "", nil, nil},
		{"a new image", level("enforce", "baseline"), renamed, pod(privilegedPod), "violates PodSecurity", nil, enforced("baseline")},
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
			req.Annotate = func(key, value string) {
				if notes == nil {
					notes = map[string]string{}
				}
				notes[strings.TrimPrefix(key, "pod-security.kubernetes.io/")] = value
			}
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

func TestPodSecurityLooksAtWhatASubresourceChanges(t *testing.T) {
	other := func(p *corev1.Pod) { privilegedPod(p); p.Spec.Containers[0].Image = "other" }
	debugged := func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "d", Image: "d", SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}}}
	}
	calm := func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}} }
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}}
	deployment.Spec.Template.Spec = pod(privilegedPod).Spec
	for _, c := range []struct {
		sub      string
		obj, old kind.Object
		refused  bool
		warned   bool
	}{
		{"", pod(other), pod(privilegedPod), true, false},
		{"status", pod(other), pod(privilegedPod), false, false},
		{"ephemeralcontainers", pod(debugged), pod(calm), true, false},
		{"resize", pod(other), pod(privilegedPod), true, false},
		{"resize", pod(privilegedPod), pod(privilegedPod), false, false},
		{"", deployment, deployment, false, true},
		{"status", deployment, deployment, false, false},
	} {
		req := request(admit.Update, c.obj, c.old)
		req.Subresource = c.sub
		warned := false
		req.Warn = func(string) { warned = true }
		code := int32(0)
		if c.refused {
			code = 403
		}
		refused(t, podSecurity(t)(req, cluster(level("enforce", "baseline", "warn", "baseline"))), code, "violates PodSecurity")
		if warned != c.warned {
			t.Errorf("%T %q: warned %v", c.obj, c.sub, warned)
		}
	}
	unreadable := podSecurity(t)(request(admit.Create, pod(calm), nil), cluster(level("enforce", "strict")))
	refused(t, unreadable, 403, `violates PodSecurity "restricted:latest"`)
}

func TestPodSecurityWarnsOfEveryKindThatHoldsAPod(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "x"}
	template := corev1.PodTemplateSpec{Spec: pod(privilegedPod).Spec}
	for _, obj := range []kind.Object{
		pod(privilegedPod),
		&corev1.PodTemplate{ObjectMeta: meta, Template: template},
		&corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Template: &template}},
		&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Template: template}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: template}},
		&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Template: template}},
		&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Template: template}},
		&batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}},
		&batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}},
	} {
		var warnings []string
		req := request(admit.Create, obj, nil)
		req.Warn = func(text string) { warnings = append(warnings, text) }
		refused(t, podSecurity(t)(req, cluster(level("warn", "baseline"))), 0, "")
		if len(warnings) != 1 || warnings[0] != "would "+tooPrivileged {
			t.Errorf("%T: %q", obj, warnings)
		}
	}
	without := &corev1.ReplicationController{ObjectMeta: meta}
	refused(t, podSecurity(t)(request(admit.Create, without, nil), cluster(level("enforce", "restricted"))), 0, "")
}

func TestPoliciesOfANamespaceAreComparedWithItsPods(t *testing.T) {
	owned := func(name, owner string, change func(*corev1.Pod)) *corev1.Pod {
		p := pod(change)
		p.Name = name
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(owner), Controller: new(true)}}
		}
		return p
	}
	calm := func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}} }
	host := func(p *corev1.Pod) { calm(p); p.Spec.HostNetwork = true }
	three := []kind.Object{owned("c", "", privilegedPod), owned("a", "", privilegedPod), owned("b", "", privilegedPod), owned("d", "", host), owned("e", "", calm)}
	many := []kind.Object{owned("z", "", privilegedPod), owned("zz", "second", privilegedPod)}
	for i := range 3000 {
		many = append(many, owned(fmt.Sprintf("a%04d", i), "first", calm))
	}
	const violate = `existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"`
	const what = ": privileged"
	for _, c := range []struct {
		name     string
		pods     []kind.Object
		new, old *corev1.Namespace
		want     []string
		text     string
	}{
		{"stricter", three, level("enforce", "baseline"), level(), []string{violate, "a (and 2 other pods)" + what, "d: host namespaces"}, ""},
		{"nothing violates it", []kind.Object{owned("e", "", calm)}, level("enforce", "baseline"), level(), nil, ""},
		{"unchanged", three, level("enforce", "baseline", "warn", "baseline"), level("enforce", "baseline"), nil, ""},
		{"relaxed", three, level("enforce", "baseline"), level("enforce", "restricted"), nil, ""},
		{"no more", three, level("enforce", "privileged"), level("enforce", "baseline"), nil, ""},
		{"privileged of another version", three, level("enforce", "privileged", "enforce-version", "v1.20"), level("enforce", "baseline"), nil, ""},
		{"relaxed to another version", three[:3], level("enforce", "baseline", "enforce-version", "v1.24"), level("enforce", "restricted"),
			[]string{`existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:v1.24"`, "a (and 2 other pods)" + what}, ""},
		{"each controller's pods in turn", many, level("enforce", "baseline"), level(),
			[]string{"new PodSecurity enforce level only checked against the first 3000 of 3002 existing pods", violate, "z (and 1 other pod)" + what}, ""},
		{"unreadable as it was", three, level("enforce", "strict", "warn", "baseline"), level("enforce", "strict"), nil, ""},
		{"unreadable in another way", three, level("enforce", "severe"), level("enforce", "strict"), nil, `Invalid value: "severe"`},
		{"unreadable now", three, level("enforce", "severe"), level("enforce", "baseline"), nil, `Invalid value: "severe"`},
	} {
		var warnings []string
		req := request(admit.Update, c.new, c.old)
		req.Warn = func(text string) { warnings = append(warnings, text) }
		err := podSecurity(t)(req, cluster(c.pods...))
		code := int32(0)
		if c.text != "" {
			code = 422
		}
		refused(t, err, code, c.text)
		if d := cmp.Diff(c.want, warnings); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		req.Subresource, warnings = "status", nil
		refused(t, podSecurity(t)(req, cluster(c.pods...)), 0, "")
		if len(warnings) > 0 {
			t.Errorf("%s: a change of the status is warned of: %q", c.name, warnings)
		}
	}
}
