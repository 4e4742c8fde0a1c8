package apiserver_test

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPagesWatchOverAWebSocket as dashboards in a browser do: a message for each event, JSON as text, protobuf as it is.
func TestPagesWatchOverAWebSocket(t *testing.T) {
	s := newMemory(t)
	c := s.Client(masters())
	must(t, c, configMap("one"))
	must(t, c, configMap("two"))
	url := plain(t, s)
	for accept, want := range map[string]string{"": `{"type":"ADDED"`, "application/vnd.kubernetes.protobuf": "\n\x05ADDED"} {
		cfg, err := websocket.NewConfig("ws"+strings.TrimPrefix(url, "http")+"/api/v1/namespaces/default/configmaps?watch=1", url)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Protocol = []string{"base64.binary.k8s.io", "another"}
		if accept != "" {
			cfg.Header.Set("Accept", accept)
		}
		conn, err := cfg.DialContext(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", accept, err)
		}
		defer conn.Close()
		if got := conn.Config().Protocol; len(got) != 1 || got[0] != "base64.binary.k8s.io" {
			t.Errorf("%s: the server chose %v", accept, got)
		}
		next := func() string {
			var message []byte
			if err := websocket.Message.Receive(conn, &message); err != nil {
				t.Fatalf("%s: %v", accept, err)
			}
			return string(message)
		}
		for _, name := range []string{"one", "two"} {
			if got := next(); !strings.HasPrefix(got, want) || !strings.Contains(got, name) {
				t.Errorf("%s: message %q, want %s of %s", accept, got, want, name)
			}
		}
		must(t, c, configMap("live"))
		if got := next(); !strings.HasPrefix(got, want) || !strings.Contains(got, "live") {
			t.Errorf("%s: message %q, want %s of what is created meanwhile", accept, got, want)
		}
		if _, err := c.Delete(t.Context(), mapKey("live"), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := next(); !strings.Contains(got, "DELETED") {
			t.Errorf("%s: message %q, want a deletion", accept, got)
		}
	}
}

// TestAWatchOverAWebSocketEndsAtItsTime and closes the socket.
func TestAWatchOverAWebSocketEndsAtItsTime(t *testing.T) {
	url := plain(t, newMemory(t))
	conn, err := websocket.Dial("ws"+strings.TrimPrefix(url, "http")+"/api/v1/namespaces?watch=1&timeoutSeconds=1", "", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var message string
	for err == nil {
		err = websocket.Message.Receive(conn, &message)
	}
	if err != io.EOF || message == "" {
		t.Errorf("the socket ends with %v behind %q", err, message)
	}
}

// TestNobodyWatchesOverAWebSocketWhoMayNotWatch and no socket is opened to say so.
func TestNobodyWatchesOverAWebSocketWhoMayNotWatch(t *testing.T) {
	g := newSecured(t)
	g.account("web")
	token := base64.RawURLEncoding.EncodeToString([]byte(g.token("web", authenticationv1.TokenRequestSpec{})))
	cfg, err := websocket.NewConfig("wss"+strings.TrimPrefix(g.url, "https")+"/api/v1/secrets?watch=1", "https://elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	cfg.TlsConfig = &tls.Config{InsecureSkipVerify: true}
	cfg.Protocol = []string{"base64.binary.k8s.io", "base64url.bearer.authorization.k8s.io." + token}
	if _, err := cfg.DialContext(t.Context()); err == nil || !strings.Contains(err.Error(), "bad status") {
		t.Errorf("who may not watch is told %v", err)
	}
}
