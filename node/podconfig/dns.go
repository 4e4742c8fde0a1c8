package podconfig

import (
	"bufio"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ParseResolvConf reads the nameserver, search and options lines of a resolv.conf.
func ParseResolvConf(text string) *runtimeapi.DNSConfig {
	dns := &runtimeapi.DNSConfig{}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if len(fields) > 1 {
				dns.Servers = append(dns.Servers, fields[1])
			}
		case "search":
			dns.Searches = nil // the last one counts
			for _, s := range fields[1:] {
				if s != "." {
					dns.Searches = append(dns.Searches, strings.TrimSuffix(s, "."))
				}
			}
		case "options":
			dns.Options = fields[1:]
		}
	}
	return dns
}

// DNS returns the resolver configuration of a pod, by its dnsPolicy and dnsConfig. host is the node's own;
// cluster are the addresses of the cluster's name servers.
func DNS(pod *corev1.Pod, host *runtimeapi.DNSConfig, cluster []string, domain string) *runtimeapi.DNSConfig {
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork || policy != corev1.DNSNone && len(cluster) == 0 {
		policy = corev1.DNSDefault
	}
	dns := &runtimeapi.DNSConfig{}
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		dns.Servers = slices.Clone(host.Servers)
		dns.Searches = slices.Clone(host.Searches)
		dns.Options = slices.Clone(host.Options)
	default:
		dns.Servers = slices.Clone(cluster)
		dns.Searches = append([]string{pod.Namespace + ".svc." + domain, "svc." + domain, domain}, host.Searches...)
		dns.Options = []string{"ndots:5"}
	}
	if own := pod.Spec.DNSConfig; own != nil {
		dns.Servers = append(dns.Servers, own.Nameservers...)
		dns.Searches = append(dns.Searches, own.Searches...)
		for _, o := range own.Options {
			dns.Options = slices.DeleteFunc(dns.Options, func(s string) bool {
				name, _, _ := strings.Cut(s, ":")
				return name == o.Name
			})
			if o.Value != nil && *o.Value != "" {
				dns.Options = append(dns.Options, o.Name+":"+*o.Value)
			} else {
				dns.Options = append(dns.Options, o.Name)
			}
		}
	}
	dns.Servers, dns.Searches = unique(dns.Servers), unique(dns.Searches)
	return dns
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Hostname returns the host name of a pod and its DNS domain, "" if it has none.
func Hostname(pod *corev1.Pod, clusterDomain string) (name, domain string) {
	if o := pod.Spec.HostnameOverride; o != nil && *o != "" {
		return *o, ""
	}
	name = pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > hostnameMax {
		name = strings.TrimRight(name[:hostnameMax], "-.")
	}
	if pod.Spec.Subdomain != "" {
		domain = pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + clusterDomain
	}
	return name, domain
}

const hostnameMax = 63

// HostsFile returns the /etc/hosts of a pod's containers. node is the content of the node's own file, which
// pods on the host network see.
func HostsFile(pod *corev1.Pod, node, hostname, domain string, ips []string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.WriteString(node)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n" +
			"127.0.0.1\tlocalhost\n" +
			"::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\n" +
			"fe00::0\tip6-mcastprefix\n" +
			"fe00::1\tip6-allnodes\n" +
			"fe00::2\tip6-allrouters\n")
		for _, ip := range ips {
			b.WriteString(ip + "\t")
			if domain != "" {
				b.WriteString(hostname + "." + domain + "\t")
			}
			b.WriteString(hostname + "\n")
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			b.WriteString(a.IP + "\t" + strings.Join(a.Hostnames, "\t") + "\n")
		}
	}
	return b.String()
}
