package apiserver

import (
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth"
)

// authenticate returns who sends a request: by the client certificate, by the bearer token, or as the anonymous
// user when it carries neither. An identity that is not understood is no anonymity: it is refused, without a word
// about what is wrong with it.
func (s *Server) authenticate(r *http.Request) (auth.User, error) {
	user, ok, certErr := s.certificates.User(r.TLS)
	if ok {
		return user, nil
	}
	header := r.Header.Get("Authorization")
	if header == "" && certErr == nil {
		return auth.Anonymous(), nil
	}
	if token, ok := bearerToken(header); ok {
		user, _, err := s.tokenUser(token, []string{s.tokens.keys.Issuer()})
		if err == nil {
			r.Header.Del("Authorization") // it must not reach what the request is handed on to
			return user, nil
		}
		s.cfg.Log.Debug("a token is refused", "from", r.RemoteAddr, "because", err)
	}
	if certErr != nil {
		s.cfg.Log.Debug("a client certificate is refused", "from", r.RemoteAddr, "because", certErr)
	}
	return auth.User{}, apierrors.NewUnauthorized("Unauthorized")
}

// bearerToken returns the token in an Authorization header.
func bearerToken(header string) (string, bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "bearer") && token != ""
}
