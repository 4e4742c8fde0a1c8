package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth"
)

// impersonate returns the user as whom the sender of a request wants to act: the sender itself, unless the headers
// Impersonate-User, -Group, -Uid and -Extra-… name somebody else. The sender must be allowed to "impersonate" each
// of them.
func (s *Server) impersonate(sender auth.User, h http.Header) (auth.User, error) {
	name := h.Get(authenticationv1.ImpersonateUserHeader)
	groups := h.Values(authenticationv1.ImpersonateGroupHeader)
	uid := h.Get(authenticationv1.ImpersonateUIDHeader)
	extra := impersonatedExtra(h)
	if name == "" {
		if len(groups) > 0 || uid != "" || len(extra) > 0 {
			return auth.User{}, apierrors.NewBadRequest("requested " + impersonationText(groups, uid, extra) + " without impersonating a user")
		}
		return sender, nil
	}
	ask := func(a auth.Attributes) error {
		a.User, a.Verb = sender, "impersonate"
		return s.authorize(a)
	}
	as := auth.User{Name: name, UID: uid, Extra: extra}
	if namespace, account, ok := serviceAccountOf(name); ok {
		if err := ask(auth.Attributes{Version: "v1", Resource: "serviceaccounts", Namespace: namespace, Name: account}); err != nil {
			return auth.User{}, err
		}
		if len(groups) == 0 {
			as.Groups = serviceAccountGroups(namespace) // they come with the account
		}
	} else if err := ask(auth.Attributes{Version: "v1", Resource: "users", Name: name}); err != nil {
		return auth.User{}, err
	}
	for _, g := range groups {
		if err := ask(auth.Attributes{Version: "v1", Resource: "groups", Name: g}); err != nil {
			return auth.User{}, err
		}
		as.Groups = append(as.Groups, g)
	}
	if uid != "" {
		if err := ask(auth.Attributes{Group: authenticationv1.GroupName, Version: "v1", Resource: "uids", Name: uid}); err != nil {
			return auth.User{}, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		for _, value := range extra[key] {
			if err := ask(auth.Attributes{Group: authenticationv1.GroupName, Version: "v1", Resource: "userextras", Subresource: key, Name: value}); err != nil {
				return auth.User{}, err
			}
		}
	}
	if name == auth.AnonymousUser {
		if !as.In(auth.GroupUnauthenticated) {
			as.Groups = append(as.Groups, auth.GroupUnauthenticated)
		}
		return as, nil
	}
	return as.Authenticated(), nil
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
		if len(name) <= len(authenticationv1.ImpersonateUserExtraHeaderPrefix) || !strings.HasPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix) {
			continue
		}
		key := strings.ToLower(name[len(authenticationv1.ImpersonateUserExtraHeaderPrefix):])
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

func impersonationText(groups []string, uid string, extra map[string][]string) string {
	var parts []string
	for _, g := range groups {
		parts = append(parts, fmt.Sprintf("group %q", g))
	}
	if uid != "" {
		parts = append(parts, fmt.Sprintf("UID %q", uid))
	}
	if len(extra) > 0 {
		parts = append(parts, "extra fields")
	}
	return strings.Join(parts, ", ")
}

// serviceAccountOf splits the user name of a service account.
func serviceAccountOf(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, auth.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// serviceAccountGroups returns the groups that every account of a namespace is in.
func serviceAccountGroups(namespace string) []string {
	return []string{auth.GroupServiceAccounts, auth.GroupServiceAccounts + ":" + namespace}
}
