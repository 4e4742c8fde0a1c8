// Package admit is admission: what the API server changes or refuses in a request before validation, beyond
// what a kind says of itself. It fills in what depends on other objects (the default storage class), and
// refuses what the state of the cluster forbids (creating in a namespace that is going away).
//
// A [Chain] is a list of pure rules over a request and a snapshot of the cluster. The API server calls
// [Chain.Admit] once per attempt to write, after defaulting and before validation. On error nothing is
// written; the error is a *errors.StatusError of k8s.io/apimachinery, ready to be sent to the user.
//
// Decisions are made on a snapshot that another writer may outrun (a namespace may start terminating a
// moment later), as in upstream; the controllers that clean up cope with that.
package admit

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/pod-security-admission/policy"

	"sampan/kind"
	"sampan/view"
)

// The verbs that are admitted, as upstream names the operations.
const (
	Create = "CREATE"
	Update = "UPDATE"
	Delete = "DELETE"
)

// Request is one write, as admission sees it.
type Request struct {
	User   string
	Groups []string

	Kind        *kind.Kind
	Verb        string // Create, Update or Delete
	Namespace   string // "" for kinds that are not namespaced
	Name        string // "" on a creation with generateName, before the name is made
	Subresource string // "" or "status", "scale", "binding", …

	// Object is the new object, a private copy that admission may change. Nil on deletion.
	Object kind.Object
	// Old is the stored object, read-only. Nil on creation.
	Old kind.Object

	// May reports whether the user is authorized to do something else with a resource of the core group. Nil: to nothing.
	May func(verb, resource, namespace, name string) bool

	// Warn takes what the user should know and may ignore, Annotate what the audit log should hold. Both may be nil.
	Warn     func(text string)
	Annotate func(key, value string)
}

func (r *Request) warning(text string) {
	if r.Warn != nil {
		r.Warn(text)
	}
}

func (r *Request) annotate(key, value string) {
	if r.Annotate != nil {
		r.Annotate(key, value)
	}
}

// Step is one admission rule. It may change req.Object, and refuses the request with a *errors.StatusError.
type Step func(req *Request, snap *view.Snapshot) error

// Type is what a rule is for.
type Type int

// The types of rules.
const (
	Mutating   Type = iota // fills in what depends on the cluster, and may refuse
	Validating             // only refuses
)

// String returns the type as upstream's metrics name it.
func (t Type) String() string {
	if t == Validating {
		return "validate"
	}
	return "admit"
}

// Rule is a step under the name of upstream's admission plugin.
type Rule struct {
	Name string
	Type Type
	Step Step
}

// Chain is admission rules in order.
type Chain []Rule

// Admit runs the rules in order and returns the first error. ruled, which may be nil, hears of each that was run.
func (c Chain) Admit(req *Request, snap *view.Snapshot, ruled func(rule *Rule, err error)) error {
	for i := range c {
		err := c[i].Step(req, snap)
		if ruled != nil {
			ruled(&c[i], err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Config is what differs between clusters. The zero value is upstream's defaults.
type Config struct {
	// NotReadySeconds and UnreachableSeconds are how long a pod stays on a node that is not ready or not
	// reachable, if the pod does not say. Nil means 300.
	NotReadySeconds    *int64
	UnreachableSeconds *int64
}

// Default returns the rules that every cluster has, in upstream's order: those that fill in first, then those that
// only refuse. What protects claims and volumes in use is not among them: those finalizers are the kinds' own. Nor
// are resource quotas: see [ChargeQuotas].
func Default(cfg Config) Chain {
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(fmt.Sprintf("the checks of Pod Security do not fit together: %v", err))
	}
	return Chain{
		{"NamespaceLifecycle", Mutating, NamespaceLifecycle},
		{"PodTopologyLabels", Mutating, PodTopologyLabels},
		{"LimitRanger", Mutating, LimitRangeDefaults},
		{"ServiceAccount", Mutating, ServiceAccount},
		{"ServiceAccount", Validating, MountableSecrets},
		{"NodeRestriction", Mutating, NodeRestriction},
		{"TaintNodesByCondition", Mutating, NodeTaint},
		{"Priority", Mutating, Priority},
		{"DefaultTolerationSeconds", Mutating, TolerationSeconds(orDefault(cfg.NotReadySeconds), orDefault(cfg.UnreachableSeconds))},
		{"DefaultStorageClass", Mutating, DefaultStorageClass},
		{"PersistentVolumeClaimResize", Validating, ClaimExpansion},
		{"RuntimeClass", Mutating, RuntimeClass},
		{"CertificateSubjectRestriction", Validating, CertificateSubject},
		{"DefaultIngressClass", Mutating, DefaultIngressClass},
		{"LimitRanger", Validating, LimitRange},
		{"PodSecurity", Validating, PodSecurity(checks)},
	}
}

func orDefault(seconds *int64) int64 {
	if seconds == nil {
		return 300
	}
	return *seconds
}

// forbidden refuses a request as upstream's admission does: the object's name, or its generateName before it
// has one, and the reason.
func forbidden(req *Request, format string, args ...any) *apierrors.StatusError {
	name := req.Name
	if name == "" && req.Object != nil {
		if name = req.Object.GetName(); name == "" {
			name = req.Object.GetGenerateName()
		}
	}
	return apierrors.NewForbidden(req.Kind.GroupResource(), name, fmt.Errorf(format, args...))
}
