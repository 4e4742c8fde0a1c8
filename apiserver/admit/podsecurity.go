package admit

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"sampan/kind"
	"sampan/view"
)

// podsCheckedMax is how many pods of a namespace are looked at when its policy changes, as in upstream.
const podsCheckedMax = 3000

// podSecurity applies the Pod Security Standards that a namespace's labels ask for.
type podSecurity struct{ evaluator policy.Evaluator }

// PodSecurity returns the rule that holds pods to the Pod Security Standard of their namespace, which its labels
// pod-security.kubernetes.io/{enforce,audit,warn} name; without them everything is allowed. Pods are refused or warned
// about; what contains a pod template is warned about only.
func PodSecurity(evaluator policy.Evaluator) Step { return podSecurity{evaluator}.admit }

func (s podSecurity) admit(req *Request, snap *view.Snapshot) error {
	if req.Verb == Delete || req.Object == nil {
		return nil
	}
	if ns, ok := req.Object.(*corev1.Namespace); ok {
		return s.namespace(req, ns, snap)
	}
	meta, spec := podTemplate(req.Object)
	if spec == nil {
		return nil
	}
	pod, isPod := req.Object.(*corev1.Pod)
	switch {
	case !isPod && req.Subresource != "":
		return nil
	case isPod && req.Subresource != "" && req.Subresource != "ephemeralcontainers" && req.Subresource != "resize":
		return nil
	}
	ns, _ := view.Get[*corev1.Namespace](snap, kind.Namespaces, "", req.Namespace)
	if ns == nil {
		return nil
	}
	want, errs := privileged(), field.ErrorList(nil)
	if labelled(ns.Labels) {
		want, errs = api.PolicyToEvaluate(ns.Labels, want)
	}
	if len(errs) == 0 && want.FullyPrivileged() {
		if isPod {
			s.annotate(req, api.EnforcedPolicyAnnotationKey, privileged().Enforce.String())
		}
		return nil
	}
	if isPod && req.Old != nil && !newImages(pod, req.Old.(*corev1.Pod)) {
		return nil
	}
	if len(errs) > 0 {
		s.annotate(req, "error", fmt.Sprintf("Failed to parse policy: %v", errs.ToAggregate()))
	}
	if r := s.check(want.Audit, meta, spec); !r.Allowed {
		s.annotate(req, api.AuditViolationsAnnotationKey, fmt.Sprintf("would violate PodSecurity %q: %s", want.Audit.String(), r.ForbiddenDetail()))
	}
	if isPod {
		s.annotate(req, api.EnforcedPolicyAnnotationKey, want.Enforce.String())
		if r := s.check(want.Enforce, meta, spec); !r.Allowed {
			return forbidden(req, "violates PodSecurity %q: %s", want.Enforce.String(), r.ForbiddenDetail())
		}
	}
	if r := s.check(want.Warn, meta, spec); !r.Allowed {
		req.warning(fmt.Sprintf("would violate PodSecurity %q: %s", want.Warn.String(), r.ForbiddenDetail()))
	}
	return nil
}

// annotate tells the audit log what was decided.
func (podSecurity) annotate(req *Request, key, value string) {
	req.annotate(api.AuditAnnotationPrefix+key, value)
}

func (s podSecurity) check(v api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.AggregateCheckResult {
	return policy.AggregateCheckResults(s.evaluator.EvaluatePod(v, meta, spec))
}

// privileged is the policy of a namespace without labels.
func privileged() api.Policy {
	all := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	return api.Policy{Enforce: all, Audit: all, Warn: all}
}

func labelled(labels map[string]string) bool {
	for name := range labels {
		if strings.HasPrefix(name, "pod-security.kubernetes.io/") {
			return true
		}
	}
	return false
}

// namespace refuses labels that are no policy, and warns of the pods that a stricter policy would refuse.
func (s podSecurity) namespace(req *Request, ns *corev1.Namespace, snap *view.Snapshot) error {
	if req.Subresource != "" || !labelled(ns.Labels) {
		return nil
	}
	want, errs := api.PolicyToEvaluate(ns.Labels, privileged())
	old, _ := req.Old.(*corev1.Namespace)
	if old == nil {
		return invalidLabels(ns, errs)
	}
	was, oldErrs := api.PolicyToEvaluate(old.Labels, privileged())
	if len(errs) > 0 && errs.ToAggregate().Error() != text(oldErrs) {
		return invalidLabels(ns, errs)
	}
	if want.Enforce == was.Enforce || want.Enforce.Level == api.LevelPrivileged ||
		want.Enforce.Version == was.Enforce.Version && api.CompareLevels(want.Enforce.Level, was.Enforce.Level) < 1 {
		return nil
	}
	for _, w := range s.violations(ns.Name, want.Enforce, snap) {
		req.warning(w)
	}
	return nil
}

func text(errs field.ErrorList) string {
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}

func invalidLabels(ns *corev1.Namespace, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Namespace").GroupKind(), ns.Name, errs)
}

// violations says which pods of a namespace a policy would refuse: those of one controller after one another.
func (s podSecurity) violations(namespace string, want api.LevelVersion, snap *view.Snapshot) (warnings []string) {
	var first, rest []*corev1.Pod
	owners := map[types.UID]bool{}
	for pod := range view.All[*corev1.Pod](snap, kind.Pods, namespace) {
		if owner := metav1.GetControllerOfNoCopy(pod); owner == nil {
			first = append(first, pod)
		} else if owners[owner.UID] {
			rest = append(rest, pod)
		} else {
			owners[owner.UID] = true
			first = append(first, pod)
		}
	}
	pods := append(first, rest...)
	total := len(pods)
	pods = pods[:min(total, podsCheckedMax)]
	names := map[string][]string{}
	for _, pod := range pods {
		if r := s.check(want, &pod.ObjectMeta, &pod.Spec); !r.Allowed {
			names[r.ForbiddenReason()] = append(names[r.ForbiddenReason()], pod.Name)
		}
	}
	if len(pods) < total {
		warnings = append(warnings, fmt.Sprintf("new PodSecurity enforce level only checked against the first %d of %d existing pods", len(pods), total))
	}
	if len(names) == 0 {
		return warnings
	}
	warnings = append(warnings, fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", namespace, want.String()))
	var lines []string
	for reason, pods := range names {
		line := slices.Min(pods)
		switch n := len(pods) - 1; n {
		case 0:
		case 1:
			line += " (and 1 other pod)"
		default:
			line += fmt.Sprintf(" (and %d other pods)", n)
		}
		lines = append(lines, line+": "+reason)
	}
	slices.Sort(lines)
	return append(warnings, lines...)
}

// newImages reports whether an update of a pod brings containers or images that must be looked at again; nothing
// else of a pod that the standards are about can change.
func newImages(pod, old *corev1.Pod) bool {
	images := func(p *corev1.Pod) (out []string) {
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			out = append(out, c.Name+" "+c.Image)
		}
		for _, c := range p.Spec.EphemeralContainers {
			out = append(out, c.Name+" "+c.Image)
		}
		return out
	}
	return !slices.Equal(images(pod), images(old))
}

// podTemplate returns the pod, or the pod template, of an object; nil if it has none.
func podTemplate(obj kind.Object) (*metav1.ObjectMeta, *corev1.PodSpec) {
	var t *corev1.PodTemplateSpec
	switch o := obj.(type) {
	case *corev1.Pod:
		return &o.ObjectMeta, &o.Spec
	case *corev1.PodTemplate:
		t = &o.Template
	case *corev1.ReplicationController:
		t = o.Spec.Template
	case *appsv1.ReplicaSet:
		t = &o.Spec.Template
	case *appsv1.Deployment:
		t = &o.Spec.Template
	case *appsv1.DaemonSet:
		t = &o.Spec.Template
	case *appsv1.StatefulSet:
		t = &o.Spec.Template
	case *batchv1.Job:
		t = &o.Spec.Template
	case *batchv1.CronJob:
		t = &o.Spec.JobTemplate.Spec.Template
	}
	if t == nil {
		return nil, nil
	}
	return &t.ObjectMeta, &t.Spec
}
