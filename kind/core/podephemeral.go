package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
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
			dropGated(&pod.Spec, &old.Spec)
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
	if errs := staticPodForbidden(old, "do not support ephemeral containers"); errs != nil {
		return errs
	}
	errs := validateChangedPod(pod, old)
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

// validateEphemeralContainers checks ephemeral containers, which have less than others. others are the names of those.
func (pod *podRules) validateEphemeralContainers(others map[string]bool, path *field.Path) field.ErrorList {
	const reason = "cannot be set for an Ephemeral Container"
	var errs field.ErrorList
	taken := make(map[string]bool, len(pod.EphemeralContainers))
	for i := range pod.EphemeralContainers {
		e, p := &pod.EphemeralContainers[i], path.Index(i)
		c := (*corev1.Container)(&e.EphemeralContainerCommon)
		errs = append(errs, pod.validateContainer(c, p)...)
		if others[e.Name] || taken[e.Name] {
			errs = append(errs, field.Duplicate(p.Child("name"), e.Name))
		}
		taken[e.Name] = true
		if e.TargetContainerName != "" && !others[e.TargetContainerName] {
			errs = append(errs, field.NotFound(p.Child("targetContainerName"), e.TargetContainerName))
		}
		errs = append(errs, forbidden(p, reason,
			setField{"ports", c.Ports != nil},
			setField{"resources", c.Resources.Limits != nil || c.Resources.Requests != nil || c.Resources.Claims != nil},
			setField{"resizePolicy", c.ResizePolicy != nil},
			setField{"restartPolicy", c.RestartPolicy != nil},
			setField{"restartPolicyRules", c.RestartPolicyRules != nil},
			setField{"livenessProbe", c.LivenessProbe != nil},
			setField{"readinessProbe", c.ReadinessProbe != nil},
			setField{"startupProbe", c.StartupProbe != nil},
			setField{"lifecycle", c.Lifecycle != nil},
		)...)
		for j, m := range c.VolumeMounts {
			errs = append(errs, forbidden(p.Child("volumeMounts").Index(j), reason,
				setField{"subPath", m.SubPath != ""}, setField{"subPathExpr", m.SubPathExpr != ""})...)
		}
	}
	return errs
}
