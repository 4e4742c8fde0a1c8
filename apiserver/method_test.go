package apiserver_test

import (
	"net/http"
	"strings"
	"testing"
)

// A method that is not served is answered with those that are, and each of those is served.
func TestRefusedMethodNamesTheOthers(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), pod("p"))
	url := plain(t, s)
	for path, want := range map[string]string{
		"/api/v1/pods":                                   "GET, HEAD",
		"/api/v1/nodes":                                  "DELETE, GET, HEAD, POST",
		"/api/v1/namespaces":                             "GET, HEAD, POST",
		"/api/v1/namespaces/default/pods":                "DELETE, GET, HEAD, POST",
		"/api/v1/namespaces/default/pods/p":              "DELETE, GET, HEAD, PATCH, PUT",
		"/api/v1/namespaces/default/pods/p/status":       "GET, HEAD, PATCH, PUT",
		"/api/v1/namespaces/default/pods/p/eviction":     "POST",
		"/api/v1/namespaces/default/pods/p/log":          "GET",
		"/api/v1/namespaces/default/pods/p/exec":         "GET, POST",
		"/apis/apps/v1/namespaces/default/deployments/d": "DELETE, GET, HEAD, PATCH, PUT",
	} {
		for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
			allowed := strings.Contains(", "+want+",", ", "+method+",")
			if allowed && method == "DELETE" {
				continue // would take away what the others are asked about
			}
			code, header, body := send(t, method, url+path, "")
			if got := header.Get("Allow"); !allowed && (code != http.StatusMethodNotAllowed || got != want) {
				t.Errorf("%s %s: %d, allowed: %q; %s", method, path, code, got, body)
			} else if allowed && (code == http.StatusMethodNotAllowed || got != "") {
				t.Errorf("%s %s is not served: %d, allowed: %q; %s", method, path, code, got, body)
			}
		}
	}
}
