package apiserver

import (
	"net"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"sampan/apiserver/auth"
)

// audited is a request that is written down. Nil writes down nothing.
type audited struct {
	event auditv1.Event
	omit  []auditv1.Stage
}

// auditIDHeader is where a client names its request, and is told what it is named.
const auditIDHeader = "Audit-ID"

// beginAudit writes down that a request has come, if the policy wants it. sender is who sent it, before any
// impersonation.
func (x *exchange) beginAudit(sender auth.User) {
	log := x.server.cfg.Audit
	if log == nil {
		return
	}
	attributes := x.attributes(x.route.verb)
	level, omit := log.Policy().Level(attributes)
	if level == auditv1.LevelNone {
		return
	}
	now := metav1.NewMicroTime(x.server.cfg.Now())
	a := &audited{omit: omit, event: auditv1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Event"},
		Level:    level, AuditID: types.UID(x.r.Header.Get(auditIDHeader)), RequestURI: x.r.URL.RequestURI(), Verb: attributes.Verb,
		User: userInfo(sender), UserAgent: x.r.UserAgent(), RequestReceivedTimestamp: now, StageTimestamp: now,
	}}
	if a.event.AuditID == "" {
		a.event.AuditID = x.server.cfg.NewUID()
	}
	x.w.Header().Set(auditIDHeader, string(a.event.AuditID))
	if x.user.Name != sender.Name || !slices.Equal(x.user.Groups, sender.Groups) {
		as := userInfo(x.user)
		a.event.ImpersonatedUser = &as
	}
	if host, _, err := net.SplitHostPort(x.r.RemoteAddr); err == nil {
		a.event.SourceIPs = []string{host}
	}
	if attributes.Path == "" {
		a.event.ObjectRef = &auditv1.ObjectReference{
			Resource: attributes.Resource, Namespace: attributes.Namespace, Name: attributes.Name,
			APIGroup: attributes.Group, APIVersion: attributes.Version, Subresource: attributes.Subresource,
		}
	}
	x.audit = a
	x.recordStage(auditv1.StageRequestReceived, 0)
}

// annotate puts what admission found into the event that ends the request.
func (x *exchange) annotate(key, value string) {
	if x.audit == nil {
		return
	}
	if x.audit.event.Annotations == nil {
		x.audit.event.Annotations = map[string]string{}
	}
	x.audit.event.Annotations[key] = value
}

// auditName puts the name of a created object into the event that ends the request.
func (x *exchange) auditName(name string) {
	if x.audit == nil || x.audit.event.ObjectRef == nil || x.audit.event.ObjectRef.Name != "" {
		return
	}
	ref := *x.audit.event.ObjectRef // the log has the other one
	ref.Name = name
	x.audit.event.ObjectRef = &ref
}

// endAudit writes down how a request ended.
func (x *exchange) endAudit(code int) {
	if x.audit != nil {
		x.recordStage(auditv1.StageResponseComplete, code)
	}
}

func (x *exchange) recordStage(stage auditv1.Stage, code int) {
	a := x.audit
	if slices.Contains(a.omit, stage) {
		return
	}
	e := a.event // a copy: the log keeps it
	e.Stage = stage
	if stage != auditv1.StageRequestReceived {
		e.StageTimestamp = metav1.NewMicroTime(x.server.cfg.Now())
		e.ResponseStatus = &metav1.Status{Code: int32(code)}
		if code >= http.StatusBadRequest {
			e.ResponseStatus.Status = metav1.StatusFailure
		}
	}
	x.server.cfg.Audit.Record(&e)
}
