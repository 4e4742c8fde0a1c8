package deployment

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/controller/pods"
)

// Annotations that Kubernetes' Deployments and kubectl share.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
	rollbackAnnotation = "deprecated.deployment.rollback.to"
)

// historyMax bounds the revision-history annotation, in bytes.
const historyMax = 2000

func gvk() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("Deployment") }

func templateHash(d *appsv1.Deployment) string {
	return pods.TemplateHash(&d.Spec.Template, d.Status.CollisionCount)
}

func childName(d *appsv1.Deployment) string { return d.Name + "-" + templateHash(d) }

// sameTemplate compares two templates without the label that tells ReplicaSets' pods apart.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return equality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	c := *t
	c.Labels = maps.Clone(t.Labels)
	delete(c.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return &c
}

// split sorts the sets, oldest first, and takes out the one with the Deployment's template (the oldest, should
// there be several).
func split(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (current *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	sorted := slices.Clone(sets)
	slices.SortFunc(sorted, byAge)
	for _, s := range sorted {
		if current == nil && sameTemplate(&s.Spec.Template, &d.Spec.Template) {
			current = s
		} else {
			old = append(old, s)
		}
	}
	return current, old
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// newSet makes the ReplicaSet of the Deployment's template.
func newSet(d *appsv1.Deployment, replicas int32, revision int64) *appsv1.ReplicaSet {
	hash := templateHash(d)
	template := *d.Spec.Template.DeepCopy()
	template.Labels = withLabel(template.Labels, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = withLabel(selector.MatchLabels, hash)
	s := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name:            d.Name + "-" + hash,
			Namespace:       d.Namespace,
			Labels:          maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, gvk())},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas:        &replicas,
			MinReadySeconds: d.Spec.MinReadySeconds,
			Selector:        selector,
			Template:        template,
		},
	}
	annotate(s, d, revision)
	setSizes(s, d)
	return s
}

func withLabel(labels map[string]string, hash string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = make(map[string]string)
	}
	out[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return out
}

// annotate gives the current set, a private copy, the Deployment's annotations and its revision.
func annotate(s *appsv1.ReplicaSet, d *appsv1.Deployment, revision int64) {
	if s.Annotations == nil {
		s.Annotations = make(map[string]string)
	}
	for k, v := range d.Annotations {
		switch k {
		case corev1.LastAppliedConfigAnnotation, revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation, rollbackAnnotation:
		default:
			s.Annotations[k] = v
		}
	}
	before := s.Annotations[revisionAnnotation]
	if was, _ := strconv.ParseInt(before, 10, 64); was >= revision {
		return
	}
	s.Annotations[revisionAnnotation] = strconv.FormatInt(revision, 10)
	if before == "" {
		return
	}
	history := before
	if have := s.Annotations[historyAnnotation]; have != "" {
		history = have + "," + before
	}
	for len(history) > historyMax {
		_, history, _ = strings.Cut(history, ",")
	}
	s.Annotations[historyAnnotation] = history
}

// setSizes notes on a set, a private copy, which sizes of the Deployment it was scaled for.
func setSizes(s *appsv1.ReplicaSet, d *appsv1.Deployment) {
	if s.Annotations == nil {
		s.Annotations = make(map[string]string)
	}
	desired := replicas(d)
	s.Annotations[desiredAnnotation] = strconv.Itoa(int(desired))
	s.Annotations[maxAnnotation] = strconv.Itoa(int(desired + maxSurge(d)))
}

// annotation returns a number among the annotations; ok is false if it is not there.
func annotation(s *appsv1.ReplicaSet, key string) (n int32, ok bool) {
	v, err := strconv.ParseInt(s.Annotations[key], 10, 32)
	return int32(v), err == nil
}

func revisionOf(s *appsv1.ReplicaSet) int64 {
	n, _ := strconv.ParseInt(s.Annotations[revisionAnnotation], 10, 64)
	return n
}

// nextRevision is one more than that of every old set.
func nextRevision(old []*appsv1.ReplicaSet) int64 {
	var highest int64
	for _, s := range old {
		highest = max(highest, revisionOf(s))
	}
	return highest + 1
}
