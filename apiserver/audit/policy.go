package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/auth"
)

// Policy says which requests are written down, how much of them, and at which of their stages. The zero value writes
// down nothing.
type Policy struct {
	rules []auditv1.PolicyRule // what the policy says for all rules is in each of them
}

// Choice is what a policy says of a request.
type Choice struct {
	Level             auditv1.Level
	OmitStages        []auditv1.Stage
	OmitManagedFields bool
}

// Includes reports whether what belongs to a level is written down.
func (c Choice) Includes(level auditv1.Level) bool {
	return slices.Index(levels(), c.Level) >= slices.Index(levels(), level)
}

// levels returns the levels, each one more than the one before.
func levels() []auditv1.Level {
	return []auditv1.Level{auditv1.LevelNone, auditv1.LevelMetadata, auditv1.LevelRequest, auditv1.LevelRequestResponse}
}

// Everything is the policy of who names none: all requests, at all stages, without bodies.
func Everything() Policy {
	return Policy{rules: []auditv1.PolicyRule{{Level: auditv1.LevelMetadata}}}
}

// ParsePolicy reads a Policy of audit.k8s.io/v1 in YAML or JSON. What upstream refuses is refused, and fields that
// are unknown or stand twice are too.
func ParsePolicy(data []byte) (Policy, error) {
	var p auditv1.Policy
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Policy{}, err
	}
	strict, err := kjson.UnmarshalStrict(text, &p)
	if err := errors.Join(append(strict, err)...); err != nil {
		return Policy{}, err
	}
	if p.APIVersion != auditv1.SchemeGroupVersion.String() || p.Kind != "Policy" {
		return Policy{}, fmt.Errorf("it is a %s of %q, want a Policy of audit.k8s.io/v1", p.Kind, p.APIVersion)
	}
	if len(p.Rules) == 0 {
		return Policy{}, fmt.Errorf("it has no rules")
	}
	errs := validateStages(p.OmitStages, field.NewPath("omitStages"))
	for i := range p.Rules {
		r := &p.Rules[i]
		errs = append(errs, validateRule(r, field.NewPath("rules").Index(i))...)
		r.OmitStages = append(slices.Clip(p.OmitStages), r.OmitStages...)
		if r.OmitManagedFields == nil {
			r.OmitManagedFields = &p.OmitManagedFields
		}
	}
	return Policy{rules: p.Rules}, errs.ToAggregate()
}

func validateRule(r *auditv1.PolicyRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case r.Level == "":
		errs = append(errs, field.Required(path.Child("level"), ""))
	case !slices.Contains(levels(), r.Level):
		errs = append(errs, field.NotSupported(path.Child("level"), r.Level, levels()))
	}
	urls := path.Child("nonResourceURLs")
	for i, url := range r.NonResourceURLs {
		if url == "*" {
			continue
		}
		if !strings.HasPrefix(url, "/") {
			errs = append(errs, field.Invalid(urls.Index(i), url, "non-resource URL rules must begin with a '/' character"))
		}
		if at := strings.IndexByte(url, '*'); at >= 0 && at < len(url)-1 {
			errs = append(errs, field.Invalid(urls.Index(i), url, "non-resource URL wildcards '*' must be the final character of the rule"))
		}
	}
	if len(r.NonResourceURLs) > 0 && (len(r.Resources) > 0 || len(r.Namespaces) > 0) {
		errs = append(errs, field.Invalid(urls, r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
	}
	for i, gr := range r.Resources {
		path := path.Child("resources").Index(i)
		if gr.Group != "" && gr.Group != "*" {
			for _, msg := range validation.NameIsDNSSubdomain(gr.Group, false) {
				errs = append(errs, field.Invalid(path.Child("group"), gr.Group, msg))
			}
		}
		if len(gr.ResourceNames) > 0 && len(gr.Resources) == 0 {
			errs = append(errs, field.Invalid(path.Child("resourceNames"), gr.ResourceNames, "using resourceNames requires at least one resource"))
		}
	}
	return append(errs, validateStages(r.OmitStages, path.Child("omitStages"))...)
}

func validateStages(stages []auditv1.Stage, path *field.Path) field.ErrorList {
	known := []auditv1.Stage{auditv1.StageRequestReceived, auditv1.StageResponseStarted, auditv1.StageResponseComplete, auditv1.StagePanic}
	var errs field.ErrorList
	for i, stage := range stages {
		if !slices.Contains(known, stage) {
			errs = append(errs, field.NotSupported(path.Index(i), stage, known))
		}
	}
	return errs
}

// Choose returns what the first rule that matches says of a request.
func (p Policy) Choose(a auth.Attributes) Choice {
	for i := range p.rules {
		if r := &p.rules[i]; matches(r, a) {
			return Choice{Level: r.Level, OmitStages: r.OmitStages, OmitManagedFields: r.OmitManagedFields != nil && *r.OmitManagedFields}
		}
	}
	return Choice{Level: auditv1.LevelNone}
}

func matches(r *auditv1.PolicyRule, a auth.Attributes) bool {
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
	case len(r.Namespaces) > 0 || len(r.Resources) > 0:
		return a.Path == "" && (len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, a.Namespace)) && matchesResources(r.Resources, a)
	case len(r.NonResourceURLs) > 0:
		return a.Path != "" && slices.ContainsFunc(r.NonResourceURLs, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")
			return pattern == a.Path || open && strings.HasPrefix(a.Path, prefix)
		})
	}
	return true
}

func matchesResources(resources []auditv1.GroupResources, a auth.Attributes) bool {
	return len(resources) == 0 || slices.ContainsFunc(resources, func(gr auditv1.GroupResources) bool {
		return (gr.Group == a.Group || gr.Group == "*") && (len(gr.ResourceNames) == 0 || slices.Contains(gr.ResourceNames, a.Name)) &&
			(len(gr.Resources) == 0 || slices.ContainsFunc(gr.Resources, func(name string) bool { return matchesResource(name, a) }))
	})
}

// matchesResource knows the forms "pods", "pods/log", "pods/*" (the pods too, as upstream has it), "*/log" and "*".
func matchesResource(name string, a auth.Attributes) bool {
	if name == "*" {
		return true
	}
	resource, sub, both := strings.Cut(name, "/")
	switch {
	case !both:
		return resource == a.Resource && a.Subresource == ""
	case resource == "*":
		return sub == a.Subresource
	}
	return resource == a.Resource && (sub == "*" || sub == a.Subresource)
}
