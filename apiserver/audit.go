package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
	"sampan/kind"
)

// audited is a request that is written down. All methods of a nil one do nothing.
type audited struct {
	server *Server
	choice audit.Choice
	stream bool // the request lasts, and has a stage between its beginning and its end

	mu    sync.Mutex    // guards event, which a stream's goroutines may reach
	event auditv1.Event // of the next stage
	ended bool
}

const (
	// auditIDHeader is where a client names its request, and is told what it is named.
	auditIDHeader = "Audit-ID"
	// userAgentMax is how much of a User-Agent is written down, as in upstream.
	userAgentMax = 1024
)

// beginAudit makes ready to write down a request, if the policy wants it. sender is who sent it, before any
// impersonation.
func (x *exchange) beginAudit(sender identity) {
	log := x.server.cfg.Audit
	if log == nil {
		return
	}
	attributes := x.attributes(x.route.verb)
	attributes.User = sender.user
	choice := log.Choose(attributes)
	if !choice.Includes(auditv1.LevelMetadata) {
		return
	}
	now, agent := metav1.NewMicroTime(x.server.cfg.Now()), x.r.UserAgent()
	if len(agent) > userAgentMax {
		agent = agent[:userAgentMax] + "...TRUNCATED"
	}
	a := &audited{server: x.server, choice: choice, stream: x.isStream() || x.r.URL.Path == followPath, event: auditv1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Event"},
		Level:    choice.Level, AuditID: types.UID(x.r.Header.Get(auditIDHeader)), RequestURI: x.r.URL.RequestURI(), Verb: attributes.Verb,
		User: userInfo(sender.user), UserAgent: agent, RequestReceivedTimestamp: now, StageTimestamp: now,
	}}
	if a.event.AuditID == "" {
		a.event.AuditID = x.server.cfg.NewUID()
	}
	x.w.Header().Set(auditIDHeader, string(a.event.AuditID))
	for _, ip := range utilnet.SourceIPs(x.r) {
		a.event.SourceIPs = append(a.event.SourceIPs, ip.String())
	}
	if attributes.Path == "" {
		a.event.ObjectRef = &auditv1.ObjectReference{
			Resource: attributes.Resource, Namespace: attributes.Namespace, Name: attributes.Name,
			APIGroup: attributes.Group, APIVersion: attributes.Version, Subresource: attributes.Subresource,
		}
	}
	x.audit, x.w.audit = a, a
	if sender.stale > 0 {
		a.annotate("authentication.k8s.io/stale-token",
			fmt.Sprintf("subject: %s, seconds after warning threshold: %d", sender.user.Name, int64(sender.stale.Seconds())))
	}
}

// auditReceived writes down that the request has come.
func (x *exchange) auditReceived() {
	if a := x.audit; a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.record(auditv1.StageRequestReceived)
	}
}

// auditRefused prepares for the answer to a request whose sender is unknown. As upstream has it, that answer is all
// that is written down.
func (x *exchange) auditRefused() {
	if a := x.audit; a != nil {
		a.stream, a.choice.OmitStages = true, append(slices.Clip(a.choice.OmitStages), auditv1.StageResponseComplete)
	}
}

// auditImpersonation writes down as whom the request acts, and by which verb of the newer ones it may.
func (x *exchange) auditImpersonation(sender auth.User, constraint string) {
	if x.audit == nil || x.user.Name == sender.Name && slices.Equal(x.user.Groups, sender.Groups) {
		return
	}
	as := userInfo(x.user)
	x.audit.event.ImpersonatedUser = &as
	if constraint != "" {
		x.audit.event.AuthenticationMetadata = &auditv1.AuthenticationMetadata{ImpersonationConstraint: constraint}
	}
}

// record writes down a stage. The caller holds the lock.
func (a *audited) record(stage auditv1.Stage) {
	if slices.Contains(a.choice.OmitStages, stage) {
		return
	}
	e := a.event // a copy: the log keeps it
	e.Stage, e.Annotations = stage, maps.Clone(e.Annotations)
	if stage != auditv1.StageRequestReceived {
		e.StageTimestamp = metav1.NewMicroTime(a.server.cfg.Now())
	}
	a.server.cfg.Audit.Record(&e)
}

// begun takes the code with which the answer begins.
func (a *audited) begun(code int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	status := metav1.Status{}
	if a.event.ResponseStatus != nil {
		status = *a.event.ResponseStatus
	}
	status.Code = int32(code)
	a.event.ResponseStatus = &status
	if a.stream {
		a.record(auditv1.StageResponseStarted)
	}
}

// end writes down that the request is over.
func (a *audited) end() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.ended = true
	if a.event.ResponseStatus == nil {
		a.event.ResponseStatus = &metav1.Status{Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early"}
		if a.stream {
			a.record(auditv1.StageResponseStarted)
		}
	}
	a.record(auditv1.StageResponseComplete)
}

// panicked writes down that the request ended in a panic.
func (a *audited) panicked(p any) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.event.ResponseStatus = &metav1.Status{
		Code: http.StatusInternalServerError, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
		Message: fmt.Sprintf("APIServer panic'd: %v", p),
	}
	a.record(auditv1.StagePanic)
}

// annotate puts what authorization and admission found into the events that follow.
func (a *audited) annotate(key, value string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.event.Annotations == nil {
		a.event.Annotations = map[string]string{}
	}
	a.event.Annotations[key] = value
}

// created puts the name of a created object into the events that follow.
func (a *audited) created(name string) { a.refer(&metav1.ObjectMeta{Name: name}) }

// refer puts what an object says of itself into the reference to it, as far as the path did not say it.
func (a *audited) refer(obj metav1.Object) {
	if a == nil || a.event.ObjectRef == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ref := *a.event.ObjectRef // the log has the other one
	for _, f := range []struct {
		have *string
		says string
	}{{&ref.Namespace, obj.GetNamespace()}, {&ref.Name, obj.GetName()}, {(*string)(&ref.UID), string(obj.GetUID())}, {&ref.ResourceVersion, obj.GetResourceVersion()}} {
		if *f.have == "" {
			*f.have = f.says
		}
	}
	a.event.ObjectRef = &ref
}

// request takes the object that was sent, as it was sent.
func (a *audited) request(gvk schema.GroupVersionKind, obj runtime.Object) {
	if a == nil {
		return
	}
	if meta, ok := obj.(metav1.Object); ok {
		a.refer(meta)
	}
	if a.choice.Includes(auditv1.LevelRequest) {
		a.takeObject(&a.event.RequestObject, gvk, obj)
	}
}

// patch takes the patch that was sent; applied ones may be in YAML. What is no JSON is not written down: it is
// refused.
func (a *audited) patch(data []byte) {
	if a == nil || !a.choice.Includes(auditv1.LevelRequest) {
		return
	}
	if !json.Valid(data) {
		var err error
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return
		}
	}
	a.take(&a.event.RequestObject, data)
}

// response takes an object that is answered.
func (a *audited) response(gvk schema.GroupVersionKind, obj runtime.Object) {
	if a == nil {
		return
	}
	if status, ok := obj.(*metav1.Status); ok {
		a.mu.Lock()
		a.event.ResponseStatus = &metav1.Status{Status: status.Status, Message: status.Message, Reason: status.Reason, Details: status.Details, Code: status.Code}
		a.mu.Unlock()
	}
	if a.choice.Includes(auditv1.LevelRequestResponse) {
		a.takeObject(&a.event.ResponseObject, gvk, obj)
	}
}

// shown takes what is answered in the form that the client sees, but always in JSON.
func (a *audited) shown(v *viewer, write func(v *viewer, out *audited) error) {
	if a == nil || !a.choice.Includes(auditv1.LevelRequestResponse) {
		return
	}
	json := *v
	json.accepts.media, json.bare = mediaJSON, a.choice.OmitManagedFields
	if err := write(&json, a); err != nil && !errors.Is(err, errTooLong) {
		a.server.cfg.Log.Error("encode an answer for the audit log", "auditID", a.event.AuditID, "error", err)
	}
}

func (a *audited) shownObject(v *viewer, obj kind.Object) {
	a.shown(v, func(v *viewer, a *audited) error {
		data, err := v.json(obj)
		if err == nil {
			a.take(&a.event.ResponseObject, data)
		}
		return err
	})
}

func (a *audited) shownList(v *viewer, l listed, meta metav1.ListMeta) {
	a.shown(v, func(v *viewer, a *audited) error {
		var whole bounded
		err := jsonList(v, l, meta, false, &whole)
		a.take(&a.event.ResponseObject, whole.Bytes()) // one that is too long is left out by the log, which says so
		return err
	})
}

func (a *audited) takeObject(to **runtime.Unknown, gvk schema.GroupVersionKind, obj runtime.Object) {
	if full, ok := obj.(kind.Object); ok {
		full = shallowCopy(full)
		if a.choice.OmitManagedFields {
			full.SetManagedFields(nil)
		}
		obj = full
	}
	setGVK(obj, gvk)
	data, err := json.Marshal(obj)
	if err != nil {
		a.server.cfg.Log.Error("encode an object for the audit log", "auditID", a.event.AuditID, "error", err)
		return
	}
	a.take(to, data)
}

func (a *audited) take(to **runtime.Unknown, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*to = &runtime.Unknown{Raw: bytes.TrimRight(data, "\n"), ContentType: runtime.ContentTypeJSON}
}

// bounded is a buffer that takes little more than fits an event.
type bounded struct{ bytes.Buffer }

var errTooLong = errors.New("longer than an event of the audit log may be")

func (b *bounded) Write(data []byte) (int, error) {
	n, _ := b.Buffer.Write(data)
	if b.Len() > audit.ObjectsMax {
		return n, errTooLong
	}
	return n, nil
}

// auditOf returns where the answer that is written to w is written down; nil for nowhere.
func auditOf(w http.ResponseWriter) *audited {
	if r, ok := w.(*recorder); ok {
		return r.audit
	}
	return nil
}
