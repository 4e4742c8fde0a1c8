package apiserver

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth"
)

// authenticate returns who sends a request: by the client certificate, by the bearer token, or as the anonymous
// user when it carries neither. An identity that is not understood is no anonymity: it is refused, without a word
// about what is wrong with it.
func (s *Server) authenticate(r *http.Request) (identity, error) {
	user, ok, certErr := s.certificates.User(r.TLS)
	if ok {
		s.metrics.certificateExpiration.Observe(r.TLS.PeerCertificates[0].NotAfter.Sub(s.cfg.Now()).Seconds())
		return identity{user: user}, nil
	}
	header := r.Header.Get("Authorization")
	token, ok := bearerToken(header)
	if !ok {
		token, ok = webSocketToken(r.Header)
	}
	if !ok && header == "" && certErr == nil {
		return identity{user: auth.Anonymous()}, nil
	}
	if ok {
		known, err := s.tokenUser(token, []string{s.tokens.keys().Issuer()})
		if err != nil && s.cfg.SharedStore && s.catchUp(r.Context()) == nil {
			// What it is bound to may have been made by another server just now.
			known, err = s.tokenUser(token, []string{s.tokens.keys().Issuer()})
		}
		if err == nil {
			s.metrics.token(known)
			return known, nil
		}
		s.cfg.Log.Debug("a token is refused", "from", r.RemoteAddr, "because", err)
	}
	if certErr != nil {
		s.cfg.Log.Debug("a client certificate is refused", "from", r.RemoteAddr, "because", certErr)
	}
	return identity{}, apierrors.NewUnauthorized("Unauthorized")
}

// bearerToken returns the token in an Authorization header.
func bearerToken(header string) (string, bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "bearer") && token != ""
}

// webSocketTokenPrefix begins a subprotocol that is a bearer token, because browsers cannot send any other header
// when they open a WebSocket.
const webSocketTokenPrefix = "base64url.bearer.authorization.k8s.io."

// webSocketToken returns the token among the subprotocols that a client offers, and removes it from them.
func webSocketToken(h http.Header) (token string, ok bool) {
	const name = "Sec-WebSocket-Protocol"
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") {
		return "", false
	}
	var others []string
	for _, protocol := range strings.Split(strings.Join(h.Values(name), ","), ",") {
		protocol = strings.TrimSpace(protocol)
		encoded, is := strings.CutPrefix(protocol, webSocketTokenPrefix)
		if !is {
			others = append(others, protocol)
			continue
		}
		data, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil || !utf8.Valid(data) {
			data = nil // no token at all, and refused as such
		}
		token, ok = string(data), true
	}
	if ok {
		h.Set(name, strings.Join(others, ", "))
	}
	return token, ok
}
