package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/auth"
)

// How the roles and bindings that every cluster has are marked. Who sets the annotation to "false" on one of them
// keeps it as it is.
const (
	bootstrapLabel       = "kubernetes.io/bootstrapping"
	bootstrapValue       = "rbac-defaults"
	autoUpdateAnnotation = "rbac.authorization.kubernetes.io/autoupdate"

	aggregateTo = "rbac.authorization.k8s.io/aggregate-to-"
)

// The groups that the default roles name.
const (
	core         = ""
	apps         = "apps"
	batch        = "batch"
	autoscaling  = "autoscaling"
	policy       = "policy"
	networking   = "networking.k8s.io"
	discovery    = "discovery.k8s.io"
	coordination = "coordination.k8s.io"
	storage      = "storage.k8s.io"
	certificates = "certificates.k8s.io"
	eventsGroup  = "events.k8s.io"
	nodeGroup    = "node.k8s.io"
	authnGroup   = "authentication.k8s.io"
	authzGroup   = "authorization.k8s.io"
)

func read() []string { return []string{"get", "list", "watch"} }
func write() []string {
	return []string{"create", "delete", "deletecollection", "patch", "update"}
}
func readWrite() []string        { return append(write(), read()...) }
func verbs(v ...string) []string { return v }

func rule(verbs []string, group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{group}, Resources: resources}
}

func named(r rbacv1.PolicyRule, names ...string) rbacv1.PolicyRule {
	r.ResourceNames = names
	return r
}

func urls(paths ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: paths}
}

func eventsRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(verbs("create", "patch", "update"), core, "events"),
		rule(verbs("create", "patch", "update"), eventsGroup, "events"),
	}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{bootstrapLabel: bootstrapValue},
			Annotations: map[string]string{autoUpdateAnnotation: "true"},
		},
		Rules: rules,
	}
}

// aggregating returns a role whose rules are those of the roles that say that they are part of it. The role may be
// part of another one itself.
func aggregating(name, partOf string) *rbacv1.ClusterRole {
	r := clusterRole(name)
	if partOf != "" {
		r.Labels[aggregateTo+partOf] = "true"
	}
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{aggregateTo + name: "true"}},
	}}
	return r
}

func part(of string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	r := clusterRole("system:aggregate-to-"+of, rules...)
	r.Labels[aggregateTo+of] = "true"
	return r
}

// approver returns the role of who approves signing requests to one of Kubernetes' own signers.
func approver(signer string) *rbacv1.ClusterRole {
	return clusterRole("system:certificates.k8s.io:"+signer+"-approver",
		named(rule(verbs("approve"), certificates, "signers"), "kubernetes.io/"+signer))
}

// ClusterRoles returns the roles that every cluster has. The names and rights are Kubernetes' own; the roles of
// its controllers are not among them, because the controllers here are part of the server.
func ClusterRoles() []*rbacv1.ClusterRole {
	return []*rbacv1.ClusterRole{
		clusterRole("cluster-admin", everything()...),
		clusterRole("system:discovery", urls("/livez", "/readyz", "/healthz", "/version", "/version/",
			"/openapi", "/openapi/*", "/api", "/api/*", "/apis", "/apis/*")),
		clusterRole("system:monitoring", urls("/metrics", "/metrics/slis", "/livez", "/readyz", "/healthz", "/livez/*", "/readyz/*", "/healthz/*")),
		clusterRole("system:basic-user",
			rule(verbs("create"), authzGroup, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
			rule(verbs("create"), authnGroup, "selfsubjectreviews")),
		clusterRole("system:public-info-viewer", urls("/livez", "/readyz", "/healthz", "/version", "/version/")),
		clusterRole("system:service-account-issuer-discovery",
			urls("/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/")),

		aggregating("admin", ""), aggregating("edit", "admin"), aggregating("view", "edit"),
		part("admin",
			rule(verbs("create"), authzGroup, "localsubjectaccessreviews"),
			rule(readWrite(), rbacv1.GroupName, "roles", "rolebindings")),
		part("edit", editRules()...),
		part("view", viewRules()...),

		clusterRole("system:auth-delegator",
			rule(verbs("create"), authnGroup, "tokenreviews"),
			rule(verbs("create"), authzGroup, "subjectaccessreviews")),
		clusterRole("system:node", NodeRules()...),
		clusterRole("system:node-problem-detector", append(eventsRules(),
			rule(verbs("get"), core, "nodes"), rule(verbs("patch"), core, "nodes/status"))...),
		clusterRole("system:node-proxier", append(eventsRules(),
			rule(verbs("list", "watch"), core, "services", "endpoints"),
			rule(read(), core, "nodes"),
			rule(verbs("list", "watch"), discovery, "endpointslices"))...),
		clusterRole("system:kubelet-api-admin",
			rule(read(), core, "nodes"), rule(verbs("proxy"), core, "nodes"),
			rule(verbs("*"), core, "nodes/proxy", "nodes/metrics", "nodes/stats", "nodes/log", "nodes/configz", "nodes/healthz", "nodes/pods")),
		clusterRole("system:node-bootstrapper", rule(verbs("create", "get", "list", "watch"), certificates, "certificatesigningrequests")),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:nodeclient",
			rule(verbs("create"), certificates, "certificatesigningrequests/nodeclient")),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
			rule(verbs("create"), certificates, "certificatesigningrequests/selfnodeclient")),
		approver("kube-apiserver-client"), approver("kube-apiserver-client-kubelet"), approver("kubelet-serving"), approver("legacy-unknown"),
		clusterRole("system:kube-controller-manager", append(eventsRules(),
			rule(verbs("create"), coordination, "leases"),
			named(rule(verbs("get", "update"), coordination, "leases"), "kube-controller-manager"),
			rule(verbs("create"), core, "secrets", "serviceaccounts"),
			rule(verbs("delete"), core, "secrets"),
			rule(verbs("get"), core, "namespaces", "secrets", "serviceaccounts", "configmaps"),
			rule(verbs("update"), core, "secrets", "serviceaccounts"),
			rule(verbs("create"), authnGroup, "tokenreviews"),
			rule(verbs("create"), authzGroup, "subjectaccessreviews"),
			rule(verbs("list", "watch"), "*", "*"),
			rule(verbs("create"), core, "serviceaccounts/token"))...),
		clusterRole("system:kube-scheduler", append(eventsRules(),
			rule(verbs("create"), coordination, "leases"),
			named(rule(verbs("get", "update"), coordination, "leases"), "kube-scheduler"),
			rule(read(), core, "nodes"),
			rule(append(read(), "delete"), core, "pods"),
			rule(verbs("create"), core, "bindings", "pods/binding"),
			rule(verbs("patch", "update"), core, "pods/status"),
			rule(read(), core, "replicationcontrollers", "services"),
			rule(read(), apps, "replicasets", "statefulsets"),
			rule(read(), policy, "poddisruptionbudgets"),
			rule(read(), core, "persistentvolumeclaims", "persistentvolumes", "namespaces"),
			rule(verbs("create"), authnGroup, "tokenreviews"),
			rule(verbs("create"), authzGroup, "subjectaccessreviews"),
			rule(read(), storage, "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"))...),
		clusterRole("system:volume-scheduler",
			rule(append(read(), "patch", "update"), core, "persistentvolumes"),
			rule(read(), storage, "storageclasses"),
			rule(append(read(), "patch", "update"), core, "persistentvolumeclaims")),
		clusterRole("system:kube-dns", rule(verbs("list", "watch"), core, "endpoints", "services")),
		clusterRole("system:persistent-volume-provisioner",
			rule(append(read(), "create", "delete"), core, "persistentvolumes"),
			rule(append(read(), "update"), core, "persistentvolumeclaims"),
			rule(read(), storage, "storageclasses"),
			rule(verbs("watch"), core, "events"),
			rule(verbs("create", "patch", "update"), core, "events")),
	}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read(), core, "pods", "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services",
			"services/status", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "configmaps"),
		rule(read(), core, "limitranges", "resourcequotas", "bindings", "events", "pods/status", "resourcequotas/status",
			"namespaces/status", "replicationcontrollers/status", "pods/log"),
		rule(read(), core, "namespaces"),
		rule(read(), discovery, "endpointslices"),
		rule(read(), apps, "controllerrevisions", "statefulsets", "statefulsets/status", "statefulsets/scale",
			"daemonsets", "daemonsets/status", "deployments", "deployments/status", "deployments/scale",
			"replicasets", "replicasets/status", "replicasets/scale"),
		rule(read(), autoscaling, "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
		rule(read(), batch, "jobs", "jobs/status", "cronjobs", "cronjobs/status"),
		rule(read(), policy, "poddisruptionbudgets", "poddisruptionbudgets/status"),
		rule(read(), networking, "networkpolicies", "ingresses", "ingresses/status"),
	}
}

func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read(), core, "pods/attach", "pods/proxy", "pods/exec", "pods/portforward", "secrets", "services/proxy"),
		rule(verbs("impersonate"), core, "serviceaccounts"),
		rule(write(), core, "pods", "pods/attach", "pods/proxy", "pods/exec", "pods/portforward"),
		rule(verbs("patch", "update"), core, "pods/resize"),
		rule(verbs("create"), core, "pods/eviction"),
		rule(write(), core, "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services",
			"services/proxy", "persistentvolumeclaims", "configmaps", "secrets", "events"),
		rule(verbs("create"), core, "serviceaccounts/token"),
		rule(write(), apps, "statefulsets", "statefulsets/scale", "daemonsets", "deployments", "deployments/scale",
			"deployments/rollback", "replicasets", "replicasets/scale"),
		rule(write(), autoscaling, "horizontalpodautoscalers"),
		rule(write(), batch, "jobs", "cronjobs"),
		rule(write(), policy, "poddisruptionbudgets"),
		rule(write(), networking, "networkpolicies", "ingresses"),
		rule(readWrite(), coordination, "leases"),
	}
}

// NodeRules returns what the kinds of requests are that node agents send. Which objects a node may name in them is
// for the node authorizer to say; nobody is bound to these rules by RBAC.
func NodeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(verbs("create"), authnGroup, "tokenreviews"),
		rule(verbs("create"), authzGroup, "subjectaccessreviews", "localsubjectaccessreviews"),
		rule(read(), core, "services"),
		rule(append(read(), "create"), core, "nodes"),
		rule(verbs("patch", "update"), core, "nodes/status"),
		rule(verbs("patch", "update"), core, "nodes"),
		rule(verbs("create", "patch", "update"), core, "events"),
		rule(verbs("create", "patch", "update"), eventsGroup, "events"),
		rule(read(), core, "pods"),
		rule(verbs("create", "delete"), core, "pods"),
		rule(verbs("patch", "update"), core, "pods/status"),
		rule(verbs("create"), core, "pods/eviction"),
		rule(read(), core, "configmaps", "secrets"),
		rule(verbs("get"), core, "persistentvolumeclaims", "persistentvolumes"),
		rule(verbs("get", "patch", "update"), core, "persistentvolumeclaims/status"),
		rule(verbs("get"), core, "endpoints", "serviceaccounts"),
		rule(verbs("create"), core, "serviceaccounts/token"),
		rule(append(read(), "create"), certificates, "certificatesigningrequests"),
		rule(verbs("create", "delete", "get", "patch", "update"), coordination, "leases"),
		rule(verbs("get"), storage, "volumeattachments"),
		rule(read(), storage, "csidrivers"),
		rule(verbs("create", "delete", "get", "patch", "update"), storage, "csinodes"),
		rule(read(), nodeGroup, "runtimeclasses"),
	}
}

// binding returns the binding of a role, which has the role's name.
func binding(role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{
			Name:        role,
			Labels:      map[string]string{bootstrapLabel: bootstrapValue},
			Annotations: map[string]string{autoUpdateAnnotation: "true"},
		},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: subjects,
	}
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}
}

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

// ClusterRoleBindings returns the bindings that every cluster has.
func ClusterRoleBindings() []*rbacv1.ClusterRoleBinding {
	return []*rbacv1.ClusterRoleBinding{
		binding("cluster-admin", group(auth.GroupMasters)),
		binding("system:monitoring", group("system:monitoring")),
		binding("system:discovery", group(auth.GroupAuthenticated)),
		binding("system:basic-user", group(auth.GroupAuthenticated)),
		binding("system:public-info-viewer", group(auth.GroupAuthenticated), group(auth.GroupUnauthenticated)),
		binding("system:service-account-issuer-discovery", group(auth.GroupServiceAccounts)),
		binding("system:node"), // nobody: the node authorizer decides for nodes
		binding("system:node-proxier", user("system:kube-proxy")),
		binding("system:kube-controller-manager", user("system:kube-controller-manager")),
		binding("system:kube-scheduler", user("system:kube-scheduler")),
		binding("system:volume-scheduler", user("system:kube-scheduler")),
		binding("system:kube-dns", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: "kube-dns"}),
	}
}
