package apiserver_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// TestBrowsersSendTheirTokenAsASubprotocol opens WebSockets the way a page in a browser has to.
func TestBrowsersSendTheirTokenAsASubprotocol(t *testing.T) {
	g := newSecured(t)
	g.account("web")
	token := g.token("web", authenticationv1.TokenRequestSpec{})
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer h.CloseIdleConnections()
	for name, c := range map[string]struct {
		protocols string
		want      int
	}{
		"good": {"v4.channel.k8s.io, base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(token)), http.StatusForbidden},
		"bad":  {"base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte("x.y.z")), http.StatusUnauthorized},
		"none": {"base64url.bearer.authorization.k8s.io.*", http.StatusUnauthorized},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/api/v1/namespaces/default/pods/p/exec?command=sh&stdout=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		req.Header.Set("Sec-WebSocket-Protocol", c.protocols)
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.want)
		}
	}
}
