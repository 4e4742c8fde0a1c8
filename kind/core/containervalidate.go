package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containerRole is what a container is in its pod; each has rules of its own.
type containerRole int

const (
	mainContainer containerRole = iota
	initContainer
	sidecarContainer // an init container with restartPolicy Always (KEP-753)
)

func roleOf(c *corev1.Container, init bool) containerRole {
	switch {
	case !init:
		return mainContainer
	case c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways:
		return sidecarContainer
	default:
		return initContainer
	}
}

func (pod *podRules) validateContainers(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(pod.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	names := make(map[string]bool, len(pod.Containers)+len(pod.InitContainers))
	check := func(c *corev1.Container, role containerRole, p *field.Path) {
		errs = append(errs, pod.validateContainer(c, p)...)
		if names[c.Name] {
			errs = append(errs, field.Duplicate(p.Child("name"), c.Name))
		}
		if c.Name != "" {
			names[c.Name] = true
		}
		errs = append(errs, validateContainerRestart(c, p)...)
		if role == initContainer {
			errs = append(errs, onlyInLongRunning(c, p)...)
		} else {
			errs = append(errs, pod.validateHooks(c, p)...)
		}
	}
	list := path.Child("containers")
	for i := range pod.Containers {
		check(&pod.Containers[i], mainContainer, list.Index(i))
	}
	errs = append(errs, hostPortConflicts(pod.Containers, 0, list)...)
	if len(pod.InitContainers) > 0 {
		list = path.Child("initContainers")
	}
	for i := range pod.InitContainers {
		c := &pod.InitContainers[i]
		check(c, roleOf(c, true), list.Index(i))
		errs = append(errs, hostPortConflicts(pod.InitContainers[i:i+1], i, list)...) // they run one after the other
	}
	if len(pod.EphemeralContainers) == 0 {
		return errs
	}
	return append(errs, pod.validateEphemeralContainers(names, path.Child("ephemeralContainers"))...)
}

// hostPortConflicts refuses a host port that two of the containers want. first is the index of the first one.
func hostPortConflicts(containers []corev1.Container, first int, list *field.Path) field.ErrorList {
	var errs field.ErrorList
	var taken map[string]bool
	for i := range containers {
		for j, port := range containers[i].Ports {
			if port.HostPort == 0 {
				continue
			}
			key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
			if taken[key] {
				errs = append(errs, field.Duplicate(list.Index(first+i).Child("ports").Index(j).Child("hostPort"), key))
			}
			if taken == nil {
				taken = make(map[string]bool)
			}
			taken[key] = true
		}
	}
	return errs
}

// validateContainer checks what holds for containers of every role.
func (pod *podRules) validateContainer(c *corev1.Container, p *field.Path) field.ErrorList {
	errs := nameIn(p, "name", c.Name)
	if c.Image == "" {
		errs = append(errs, field.Required(p.Child("image"), ""))
	}
	switch c.TerminationMessagePolicy {
	case corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError:
	default:
		errs = append(errs, OneOf(p.Child("terminationMessagePolicy"), c.TerminationMessagePolicy, corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	}
	if len(c.Ports) > 0 {
		errs = append(errs, validateContainerPorts(c.Ports, p.Child("ports"))...)
	}
	if len(c.Env) > 0 {
		errs = append(errs, validateEnv(c.Env, p.Child("env"))...)
	}
	if len(c.EnvFrom) > 0 {
		errs = append(errs, validateEnvFrom(c.EnvFrom, p.Child("envFrom"))...)
	}
	errs = append(errs, pod.validateMounts(c, p)...)
	errs = append(errs, pullPolicyIn(p, "imagePullPolicy", c.ImagePullPolicy)...)
	errs = append(errs, validateResources(&c.Resources, containerResourceName, pod.claims, p.Child("resources"))...)
	if len(c.ResizePolicy) > 0 {
		errs = append(errs, pod.validateResizePolicy(c.ResizePolicy, p.Child("resizePolicy"))...)
	}
	return append(errs, pod.validateContainerSecurity(c.SecurityContext, p)...)
}

func pullPolicyIn(parent *field.Path, child string, policy corev1.PullPolicy) field.ErrorList {
	switch policy {
	case corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
		return nil
	default:
		return OneOf(parent.Child(child), policy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	}
}

// validateHooks checks what looks after a container that runs as long as its pod.
func (pod *podRules) validateHooks(c *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	grace := pod.TerminationGracePeriodSeconds
	if c.Lifecycle != nil {
		errs = append(errs, pod.validateLifecycle(c.Lifecycle, p.Child("lifecycle"))...)
	}
	if c.LivenessProbe != nil {
		errs = append(errs, validateProbe(c.LivenessProbe, livenessProbe, grace, p.Child("livenessProbe"))...)
	}
	if c.ReadinessProbe != nil {
		errs = append(errs, validateProbe(c.ReadinessProbe, readinessProbe, grace, p.Child("readinessProbe"))...)
	}
	if c.StartupProbe != nil {
		errs = append(errs, validateProbe(c.StartupProbe, startupProbe, grace, p.Child("startupProbe"))...)
	}
	return errs
}

// onlyInLongRunning refuses what makes no sense in a container that runs to its end before the others start.
func onlyInLongRunning(c *corev1.Container, p *field.Path) field.ErrorList {
	errs := forbidden(p, "may not be set for init containers without restartPolicy=Always",
		setField{"lifecycle", c.Lifecycle != nil},
		setField{"livenessProbe", c.LivenessProbe != nil},
		setField{"readinessProbe", c.ReadinessProbe != nil},
		setField{"startupProbe", c.StartupProbe != nil},
	)
	for i, policy := range c.ResizePolicy {
		if policy.RestartPolicy == corev1.RestartContainer {
			errs = append(errs, field.Invalid(p.Child("resizePolicy").Index(i).Child("restartPolicy"), policy.RestartPolicy,
				"must not be set to 'RestartContainer' for non-sidecar initContainers"))
		}
	}
	return errs
}

// validateResizePolicy checks what a change of CPU or memory means to a container (KEP-1287).
func (pod *podRules) validateResizePolicy(policies []corev1.ContainerResizePolicy, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := make(map[corev1.ResourceName]bool, len(policies))
	for i, policy := range policies {
		if seen[policy.ResourceName] {
			errs = append(errs, field.Duplicate(p.Index(i), policy.ResourceName))
		}
		seen[policy.ResourceName] = true
		errs = append(errs, OneOf(p, policy.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory)...)
		errs = append(errs, OneOf(p, policy.RestartPolicy, corev1.NotRequired, corev1.RestartContainer)...)
		if pod.RestartPolicy == corev1.RestartPolicyNever && policy.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(p, policy.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// validateContainerRestart checks the restart policy of a single container (KEP-5307).
func validateContainerRestart(c *corev1.Container, p *field.Path) field.ErrorList {
	if c.RestartPolicy == nil && len(c.RestartPolicyRules) == 0 {
		return nil
	}
	const maxRules, maxValues = 20, 255
	var errs field.ErrorList
	if c.RestartPolicy == nil {
		errs = append(errs, field.Required(p.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
	} else {
		errs = append(errs, supported(p.Child("restartPolicy"), *c.RestartPolicy,
			corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	}
	rules := p.Child("restartPolicyRules")
	if n := len(c.RestartPolicyRules); n > maxRules {
		errs = append(errs, field.TooMany(rules, n, maxRules))
	}
	for i, rule := range c.RestartPolicyRules {
		p := rules.Index(i)
		errs = append(errs, supported(p.Child("action"), rule.Action, corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		codes := p.Child("exitCodes")
		if rule.ExitCodes == nil {
			errs = append(errs, field.Required(codes, "must be specified"))
			continue
		}
		errs = append(errs, supported(codes.Child("operator"), rule.ExitCodes.Operator,
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
		if n := len(rule.ExitCodes.Values); n > maxValues {
			errs = append(errs, field.TooMany(codes.Child("values"), n, maxValues))
		}
	}
	return errs
}

func validateContainerPorts(ports []corev1.ContainerPort, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	var names map[string]bool
	for i, port := range ports {
		p := fp.Index(i)
		if port.Name != "" {
			if msgs := validation.IsValidPortName(port.Name); len(msgs) > 0 {
				errs = append(errs, invalids(p.Child("name"), port.Name, msgs)...)
			} else if names[port.Name] {
				errs = append(errs, field.Duplicate(p.Child("name"), port.Name))
			} else {
				if names == nil {
					names = make(map[string]bool)
				}
				names[port.Name] = true
			}
		}
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(p.Child("containerPort"), ""))
		} else {
			errs = append(errs, portNumber(p.Child("containerPort"), port.ContainerPort)...)
		}
		if port.HostPort != 0 {
			errs = append(errs, portNumber(p.Child("hostPort"), port.HostPort)...)
		}
		errs = append(errs, protocol(p.Child("protocol"), port.Protocol)...)
	}
	return errs
}
