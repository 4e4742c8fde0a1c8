// Package auth says who sends a request and whether they may.
//
// Identity comes from the TLS client certificate, which the listener has verified against the cluster's CA:
// its common name is the user and its organizations are the groups. A request without a certificate is the
// anonymous user. The decision is an [Authorizer], a function, so that other rules can be put in its place;
// [Masters] is the one for clusters without RBAC.
//
// The package keeps no state; everything in it is safe for concurrent use.
package auth

import (
	"net/http"
	"slices"
	"strings"
)

// The names that Kubernetes gives to special users and groups.
const (
	AnonymousUser        = "system:anonymous"
	GroupUnauthenticated = "system:unauthenticated"
	GroupAuthenticated   = "system:authenticated"
	GroupMasters         = "system:masters"
)

// User is who sends a request.
type User struct {
	Name   string
	Groups []string
}

// Anonymous returns the user of requests that carry no identity.
func Anonymous() User {
	return User{Name: AnonymousUser, Groups: []string{GroupUnauthenticated}}
}

// In reports whether the user belongs to the group.
func (u User) In(group string) bool { return slices.Contains(u.Groups, group) }

// FromRequest returns the user of a request from its verified client certificate, or the anonymous user.
// A certificate that the TLS layer has not verified is no identity.
func FromRequest(r *http.Request) User {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return Anonymous()
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	if subject.CommonName == "" {
		return Anonymous()
	}
	groups := make([]string, 0, len(subject.Organization)+1)
	groups = append(groups, subject.Organization...)
	if !slices.Contains(groups, GroupAuthenticated) {
		groups = append(groups, GroupAuthenticated)
	}
	return User{Name: subject.CommonName, Groups: groups}
}

// Attributes is what a decision may look at. For a path that is no resource ("/metrics"), Path is set and
// everything between Verb and Path is empty.
type Attributes struct {
	User        User
	Verb        string // "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"
	Group       string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Path        string
}

// Authorizer decides about one request. reason may be empty; it goes to the user when the answer is no.
type Authorizer func(Attributes) (allowed bool, reason string)

// Masters allows everything to members of system:masters, the health, version and discovery paths to every
// user as upstream's default roles do, and nothing else.
func Masters(a Attributes) (allowed bool, reason string) {
	if a.User.In(GroupMasters) {
		return true, ""
	}
	if a.Path == "" || a.Verb != "get" {
		return false, ""
	}
	switch a.Path {
	case "/livez", "/readyz", "/healthz", "/version", "/version/":
		return true, ""
	}
	if !a.User.In(GroupAuthenticated) {
		return false, ""
	}
	for _, p := range []string{"/api", "/apis", "/openapi"} {
		if a.Path == p || strings.HasPrefix(a.Path, p+"/") {
			return true, ""
		}
	}
	return false, ""
}
