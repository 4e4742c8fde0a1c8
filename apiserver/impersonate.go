package apiserver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	namevalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/apiserver/auth"
)

const (
	// wildcardFrom is how many groups, or extra values, are asked about in one question first.
	wildcardFrom = 4
	// extraNodeKeys replaces what else is known of a service account that acts as the node that it is on: what a role
	// says of it holds on every node.
	extraNodeKeys = "authentication.kubernetes.io/associated-node-keys"
)

// impersonation is a way in which somebody may act as somebody else (KEP-5284). In all of them but the oldest, whose name
// is empty, a right to impersonate is not enough: what is done as the other must be allowed too, by the verb
// impersonate-on:NAME:VERB.
type impersonation struct {
	name    string
	applies func(wanted, sender auth.User) bool
}

// impersonations returns the ways in the order in which they are tried.
func impersonations() []impersonation {
	return []impersonation{
		{"associated-node", func(wanted, sender auth.User) bool {
			node, ok := nodeOfName(wanted.Name)
			if _, _, account := serviceAccountOf(sender.Name); !ok || !account || !nameOnly(wanted) {
				return false
			}
			return slices.Equal(sender.Extra[extraNodeName], []string{node})
		}},
		{"arbitrary-node", func(wanted, _ auth.User) bool {
			_, ok := nodeOfName(wanted.Name)
			return ok && nameOnly(wanted)
		}},
		{"serviceaccount", func(wanted, _ auth.User) bool {
			_, _, ok := serviceAccountOf(wanted.Name)
			return ok && nameOnly(wanted)
		}},
		{"user-info", func(wanted, _ auth.User) bool {
			_, node := nodeOfName(wanted.Name)
			_, _, account := serviceAccountOf(wanted.Name)
			return !node && !account
		}},
		{"", func(_, _ auth.User) bool { return true }},
	}
}

// impersonate returns the user as whom the sender of a request wants to act: the sender itself, unless the headers
// Impersonate-User, -Group, -Uid and -Extra-… name somebody else. The sender must be allowed to impersonate each
// of them, and with the newer rights to do so for this request; constraint is the verb that allowed it then. request
// describes what is to be done.
func (s *Server) impersonate(sender auth.User, h http.Header, request auth.Attributes) (as auth.User, constraint string, err error) {
	wanted, asked, err := wantedUser(h)
	if err != nil || !asked {
		return sender, "", err
	}
	request.User = sender
	var first error
	for _, way := range impersonations() {
		if !way.applies(wanted, sender) {
			continue
		}
		i := impersonator{server: s, way: way.name, sender: sender, verb: "impersonate"}
		if way.name != "" {
			i.verb += ":" + way.name
			constraint = i.verb
		} else {
			constraint = ""
		}
		as, err := i.become(wanted, request)
		if err == nil {
			return as, constraint, nil
		}
		if first == nil {
			first = err
		}
	}
	return auth.User{}, "", first
}

// wantedUser reads the headers of impersonation; ok is false if there are none.
func wantedUser(h http.Header) (wanted auth.User, ok bool, err error) {
	wanted = auth.User{
		Name: h.Get(authenticationv1.ImpersonateUserHeader), UID: h.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: h.Values(authenticationv1.ImpersonateGroupHeader), Extra: impersonatedExtra(h),
	}
	if wanted.Name == "" && !nameOnly(wanted) {
		return wanted, false, apierrors.NewBadRequest("requested " + impersonationText(wanted) + " without impersonating a user name")
	}
	return wanted, wanted.Name != "", nil
}

// nameOnly reports whether nothing but a user's name is asked for.
func nameOnly(u auth.User) bool { return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0 }

// impersonator asks whether the sender may become somebody in one way.
type impersonator struct {
	server *Server
	way    string // "" for the oldest
	sender auth.User
	verb   string
}

func (i impersonator) constrained() bool { return i.way != "" }

// ask returns upstream's error if the sender may not impersonate something. group is the API group of names and groups
// of users, which the newer rights have with the rest.
func (i impersonator) ask(a auth.Attributes) error {
	a.User, a.Verb, a.Version = i.sender, i.verb, "v1"
	return i.server.authorize(a)
}

func (i impersonator) group() string {
	if i.constrained() {
		return authenticationv1.GroupName
	}
	return ""
}

// become returns the user whom the sender becomes.
func (i impersonator) become(wanted auth.User, request auth.Attributes) (auth.User, error) {
	if i.way == "associated-node" {
		i.sender.Extra = map[string][]string{extraNodeKeys: slices.Sorted(maps.Keys(i.sender.Extra))}
		request.User = i.sender
	}
	if i.constrained() {
		request.Verb = "impersonate-on:" + i.way + ":" + request.Verb
		if err := i.server.authorize(request); err != nil {
			return auth.User{}, err
		}
	}
	as := wanted
	name := auth.Attributes{Group: i.group(), Resource: "users", Name: wanted.Name}
	if node, ok := nodeOfName(wanted.Name); ok && i.constrained() {
		name.Resource, name.Name = "nodes", node
		if i.way == "associated-node" {
			name.Name = "*"
		}
		as.Groups = []string{auth.GroupNodes}
	}
	if namespace, account, ok := serviceAccountOf(wanted.Name); ok {
		name.Resource, name.Namespace, name.Name = "serviceaccounts", namespace, account
		if len(wanted.Groups) == 0 {
			as.Groups = serviceAccountGroups(namespace) // they come with the account
		}
	}
	if err := i.ask(name); err != nil {
		return auth.User{}, err
	}
	if wanted.UID != "" {
		if err := i.ask(auth.Attributes{Group: authenticationv1.GroupName, Resource: "uids", Name: wanted.UID}); err != nil {
			return auth.User{}, err
		}
	}
	if err := i.groups(wanted.Groups); err != nil {
		return auth.User{}, err
	}
	if err := i.extra(wanted.Extra); err != nil {
		return auth.User{}, err
	}
	if wanted.Name == auth.AnonymousUser {
		if !as.In(auth.GroupUnauthenticated) {
			as.Groups = append(slices.Clip(as.Groups), auth.GroupUnauthenticated)
		}
		return as, nil
	}
	return as.Authenticated(), nil
}

func (i impersonator) groups(groups []string) error {
	a := auth.Attributes{Group: i.group(), Resource: "groups"}
	if i.constrained() {
		refuse := func(name, why string) error {
			a.User, a.Verb, a.Version, a.Name = i.sender, i.verb, "v1", name
			return forbidden(a, why)
		}
		switch {
		case slices.Contains(groups, ""):
			return refuse("", "impersonating the empty string group is not allowed")
		case slices.Contains(groups, auth.GroupMasters):
			return refuse(auth.GroupMasters, "impersonating the system:masters group is not allowed")
		}
		if a.Name = "*"; len(groups) >= wildcardFrom && i.ask(a) == nil {
			return nil
		}
	}
	for _, a.Name = range groups {
		if err := i.ask(a); err != nil {
			return err
		}
	}
	return nil
}

func (i impersonator) extra(extra map[string][]string) error {
	a := auth.Attributes{Group: authenticationv1.GroupName, Resource: "userextras"}
	if i.constrained() {
		if err := validExtra(extra); err != nil {
			a.User, a.Verb, a.Version = i.sender, i.verb, "v1"
			return forbidden(a, err.Error())
		}
		values := 0
		for _, v := range extra {
			values += len(v)
		}
		if a.Subresource, a.Name = "*", "*"; values >= wildcardFrom && i.ask(a) == nil {
			return nil
		}
	}
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		a.Subresource = key
		for _, a.Name = range extra[key] {
			if err := i.ask(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// validExtra says which extra values the newer ways of impersonation do not take.
func validExtra(extra map[string][]string) error {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		if key == "" {
			return errors.New("impersonating the empty string key in extra is not allowed")
		}
		if err := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate(); err != nil {
			return fmt.Errorf("impersonating an invalid key in extra is not allowed: %w", err)
		}
		if key != strings.ToLower(key) {
			return fmt.Errorf("impersonating a non-lowercase key in extra is not allowed: %q", key)
		}
		if slices.Contains(extra[key], "") {
			return errors.New("impersonating the empty string value in extra is not allowed")
		}
	}
	return nil
}

// dropImpersonation removes the headers once they have been heeded.
func dropImpersonation(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			delete(h, name)
		}
	}
}

// impersonatedExtra reads the headers Impersonate-Extra-KEY; keys are in lower case and percent-encoded.
func impersonatedExtra(h http.Header) map[string][]string {
	var extra map[string][]string
	for name, values := range h {
		key, ok := strings.CutPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix)
		if !ok || len(values) == 0 {
			continue
		}
		key = strings.ToLower(key)
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		if extra == nil {
			extra = make(map[string][]string)
		}
		extra[key] = append(extra[key], values...)
	}
	return extra
}

func impersonationText(wanted auth.User) string {
	var parts []string
	for _, g := range wanted.Groups {
		parts = append(parts, fmt.Sprintf("group %q", g))
	}
	if wanted.UID != "" {
		parts = append(parts, fmt.Sprintf("UID %q", wanted.UID))
	}
	if len(wanted.Extra) > 0 {
		parts = append(parts, "extra fields")
	}
	return strings.Join(parts, ", ")
}

// nodeOfName splits the user name of a node.
func nodeOfName(user string) (node string, ok bool) {
	node, ok = strings.CutPrefix(user, auth.NodeUserPrefix)
	return node, ok && len(namevalidation.NameIsDNSSubdomain(node, false)) == 0
}

// serviceAccountOf splits the user name of a service account.
func serviceAccountOf(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, auth.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && len(namevalidation.NameIsDNSLabel(namespace, false)) == 0 && len(namevalidation.NameIsDNSSubdomain(name, false)) == 0
}

// serviceAccountGroups returns the groups that every account of a namespace is in.
func serviceAccountGroups(namespace string) []string {
	return []string{auth.GroupServiceAccounts, auth.GroupServiceAccounts + ":" + namespace}
}
