package core

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"

	"sampan/kind"
)

// Service returns the kind Service. Its addresses and node ports are handed out by the API server, after
// validation and in the transaction that writes the object; a Service with them is valid too. Its address families depend
// on what the cluster has: see [InitServiceFamilies].
func Service() *kind.Kind {
	return kind.Typed[*corev1.Service]{
		ID: kind.Services, Version: corev1.SchemeGroupVersion, Name: "Service", Singular: "service",
		ShortNames: []string{"svc"}, Categories: []string{"all"},
		CreateOnUpdate: true,
		New:            func() *corev1.Service { return new(corev1.Service) },
		NewList:        func() runtime.Object { return new(corev1.ServiceList) },

		ReturnDeleted: true,

		Default: defaultService,
		PrepareCreate: func(s *corev1.Service) {
			s.Status = corev1.ServiceStatus{}
			normalizeClusterIPs(s, nil)
		},
		PrepareUpdate: prepareService,

		// A name may begin with a digit since v1.37 (KEP-5311).
		ValidateName:   apivalidation.NameIsDNSLabel,
		Validate:       validateService,
		ValidateUpdate: validateServiceUpdate,
		Warnings:       serviceWarnings,

		PrepareStatus:  func(s, old *corev1.Service) { s.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateServiceStatus,
		StatusWarnings: serviceStatusWarnings,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Type", "string", "How the service is reached."),
			kind.Column("Cluster-IP", "string", "Address of the service inside the cluster."),
			kind.Column("External-IP", "string", "Addresses of the service outside the cluster."),
			kind.Column("Port(s)", "string", "Ports of the service, with the node ports behind a colon."),
			kind.AgeColumn(),
			kind.WideColumn("Selector", "string", "Labels that a pod must have to serve."),
		},
		Row: serviceRow,
		Fields: func(s *corev1.Service) fields.Set {
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		},
	}.Kind()
}

func defaultService(s *corev1.Service) {
	spec := &s.Spec
	if spec.SessionAffinity == "" {
		spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	if spec.SessionAffinity == corev1.ServiceAffinityNone {
		spec.SessionAffinityConfig = nil
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP &&
		(spec.SessionAffinityConfig == nil || spec.SessionAffinityConfig.ClientIP == nil || spec.SessionAffinityConfig.ClientIP.TimeoutSeconds == nil) {
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{
			TimeoutSeconds: new(corev1.DefaultClientIPServiceAffinitySeconds)}}
	}
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	external := spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer
	if spec.ExternalTrafficPolicy == "" && (external || (spec.Type == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) > 0)) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	if spec.InternalTrafficPolicy == nil && hasClusterIP(spec.Type) {
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.AllocateLoadBalancerNodePorts == nil && spec.Type == corev1.ServiceTypeLoadBalancer {
		spec.AllocateLoadBalancerNodePorts = new(true)
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		for i := range s.Status.LoadBalancer.Ingress {
			if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" && in.IPMode == nil {
				in.IPMode = new(corev1.LoadBalancerIPModeVIP)
			}
		}
	}
}

func hasClusterIP(t corev1.ServiceType) bool {
	return t == corev1.ServiceTypeClusterIP || t == corev1.ServiceTypeNodePort || t == corev1.ServiceTypeLoadBalancer
}

func serviceRow(s *corev1.Service, now time.Time) []any {
	cluster := ""
	if len(s.Spec.ClusterIPs) > 0 {
		cluster = s.Spec.ClusterIPs[0]
	}
	return []any{
		s.Name, string(s.Spec.Type), orNone(cluster), externalIPs(s), servicePorts(s.Spec.Ports), kind.Age(s, now),
		labels.FormatLabels(s.Spec.Selector),
	}
}

// externalIPs prints where the service is reached from outside: what its balancer says, then what its writer said.
func externalIPs(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		balanced := sets.New[string]()
		for _, in := range s.Status.LoadBalancer.Ingress {
			if at := cmp.Or(in.IP, in.Hostname); at != "" {
				balanced.Insert(at)
			}
		}
		if all := append(sets.List(balanced), s.Spec.ExternalIPs...); len(all) > 0 {
			return strings.Join(all, ",")
		}
		return "<pending>"
	}
	return orNone(strings.Join(s.Spec.ExternalIPs, ","))
}

func servicePorts(ports []corev1.ServicePort) string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		if p.NodePort > 0 {
			texts[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		} else {
			texts[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		}
	}
	return orNone(strings.Join(texts, ","))
}
