package apiserver

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	rbacv1 "k8s.io/api/rbac/v1"

	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/view"
)

// admission runs the admission chain over one attempt to write.
func (s *Server) admission(r request, verb string, obj, old kind.Object, snap *view.Snapshot) error {
	clock := admissionClock{metrics: s.metrics, verb: verb, began: time.Now()}
	req := r.admitted(verb, obj, old)
	req.Warn, req.Annotate = r.warn, r.annotate
	req.May = func(verb, resource, namespace, name string) bool {
		ok, _ := s.cfg.Authorizer(auth.Attributes{User: r.user, Verb: verb, Version: "v1", Resource: resource, Namespace: namespace, Name: name})
		return ok
	}
	err := s.cfg.Admission.Admit(req, snap, clock.ruled)
	clock.end()
	if err != nil || r.local || obj == nil || r.kind.GVK.Group != rbacv1.GroupName {
		return err
	}
	return s.confirmNoEscalation(r, obj, old, snap)
}

// admitted describes an attempt to write to the rules of admission.
func (r request) admitted(verb string, obj, old kind.Object) *admit.Request {
	return &admit.Request{
		User:        r.user.Name,
		Groups:      r.user.Groups,
		Kind:        r.kind,
		Verb:        verb,
		Namespace:   r.key.Namespace,
		Name:        r.key.Name,
		Subresource: r.subresource,
		Object:      obj,
		Old:         old,
	}
}

// admissionClock measures how long the rules take that one request goes through.
type admissionClock struct {
	metrics *metrics
	verb    string
	began   time.Time
	seen    time.Duration // up to the end of the last rule
	steps   [2]admissionStep
}

// admissionStep is all rules of one type.
type admissionStep struct {
	rules    int
	took     time.Duration
	rejected bool
}

// ruled takes what a rule has said.
func (c *admissionClock) ruled(rule *admit.Rule, err error) {
	now := time.Since(c.began)
	took := now - c.seen
	c.seen = now
	c.metrics.ruled(admittedBy{rule.Name, rule.Type, c.verb, err != nil}, took)
	step := &c.steps[rule.Type]
	step.rules++
	step.took += took
	step.rejected = step.rejected || err != nil
}

// end counts the steps that the request came to.
func (c *admissionClock) end() {
	for typ, step := range c.steps {
		if step.rules > 0 {
			c.metrics.ruled(admittedBy{"", admit.Type(typ), c.verb, step.rejected}, step.took)
		}
	}
}

// admittedBy is a rule, or all of a type (no name), and what became of a request.
type admittedBy struct {
	name     string
	typ      admit.Type
	verb     string
	rejected bool
}

// ruled counts the time that a rule of admission took, or all of a type.
func (m *metrics) ruled(by admittedBy, took time.Duration) {
	m.admitted.of(by, m.admissionSeries).Observe(took.Seconds())
}

func (m *metrics) admissionSeries(by admittedBy) prometheus.Observer {
	rejected := strconv.FormatBool(by.rejected)
	if by.name == "" {
		return m.admissionSteps.WithLabelValues(by.typ.String(), by.verb, rejected)
	}
	return m.admission.WithLabelValues(by.name, by.typ.String(), by.verb, rejected)
}
