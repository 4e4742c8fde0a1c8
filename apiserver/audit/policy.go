package audit

import (
	"fmt"
	"slices"
	"strings"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/auth"
)

// Policy says which requests are written down, and at which of their stages. The zero value writes down nothing.
type Policy struct {
	rules []auditv1.PolicyRule
	omit  []auditv1.Stage
}

// Everything is the policy of who names none: all requests, at all stages, without bodies.
func Everything() Policy {
	return Policy{rules: []auditv1.PolicyRule{{Level: auditv1.LevelMetadata}}}
}

// ParsePolicy reads a Policy of audit.k8s.io/v1 in YAML or JSON. The levels None and Metadata are known; Request and
// RequestResponse are refused, because bodies are not written down.
func ParsePolicy(data []byte) (Policy, error) {
	var p auditv1.Policy
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return Policy{}, err
	}
	if p.APIVersion != auditv1.SchemeGroupVersion.String() || p.Kind != "Policy" {
		return Policy{}, fmt.Errorf("it is a %s of %q, want a Policy of audit.k8s.io/v1", p.Kind, p.APIVersion)
	}
	if len(p.Rules) == 0 {
		return Policy{}, fmt.Errorf("it has no rules")
	}
	for i, r := range p.Rules {
		switch r.Level {
		case auditv1.LevelNone, auditv1.LevelMetadata:
		case auditv1.LevelRequest, auditv1.LevelRequestResponse:
			return Policy{}, fmt.Errorf("rules[%d].level: %s is not supported, bodies are not written down: use Metadata", i, r.Level)
		default:
			return Policy{}, fmt.Errorf("rules[%d].level: %q: want None or Metadata", i, r.Level)
		}
		if len(r.Resources) > 0 && len(r.NonResourceURLs) > 0 {
			return Policy{}, fmt.Errorf("rules[%d]: rules cannot apply to both regular resources and non-resource URLs", i)
		}
	}
	return Policy{rules: p.Rules, omit: p.OmitStages}, nil
}

// Level returns how much of a request is written down, and the stages that are left out.
func (p Policy) Level(a auth.Attributes) (auditv1.Level, []auditv1.Stage) {
	for _, r := range p.rules {
		if matches(r, a) {
			return r.Level, append(slices.Clip(p.omit), r.OmitStages...)
		}
	}
	return auditv1.LevelNone, nil
}

func matches(r auditv1.PolicyRule, a auth.Attributes) bool {
	if len(r.Users) > 0 && !slices.Contains(r.Users, a.User.Name) {
		return false
	}
	if len(r.UserGroups) > 0 && !slices.ContainsFunc(r.UserGroups, a.User.In) {
		return false
	}
	if len(r.Verbs) > 0 && !slices.Contains(r.Verbs, a.Verb) {
		return false
	}
	switch {
	case a.Path != "":
		if len(r.Namespaces) > 0 || len(r.Resources) > 0 {
			return false
		}
		return len(r.NonResourceURLs) == 0 || slices.ContainsFunc(r.NonResourceURLs, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")
			return pattern == a.Path || open && strings.HasPrefix(a.Path, prefix)
		})
	case len(r.NonResourceURLs) > 0:
		return false
	case len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, a.Namespace):
		return false
	case len(r.Resources) == 0:
		return true
	}
	return slices.ContainsFunc(r.Resources, func(gr auditv1.GroupResources) bool {
		return gr.Group == a.Group && (len(gr.ResourceNames) == 0 || slices.Contains(gr.ResourceNames, a.Name)) &&
			(len(gr.Resources) == 0 || slices.ContainsFunc(gr.Resources, func(name string) bool { return matchesResource(name, a) }))
	})
}

// matchesResource knows the forms "pods", "pods/log", "pods/*", "*/log" and "*".
func matchesResource(name string, a auth.Attributes) bool {
	if name == "*" {
		return true
	}
	resource, sub, both := strings.Cut(name, "/")
	if !both {
		return resource == a.Resource && a.Subresource == ""
	}
	return (resource == "*" || resource == a.Resource) && (sub == "*" || sub == a.Subresource)
}
