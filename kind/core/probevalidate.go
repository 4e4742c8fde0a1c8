package core

import (
	"fmt"
	"slices"
	"strconv"

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
		if f.value < 0 {
			errs = append(errs, apivalidation.ValidateNonnegativeField(int64(f.value), path.Child(f.name))...)
		}
	}
	if s := probe.TerminationGracePeriodSeconds; s != nil {
		p := path.Child("terminationGracePeriodSeconds")
		if *s <= 0 {
			errs = append(errs, field.Invalid(p, *s, "must be greater than 0"))
		}
		if role == readinessProbe {
			errs = append(errs, field.Invalid(p, *s, "must not be set for readinessProbes"))
		}
	}
	// A probe that kills on failure cannot also ask for several successes: there is nobody left to count them.
	if role != readinessProbe && probe.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(path.Child("successThreshold"), probe.SuccessThreshold, "must be 1"))
	}
	return errs
}

func (pod *podRules) validateLifecycle(l *corev1.Lifecycle, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	check := func(h *corev1.LifecycleHandler, path *field.Path) {
		if h != nil {
			errs = append(errs, validateHandler(handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}, pod.TerminationGracePeriodSeconds, path)...)
		}
	}
	check(l.PostStart, path.Child("postStart"))
	check(l.PreStop, path.Child("preStop"))
	if l.StopSignal != nil {
		errs = append(errs, pod.validateStopSignal(*l.StopSignal, path.Child("stopSignal"))...)
	}
	return errs
}

// validateStopSignal checks the signal that stops a container (KEP-4960). Which there are depends on the system.
func (pod *podRules) validateStopSignal(signal corev1.Signal, path *field.Path) field.ErrorList {
	switch {
	case pod.OS == nil:
		return field.ErrorList{field.Forbidden(path, "may not be set for containers with empty `spec.os.name`")}
	case pod.OS.Name == corev1.Windows:
		return supported(path, signal, corev1.SIGKILL, corev1.SIGTERM)
	case pod.OS.Name == corev1.Linux:
		return supported(path, signal, linuxSignals()...)
	}
	return nil
}

// linuxSignals are the names of the signals, in alphabetical order.
func linuxSignals() []corev1.Signal {
	signals := []corev1.Signal{
		corev1.SIGABRT, corev1.SIGALRM, corev1.SIGBUS, corev1.SIGCHLD, corev1.SIGCLD, corev1.SIGCONT, corev1.SIGFPE, corev1.SIGHUP,
		corev1.SIGILL, corev1.SIGINT, corev1.SIGIO, corev1.SIGIOT, corev1.SIGKILL, corev1.SIGPIPE, corev1.SIGPOLL, corev1.SIGPROF,
		corev1.SIGPWR, corev1.SIGQUIT, corev1.SIGRTMAX, corev1.SIGRTMIN, corev1.SIGSEGV, corev1.SIGSTKFLT, corev1.SIGSTOP, corev1.SIGSYS,
		corev1.SIGTERM, corev1.SIGTRAP, corev1.SIGTSTP, corev1.SIGTTIN, corev1.SIGTTOU, corev1.SIGURG, corev1.SIGUSR1, corev1.SIGUSR2,
		corev1.SIGVTALRM, corev1.SIGWINCH, corev1.SIGXCPU, corev1.SIGXFSZ,
	}
	for i := 1; i <= 15; i++ { // the signals without a name of their own count up and down from two that have one
		signals = append(signals, corev1.SIGRTMIN+corev1.Signal("+"+strconv.Itoa(i)))
		if i < 15 {
			signals = append(signals, corev1.SIGRTMAX+corev1.Signal("-"+strconv.Itoa(i)))
		}
	}
	slices.Sort(signals)
	return signals
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
		one("grpc", func(p *field.Path) field.ErrorList {
			errs := portNumber(p.Child("port"), h.grpc.Port)
			if mode := h.grpc.Mode; mode != nil {
				errs = append(errs, supported(p.Child("mode"), *mode, corev1.GRPCProbeModePlaintext, corev1.GRPCProbeModeTLS)...)
			}
			return errs
		})
	}
	if h.sleep != nil {
		one("sleep", func(p *field.Path) field.ErrorList {
			if s := h.sleep.Seconds; grace != nil && (s < 0 || s > *grace) {
				return field.ErrorList{field.Invalid(p, s, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))}
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
	errs = append(errs, supported(path.Child("scheme"), get.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, header := range get.HTTPHeaders {
		errs = append(errs, invalids(path.Child("httpHeaders"), header.Name, validation.IsHTTPHeaderName(header.Name))...)
	}
	if get.Protocol == nil {
		return errs
	}
	switch protocol := *get.Protocol; {
	case protocol == corev1.HTTPProtocolHTTP2 && get.Scheme != corev1.URISchemeHTTP:
		errs = append(errs, field.Invalid(path.Child("protocol"), protocol, "is only supported with HTTP (H2C)"))
	case protocol == corev1.HTTPProtocolHTTP2 && get.Host != "":
		errs = append(errs, field.Invalid(path.Child("host"), get.Host, `must be empty when `+"`protocol`"+` is "HTTP2"`))
	default:
		errs = append(errs, supported(path.Child("protocol"), protocol, corev1.HTTPProtocolHTTP1, corev1.HTTPProtocolHTTP2)...)
	}
	return errs
}
