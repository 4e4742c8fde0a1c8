package core

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateStatusUser checks who a container runs as. The runtime reports any user that Linux knows, also those that a
// spec may not ask for.
func validateStatusUser(c *corev1.ContainerStatus, os *corev1.PodOS, at containerAt) field.ErrorList {
	if c.User == nil || c.User.Linux == nil {
		return nil
	}
	user, p := c.User.Linux, at.path().Child("user", "linux")
	if os != nil && os.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(p, "cannot be set for a windows pod")}
	}
	var errs field.ErrorList
	if user.UID < 0 || user.UID > math.MaxUint32 {
		errs = append(errs, field.Invalid(p.Child("uid"), user.UID, fmt.Sprintf("must be between 0 and %d, inclusive", int64(math.MaxUint32))))
	}
	errs = append(errs, invalids(p.Child("gid"), user.GID, validation.IsValidGroupID(user.GID))...)
	for i, gid := range user.SupplementalGroups {
		errs = append(errs, invalids(p.Child("supplementalGroups").Index(i), gid, validation.IsValidGroupID(gid))...)
	}
	return errs
}

// validateAllocated checks the health of the devices that a container has (KEP-4680).
func validateAllocated(c *corev1.ContainerStatus, containers []corev1.Container, status *corev1.PodStatus, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := slices.IndexFunc(containers, func(spec corev1.Container) bool { return spec.Name == c.Name })
	for i, r := range c.AllocatedResourcesStatus {
		p := path.Index(i)
		if at >= 0 { // a container that the spec lacks is not looked into
			spec := &containers[at]
			if claim, ok := strings.CutPrefix(string(r.Name), "claim:"); ok {
				if !usesClaim(spec, claim) && !usesExtendedClaim(spec, claim, status.ExtendedResourceClaimStatus) {
					errs = append(errs, field.Invalid(p.Child("name"), r.Name,
						"must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty"))
				}
			} else if _, ok := spec.Resources.Requests[r.Name]; !ok {
				errs = append(errs, field.Invalid(p.Child("name"), r.Name, "must match one of the container's resource requests"))
			}
		}
		seen := make(map[corev1.ResourceID]bool, len(r.Resources))
		for j, device := range r.Resources {
			p := p.Child("resources").Index(j)
			errs = append(errs, supported(p.Child("health"), device.Health,
				corev1.ResourceHealthStatusHealthy, corev1.ResourceHealthStatusUnhealthy, corev1.ResourceHealthStatusUnknown)...)
			if m := device.Message; m != nil {
				switch {
				case *m == "":
					errs = append(errs, field.Required(p.Child("message"), "must be non-empty if specified"))
				case len(*m) > corev1.ResourceHealthMessageMaxLength:
					errs = append(errs, field.TooLong(p.Child("message"), *m, corev1.ResourceHealthMessageMaxLength))
				}
			}
			if seen[device.ResourceID] {
				errs = append(errs, field.Duplicate(p.Child("resourceID"), device.ResourceID))
			}
			seen[device.ResourceID] = true
		}
	}
	return errs
}

// usesClaim says whether a container uses a claim, or a request of it as in "claim/request".
func usesClaim(c *corev1.Container, claim string) bool {
	for _, ref := range c.Resources.Claims {
		name := ref.Name
		if ref.Request != "" {
			name += "/" + ref.Request
		}
		if name == claim {
			return true
		}
	}
	return false
}

// usesExtendedClaim says the same of the claim that was made for the pod's extended resources.
func usesExtendedClaim(c *corev1.Container, claim string, extended *corev1.PodExtendedResourceClaimStatus) bool {
	name, request, _ := strings.Cut(claim, "/")
	if extended == nil || request == "" || name != extended.ResourceClaimName {
		return false
	}
	return slices.ContainsFunc(extended.RequestMappings, func(m corev1.ContainerExtendedResourceRequest) bool {
		amount, ok := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]
		return m.ContainerName == c.Name && m.RequestName == request && ok && !amount.IsZero()
	})
}

// validateVolumeStatuses checks what a container's mounts are made of (KEP-5365).
func validateVolumeStatuses(c *corev1.ContainerStatus, at containerAt) field.ErrorList {
	const longest = 256
	var errs field.ErrorList
	for i, m := range c.VolumeMounts {
		if m.VolumeStatus == nil || m.VolumeStatus.Image == nil {
			continue
		}
		p := at.path().Child("volumeMounts").Index(i).Child("volumeStatus", "imageVolumeStatus", "imageRef")
		switch ref := m.VolumeStatus.Image.ImageRef; {
		case ref == "":
			errs = append(errs, field.Required(p, "imageRef must not be empty"))
		case len(ref) > longest:
			errs = append(errs, field.TooLong(p, ref, longest))
		}
	}
	return errs
}

// validateClaimStatuses checks which resource claims were made for a pod, and what they are good for.
func validateClaimStatuses(pod *corev1.Pod, status *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := make(map[string]bool)
	for i, s := range pod.Status.ResourceClaimStatuses {
		p := status.Child("resourceClaimStatuses").Index(i)
		if !slices.ContainsFunc(pod.Spec.ResourceClaims, func(c corev1.PodResourceClaim) bool { return c.Name == s.Name }) {
			errs = append(errs, field.Invalid(p.Child("name"), s.Name, "must match the name of an entry in `spec.resourceClaims`"))
		}
		if seen[s.Name] {
			errs = append(errs, field.Duplicate(p.Child("name"), s.Name))
		}
		seen[s.Name] = true
		if s.ResourceClaimName != nil {
			errs = append(errs, subdomainIn(p, "resourceClaimName", *s.ResourceClaimName)...)
		}
	}
	if pod.Status.ExtendedResourceClaimStatus != nil {
		errs = append(errs, validateExtendedClaim(pod, status.Child("extendedResourceClaimStatus"))...)
	}
	for i := range pod.Status.NodeAllocatableResourceClaimStatuses {
		errs = append(errs, validateNodeAllocatable(pod, i, status.Child("nodeAllocatableResourceClaimStatuses").Index(i))...)
	}
	return errs
}

// validateExtendedClaim checks the claim that stands for the extended resources of a pod (KEP-5004).
func validateExtendedClaim(pod *corev1.Pod, path *field.Path) field.ErrorList {
	status := pod.Status.ExtendedResourceClaimStatus
	var errs field.ErrorList
	containers := make(map[string]*corev1.Container)
	eachContainer(&pod.Spec, path, func(c *corev1.Container, at containerAt) {
		if at.list != "ephemeralContainers" {
			containers[c.Name] = c
		}
	})
	mappings := path.Child("requestMappings")
	if len(status.RequestMappings) == 0 {
		errs = append(errs, field.Required(mappings, "at least one request mapping is required"))
	}
	seen := make(map[corev1.ContainerExtendedResourceRequest]bool, len(status.RequestMappings))
	for i, m := range status.RequestMappings {
		p := mappings.Index(i)
		if c := containers[m.ContainerName]; c == nil {
			errs = append(errs, field.Invalid(p.Child("containerName"), m.ContainerName, "must match the name of an entry in spec.initContainers.name or spec.containers.name"))
		} else if _, ok := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]; !ok {
			errs = append(errs, field.Invalid(p.Child("resourceName"), m.ResourceName,
				"must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"))
		}
		errs = append(errs, labelIn(path, "requestName", m.RequestName)...)
		if seen[m] {
			errs = append(errs, field.Duplicate(p.Child("containerName"), m.ContainerName), field.Duplicate(p.Child("resourceName"), m.ResourceName),
				field.Duplicate(p.Child("requestName"), m.RequestName))
		}
		seen[m] = true
	}
	if status.ResourceClaimName == "" {
		return append(errs, field.Required(path.Child("resourceClaimName"), ""))
	}
	return append(errs, subdomainIn(path, "resourceClaimName", status.ResourceClaimName)...)
}

// validateNodeAllocatable checks what a claim takes of the node's own resources (KEP-5517).
func validateNodeAllocatable(pod *corev1.Pod, i int, path *field.Path) field.ErrorList {
	s := &pod.Status.NodeAllocatableResourceClaimStatuses[i]
	if s.ResourceClaimName == "" {
		return nil
	}
	var errs field.ErrorList
	is := func(name *string) bool { return name != nil && *name == s.ResourceClaimName }
	extended := pod.Status.ExtendedResourceClaimStatus
	if !slices.ContainsFunc(pod.Spec.ResourceClaims, func(c corev1.PodResourceClaim) bool { return is(c.ResourceClaimName) }) &&
		!slices.ContainsFunc(pod.Status.ResourceClaimStatuses, func(c corev1.PodResourceClaimStatus) bool { return is(c.ResourceClaimName) }) &&
		(extended == nil || extended.ResourceClaimName != s.ResourceClaimName) {
		errs = append(errs, field.Invalid(path.Child("resourceClaimName"), s.ResourceClaimName, "no mapping found in pod reference"))
	}
	name := func(name corev1.ResourceName, p *field.Path) {
		if !isComputeName(name) && !isHugePages(name) {
			errs = append(errs, field.Invalid(p.Child("name"), name, "must be a node allocatable resource name"))
		}
	}
	amount := func(q *resource.Quantity, p *field.Path) {
		if q != nil && q.Sign() < 0 {
			errs = append(errs, field.Invalid(p, q.String(), "must be non-negative"))
		}
	}
	for i, m := range s.Mapping {
		p := path.Child("mapping").Index(i)
		name(m.Name, p)
		amount(m.Quantity, p.Child("quantity"))
	}
	for i, o := range s.Overhead {
		p := path.Child("overhead").Index(i)
		name(o.Name, p)
		if o.PerPod == nil && o.PerContainer == nil {
			errs = append(errs, field.Invalid(p, "", "at least one of perPod or perContainer must be set"))
		}
		amount(o.PerPod, p.Child("perPod"))
		amount(o.PerContainer, p.Child("perContainer"))
	}
	return errs
}
