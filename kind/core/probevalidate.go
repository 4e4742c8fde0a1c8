package core

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type probeRole int

const (
	livenessProbe probeRole = iota
	readinessProbe
	startupProbe
)

func validateProbe(probe *corev1.Probe, role probeRole, grace *int64, path *field.Path) field.ErrorList {
	if probe == nil {
		return nil
	}
	errs := validateHandler(handler{exec: probe.Exec, http: probe.HTTPGet, tcp: probe.TCPSocket, grpc: probe.GRPC}, grace, path)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", probe.InitialDelaySeconds},
		{"timeoutSeconds", probe.TimeoutSeconds},
		{"periodSeconds", probe.PeriodSeconds},
		{"successThreshold", probe.SuccessThreshold},
		{"failureThreshold", probe.FailureThreshold},
	} {
		errs = append(errs, apivalidation.ValidateNonnegativeField(int64(f.value), path.Child(f.name))...)
	}
	if s := probe.TerminationGracePeriodSeconds; s != nil {
		switch {
		case role == readinessProbe:
			errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *s, "must not be set for readinessProbes"))
		case *s <= 0:
			errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *s, "must be greater than 0"))
		}
	}
	// A probe that kills on failure cannot also ask for several successes: there is nobody left to count them.
	if role != readinessProbe && probe.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(path.Child("successThreshold"), probe.SuccessThreshold, "must be 1"))
	}
	return errs
}

func validateLifecycle(l *corev1.Lifecycle, grace *int64, path *field.Path) field.ErrorList {
	if l == nil {
		return nil
	}
	var errs field.ErrorList
	check := func(h *corev1.LifecycleHandler, path *field.Path) {
		if h != nil {
			errs = append(errs, validateHandler(handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}, grace, path)...)
		}
	}
	check(l.PostStart, path.Child("postStart"))
	check(l.PreStop, path.Child("preStop"))
	return errs
}

// handler is what probes and lifecycle hooks can do, at most one of it.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

func validateHandler(h handler, grace *int64, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	one := func(name string, check func(path *field.Path) field.ErrorList) {
		n++
		if n > 1 {
			errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 handler type"))
			return
		}
		errs = append(errs, check(path.Child(name))...)
	}
	if h.exec != nil {
		one("exec", func(p *field.Path) field.ErrorList {
			if len(h.exec.Command) == 0 {
				return field.ErrorList{field.Required(p.Child("command"), "")}
			}
			return nil
		})
	}
	if h.http != nil {
		one("httpGet", func(p *field.Path) field.ErrorList { return validateHTTPGet(h.http, p) })
	}
	if h.tcp != nil {
		one("tcpSocket", func(p *field.Path) field.ErrorList { return portNumberOrName(p.Child("port"), h.tcp.Port) })
	}
	if h.grpc != nil {
		one("grpc", func(p *field.Path) field.ErrorList { return portNumber(p.Child("port"), h.grpc.Port) })
	}
	if h.sleep != nil {
		one("sleep", func(p *field.Path) field.ErrorList {
			if s := h.sleep.Seconds; s < 0 || (grace != nil && s > *grace) {
				return field.ErrorList{field.Invalid(p, s, "must be non-negative and less than terminationGracePeriodSeconds")}
			}
			return nil
		})
	}
	if n == 0 {
		errs = append(errs, field.Required(path, "must specify a handler type"))
	}
	return errs
}

func validateHTTPGet(get *corev1.HTTPGetAction, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if get.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, portNumberOrName(path.Child("port"), get.Port)...)
	errs = append(errs, OneOf(path.Child("scheme"), get.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, header := range get.HTTPHeaders {
		errs = append(errs, invalids(path.Child("httpHeaders"), header.Name, validation.IsHTTPHeaderName(header.Name))...)
	}
	return errs
}
