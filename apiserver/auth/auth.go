// Package auth says who sends a request and whether they may.
//
// Identity comes from a client certificate that [Certificates] verifies, or from a token, which the API server
// checks itself because that needs a look at the cluster. A request with neither is the anonymous user. The
// decision is an [Authorizer], a function: the packages below this one make them from the cluster's state, and
// [Union] joins them.
//
// Everything in the package is safe for concurrent use.
package auth

import (
	"slices"
)

// The names that Kubernetes gives to special users and groups.
const (
	AnonymousUser        = "system:anonymous"
	GroupUnauthenticated = "system:unauthenticated"
	GroupAuthenticated   = "system:authenticated"
	GroupMasters         = "system:masters"
	GroupNodes           = "system:nodes"
	GroupServiceAccounts = "system:serviceaccounts"
	// NodeUserPrefix and ServiceAccountPrefix begin the user names of nodes ("system:node:NAME") and service
	// accounts ("system:serviceaccount:NAMESPACE:NAME").
	NodeUserPrefix       = "system:node:"
	ServiceAccountPrefix = "system:serviceaccount:"
)

// CredentialIDKey is the extra value that says by which credential a user came: "X509SHA256=…", "JTI=…".
const CredentialIDKey = "authentication.kubernetes.io/credential-id"

// User is who sends a request.
type User struct {
	Name   string
	Groups []string
	// UID and Extra are what else the identity says, as in upstream's UserInfo.
	UID   string
	Extra map[string][]string
}

// Anonymous returns the user of requests that carry no identity.
func Anonymous() User {
	return User{Name: AnonymousUser, Groups: []string{GroupUnauthenticated}}
}

// In reports whether the user belongs to the group.
func (u User) In(group string) bool { return slices.Contains(u.Groups, group) }

// Authenticated returns the user as a member of system:authenticated, as everyone is whose identity was checked,
// unless it says itself that it is not.
func (u User) Authenticated() User {
	if !u.In(GroupAuthenticated) && !u.In(GroupUnauthenticated) {
		u.Groups = append(slices.Clip(u.Groups), GroupAuthenticated)
	}
	return u
}

// Attributes is what a decision may look at. For a path that is no resource ("/metrics"), Path is set and
// everything between Verb and Path is empty.
type Attributes struct {
	User        User
	Verb        string // "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"
	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Path        string
	// FieldSelector and LabelSelector are what a list, watch or deletecollection is narrowed to, as sent.
	FieldSelector string
	LabelSelector string
}

// Authorizer decides about one request. reason may be empty; it goes to the user when the answer is no.
type Authorizer func(Attributes) (allowed bool, reason string)

// Masters allows everything to members of system:masters, and nothing to anybody else.
func Masters(a Attributes) (allowed bool, reason string) { return a.User.In(GroupMasters), "" }

// Union allows what one of the authorizers allows. The reason is that of the one that allowed it, or the last one
// that was given for a no.
func Union(authorizers ...Authorizer) Authorizer {
	return func(a Attributes) (bool, string) {
		last := ""
		for _, authorize := range authorizers {
			allowed, reason := authorize(a)
			if allowed {
				return true, reason
			}
			if reason != "" {
				last = reason
			}
		}
		return false, last
	}
}
