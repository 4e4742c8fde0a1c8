package apiserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"sampan/kind"
	"sampan/view"
)

// proxyName is what the path of a proxy subresource names: [SCHEME:]NAME[:PORT].
type proxyName struct{ scheme, name, port string }

func parseProxyName(k *kind.Kind, text string) (proxyName, error) {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(text)
	if !ok {
		return proxyName{}, apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", k.Singular, text))
	}
	if scheme == "" {
		scheme = "http"
	}
	return proxyName{scheme, name, port}, nil
}

// podHost returns where a pod is to be reached: at the port, or else at the first one that a container names, or at the
// scheme's.
func podHost(pod *corev1.Pod, port string) (string, error) {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return len(c.Ports) > 0 })
	if port == "" && i >= 0 {
		port = strconv.Itoa(int(pod.Spec.Containers[i].Ports[0].ContainerPort))
	}
	var ip string
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	return proxiedHost(ip, port)
}

// proxiedHost joins an address and a port, which may be "". Requests are not handed on to addresses that mean something else
// on each machine: whoever may write the status of a pod would reach by them what listens for this machine only.
func proxiedHost(ip, port string) (string, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || !addr.IsGlobalUnicast() {
		return "", apierrors.NewBadRequest("address not allowed")
	}
	switch {
	case port != "":
		return net.JoinHostPort(ip, port), nil
	case addr.Is6():
		return "[" + ip + "]", nil
	}
	return ip, nil
}

// serviceHosts returns where the ready pods behind a port of a Service are to be reached, the port named or numbered, or any
// if it is "". Addresses that are no pod's are left out, as in upstream: whoever may write an EndpointSlice would reach by
// them what only this machine can.
func serviceHosts(snap *view.Snapshot, service *corev1.Service, port string) ([]string, error) {
	if number, err := strconv.ParseInt(port, 10, 32); err == nil {
		i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return int64(p.Port) == number })
		if i < 0 {
			return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, service.Name))
		}
		port = service.Spec.Ports[i].Name // "" is that of the only one
	}
	var out []string
	for obj := range snap.All(kind.EndpointSlices, service.Namespace) {
		endpoints := obj.(*discoveryv1.EndpointSlice)
		if endpoints.Labels[discoveryv1.LabelServiceName] != service.Name {
			continue
		}
		for _, p := range endpoints.Ports {
			if p.Port == nil || port != "" && (p.Name == nil || *p.Name != port) {
				continue
			}
			for _, e := range endpoints.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready || !isPod(snap, service.Namespace, e) {
					continue
				}
				if host, err := proxiedHost(e.Addresses[0], strconv.Itoa(int(*p.Port))); err == nil {
					out = append(out, host)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", service.Name))
	}
	return out, nil
}

// isPod reports whether an endpoint is the pod that it says.
func isPod(snap *view.Snapshot, namespace string, e discoveryv1.Endpoint) bool {
	if len(e.Addresses) == 0 || e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.TargetRef.Namespace != namespace {
		return false
	}
	pod, ok := view.Get[*corev1.Pod](snap, kind.Pods, namespace, e.TargetRef.Name)
	return ok && slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == e.Addresses[0] })
}

// agentPort is where a node's agent listens, if its status does not say it.
const agentPort = 10250

// nodeHost returns where something on a node is to be reached that is not its agent; ok is false if the port is the agent's.
func nodeHost(node *corev1.Node, port string) (host string, ok bool, err error) {
	agent := node.Status.DaemonEndpoints.KubeletEndpoint.Port
	if agent == 0 {
		agent = agentPort
	}
	if port == "" || port == strconv.Itoa(int(agent)) {
		return "", false, nil
	}
	for _, typ := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range node.Status.Addresses {
			if a.Type == typ {
				host, err = proxiedHost(a.Address, port)
				return host, true, err
			}
		}
	}
	return "", true, apierrors.NewBadRequest("address not allowed")
}
