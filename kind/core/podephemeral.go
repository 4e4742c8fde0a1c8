package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ephemeralPart is pods/ephemeralcontainers: containers are added to a pod that runs, to look at it, and never changed
// or removed.
func ephemeralPart() kind.TypedPart[*corev1.Pod] {
	return kind.TypedPart[*corev1.Pod]{
		Name: "ephemeralcontainers",
		PrepareUpdate: func(pod, old *corev1.Pod) {
			wanted := pod.Spec.EphemeralContainers
			restore(pod, old)
			pod.Spec.EphemeralContainers = wanted
		},
		Validate: validateEphemeralUpdate,
		Warnings: func(pod, old *corev1.Pod) []string {
			if len(pod.Spec.EphemeralContainers) > len(old.Spec.EphemeralContainers) {
				return []string{"spec.ephemeralContainers: Sampan's node agent does not start ephemeral containers yet"}
			}
			return nil
		},
	}
}

// restore makes pod the stored one again, but for what tells whether it is meant: its name, UID and revision, and who
// manages its fields.
func restore(pod, old *corev1.Pod) {
	meta := pod.ObjectMeta
	old.DeepCopyInto(pod)
	pod.Name, pod.Namespace, pod.UID, pod.ResourceVersion = meta.Name, meta.Namespace, meta.UID, meta.ResourceVersion
	pod.ManagedFields = meta.ManagedFields
}

func validateEphemeralUpdate(pod, old *corev1.Pod) field.ErrorList {
	if _, ok := old.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	errs := validatePodSpec(&pod.Spec, field.NewPath("spec"))
	path := field.NewPath("spec", "ephemeralContainers")
	byName := make(map[string]*corev1.EphemeralContainer, len(pod.Spec.EphemeralContainers))
	for i := range pod.Spec.EphemeralContainers {
		byName[pod.Spec.EphemeralContainers[i].Name] = &pod.Spec.EphemeralContainers[i]
	}
	for _, was := range old.Spec.EphemeralContainers {
		is, ok := byName[was.Name]
		switch {
		case !ok:
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", was.Name)))
		case !equality.Semantic.DeepEqual(was, *is):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", was.Name, diff.Diff(was, *is))))
		}
	}
	return errs
}

// validateEphemeralContainers checks ephemeral containers, which have less than others. taken are the names of the
// others.
func validateEphemeralContainers(spec *corev1.PodSpec, volumes map[string]corev1.VolumeSource, taken sets.Set[string], path *field.Path) field.ErrorList {
	var errs field.ErrorList
	others := taken.Clone()
	for i := range spec.EphemeralContainers {
		e, p := &spec.EphemeralContainers[i], path.Index(i)
		if taken.Has(e.Name) {
			errs = append(errs, field.Duplicate(p.Child("name"), e.Name))
		} else if e.Name != "" {
			taken.Insert(e.Name)
		}
		if e.TargetContainerName != "" && !others.Has(e.TargetContainerName) {
			errs = append(errs, field.NotFound(p.Child("targetContainerName"), e.TargetContainerName))
		}
		c := corev1.Container(e.EphemeralContainerCommon)
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"ports", len(c.Ports) > 0}, {"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil},
			{"startupProbe", c.StartupProbe != nil}, {"lifecycle", c.Lifecycle != nil},
			{"resources", len(c.Resources.Limits)+len(c.Resources.Requests)+len(c.Resources.Claims) > 0},
			{"resizePolicy", len(c.ResizePolicy) > 0}, {"restartPolicy", c.RestartPolicy != nil},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(p.Child(f.name), "cannot be set for an Ephemeral Container"))
			}
		}
		c.Ports, c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle, c.RestartPolicy = nil, nil, nil, nil, nil, nil
		c.Resources, c.ResizePolicy = corev1.ResourceRequirements{}, nil
		errs = append(errs, validateContainer(&c, mainContainer, spec, volumes, p)...)
		for j, m := range c.VolumeMounts {
			at := p.Child("volumeMounts").Index(j)
			if m.SubPath != "" {
				errs = append(errs, field.Forbidden(at.Child("subPath"), "cannot be set for an Ephemeral Container"))
			}
			if m.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(at.Child("subPathExpr"), "cannot be set for an Ephemeral Container"))
			}
		}
	}
	return errs
}
