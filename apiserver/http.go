package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/auth"
)

// requestTimeout bounds every request that is no stream, as upstream does.
const requestTimeout = 60 * time.Second

// exchange is one HTTP request and its response.
type exchange struct {
	server *Server
	began  time.Time
	w      *recorder
	r      *http.Request
	query  url.Values
	limit  time.Duration // how long the request may take, if it is no stream
	user   auth.User
	route  route
	req    request // of the core; valid when the route leads to a kind
	audit  *audited
}

// Handler returns the HTTP API. It ends its streams when the context of the request, and so the server's base
// context, ends.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		x := &exchange{server: s, w: rec, r: r, began: time.Now()}
		defer rec.leaveBody(r)
		defer func() { s.metrics.done(x.measured(), rec.code(), rec.size.Load(), time.Since(x.began)) }()
		defer func() { x.audit.end() }()
		defer x.recovered()
		x.serve()
	})
}

// recovered turns a panic into an answer, so that one bad request does not end the server.
func (x *exchange) recovered() {
	s, w, r := x.server, x.w, x.r
	p := recover()
	if p != nil {
		w.audit.panicked(p)
	}
	switch p {
	case nil:
	case http.ErrAbortHandler:
		s.metrics.abort(x.measured())
		panic(p)
	default:
		s.cfg.Log.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		writeStatus(w, r, apierrors.NewInternalError(errors.New("this request caused the API server to panic; look in its log for details")))
	}
}

// serve carries the request out. What it may not or cannot is answered with a Status.
func (x *exchange) serve() {
	var queryErr error
	x.query, queryErr = url.ParseQuery(x.r.URL.RawQuery)
	var isResource bool
	if x.route, isResource = parseRoute(x.r, x.query); !isResource {
		x.route = route{}
	}
	err := x.identify(isResource)
	switch {
	case err != nil:
	case queryErr != nil:
		err = apierrors.NewBadRequest(fmt.Sprintf("query: %v", queryErr))
	case isResource:
		err = x.serveResource()
	default:
		err = x.servePath()
	}
	if err != nil {
		writeStatus(x.w, x.r, err)
	}
}

// identify finds out who sends the request, and as whom.
func (x *exchange) identify(isResource bool) error {
	s, r := x.server, x.r
	var sender identity
	var err error
	if x.wantsNewest(isResource) {
		err = s.catchUp(r.Context())
	}
	if err == nil {
		began := time.Now()
		sender, err = s.authenticate(r)
		s.metrics.authenticated(sender.user, err, time.Since(began))
	}
	if r.ProtoMajor == 2 && (err != nil || sender.user.In(auth.GroupUnauthenticated)) {
		// Whoever is nobody gets one request of a connection, as in upstream: HTTP/2 can be abused too cheaply.
		x.w.Header().Set("Connection", "close")
	}
	x.beginAudit(sender)
	if err != nil {
		x.auditRefused()
		return err
	}
	x.auditReceived()
	var constraint string
	if x.user, constraint, err = s.impersonate(sender.user, r.Header, x.attributes(x.route.verb)); err != nil {
		return err
	}
	x.auditImpersonation(sender.user, constraint)
	// Neither must reach what the request is handed on to.
	r.Header.Del("Authorization")
	dropImpersonation(r.Header)
	return nil
}

// servePath serves what is no resource.
func (x *exchange) servePath() error {
	s, w, r := x.server, x.w, x.r
	if _, err := timeLimit(x.query); err != nil {
		return err
	}
	if r.URL.Path == followPath {
		return x.follow()
	}
	if err := x.authorizePath(); err != nil {
		return err
	}
	if !s.serveHealth(w, r) && !s.serveMetrics(w, r) && !s.docs.serve(w, r) {
		return errNoPath(r)
	}
	return nil
}

// serveResource serves a resource, if there is room for the request and its user may.
func (x *exchange) serveResource() error {
	s := x.server
	if x.isStream() {
		defer s.metrics.begin(x.measured())()
	} else {
		var err error
		if x.limit, err = timeLimit(x.query); err != nil {
			return err
		}
		leave, err := s.inFlight.enter(x.route.verb, x.user, x.began)
		if err != nil {
			s.metrics.refuse(x.measured(), http.StatusTooManyRequests)
			return err
		}
		defer leave()
	}
	if err := x.authorize(); err != nil {
		return err
	}
	if s.kindOf(x.route) == nil && s.docs.serve(x.w, x.r) {
		return nil
	}
	return x.dispatch()
}

// timeLimit returns how long a request with a query may take: as long as it asks for, but no longer than any request.
func timeLimit(query url.Values) (time.Duration, error) {
	text := query.Get("timeout")
	if text == "" {
		return requestTimeout, nil
	}
	asked, err := time.ParseDuration(text)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - %v", err))
	}
	if asked <= 0 {
		return requestTimeout, nil
	}
	return min(asked, requestTimeout), nil
}

// isStream reports whether the request lasts for as long as its client wants.
func (x *exchange) isStream() bool {
	k := x.server.kindOf(x.route)
	return k != nil && (x.route.subresource == "" && x.route.verb == "watch" || connects(k.ID, x.route.subresource))
}

// dispatch carries out a request for a resource. An error is still to be written.
func (x *exchange) dispatch() error {
	s, rt := x.server, x.route
	k, version := s.servedAs(rt)
	if k == nil {
		if rt.gv.Group == "" && rt.resource == "bindings" && rt.verb == "create" {
			return x.legacyBinding()
		}
		if ok, err := x.review(); ok {
			return err
		}
		return errNoPath(x.r)
	}
	if k.Namespaced && rt.namespace == "" && rt.name != "" {
		return errNoPath(x.r)
	}
	x.req = request{user: x.user, kind: k, version: version, subresource: rt.subresource, warn: x.warning, manager: managerOf(x.r.UserAgent())}
	if x.audit != nil {
		x.req.annotate = x.audit.annotate
	}
	x.req.key.Kind, x.req.key.Namespace, x.req.key.Name = k.ID, rt.namespace, rt.name
	x.warnOfDeprecation()
	if rt.subresource == "" && rt.verb == "watch" {
		return x.watch()
	}
	if connects(k.ID, rt.subresource) {
		return x.connect()
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.limit)
	defer cancel()
	x.r = x.r.WithContext(ctx)
	switch rt.subresource {
	case "":
		return x.object()
	case "scale":
		if k.Scale != nil {
			return x.scale()
		}
	default:
		if k.Part(rt.subresource) != nil {
			return x.part()
		}
		return x.special()
	}
	return errNoPath(x.r)
}

func (x *exchange) object() error {
	switch x.route.verb {
	case "get":
		return x.get()
	case "list":
		return x.list()
	case "create":
		if x.route.name == "" && (x.route.namespace != "" || !x.req.kind.Namespaced) {
			return x.create()
		}
	case "update":
		if x.route.name != "" {
			return x.update()
		}
	case "patch":
		if x.route.name != "" {
			return x.patch()
		}
	case "delete":
		return x.delete()
	case "deletecollection":
		if (x.route.namespace != "" || !x.req.kind.Namespaced) && deletesCollections(x.req.kind) {
			return x.deleteCollection()
		}
	}
	return x.errMethod()
}

// part serves a subresource through which a part of the object is changed, such as its status.
func (x *exchange) part() error {
	switch x.route.verb {
	case "get":
		return x.get()
	case "update":
		return x.update()
	case "patch":
		return x.patch()
	}
	return x.errMethod()
}

// warning adds a Warning header, which clients show to their users.
func (x *exchange) warning(text string) { addWarning(x.w.Header(), text) }

func errNoPath(r *http.Request) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotFound,
		Reason:  metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
			Type: metav1.CauseTypeUnexpectedServerResponse, Message: fmt.Sprintf("%s %s: no such path", r.Method, r.URL.Path),
		}}},
	}}
}
