package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sampan/store"
)

// healthTimeout bounds one check.
const healthTimeout = 2 * time.Second

// check is one thing that must be well.
type check struct {
	name string
	ok   func(ctx context.Context) error
}

// checks returns what /livez, /readyz and /healthz look at, with upstream's names where there is one: "etcd" is
// the store, whichever it is.
func (s *Server) checks() []check {
	return []check{
		{"ping", func(context.Context) error { return nil }},
		{"etcd", func(ctx context.Context) error {
			if _, err := s.cfg.Store.List(ctx, "/health/", store.ListOptions{Limit: 1}); err != nil {
				return fmt.Errorf("read the store: %w", err)
			}
			return nil
		}},
	}
}

// serveHealth answers a request for the server's health; it returns false if the path is another.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) bool {
	name, one, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch name {
	case "livez", "readyz", "healthz":
	default:
		return false
	}
	checks := s.checks()
	if one != "" {
		i := slices.IndexFunc(checks, func(c check) bool { return c.name == one })
		if i < 0 {
			return false
		}
		if err := s.isWell(r, name, checks[i]); err != nil {
			http.Error(w, fmt.Sprintf("internal server error: %s check failed: %v", one, err), http.StatusInternalServerError)
			return true
		}
		writeHealth(w, r, "ok")
		return true
	}
	query := r.URL.Query()
	excluded := query["exclude"]
	var text strings.Builder
	failed := false
	for _, c := range checks {
		if i := slices.Index(excluded, c.name); i >= 0 {
			excluded = slices.DeleteFunc(excluded, func(name string) bool { return name == c.name })
			fmt.Fprintf(&text, "[+]%s excluded: ok\n", c.name)
		} else if err := s.isWell(r, name, c); err != nil {
			// Everybody may read this; the reason is in the log, and at the check's own path.
			s.cfg.Log.Warn("health check failed", "path", r.URL.Path, "check", c.name, "error", err)
			fmt.Fprintf(&text, "[-]%s failed: reason withheld\n", c.name)
			failed = true
		} else {
			fmt.Fprintf(&text, "[+]%s ok\n", c.name)
		}
	}
	if len(excluded) > 0 {
		for i, name := range excluded {
			excluded[i] = fmt.Sprintf("%q", name)
		}
		fmt.Fprintf(&text, "warn: some health checks cannot be excluded: no matches for %s\n", strings.Join(excluded, ","))
	}
	switch _, verbose := query["verbose"]; {
	case failed:
		http.Error(w, text.String()+name+" check failed", http.StatusInternalServerError)
	case verbose:
		writeHealth(w, r, text.String()+name+" check passed\n")
	default:
		writeHealth(w, r, "ok")
	}
	return true
}

func (s *Server) isWell(r *http.Request, where string, c check) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	err := c.ok(ctx)
	s.metrics.checked(c.name, where, err)
	return err
}

func writeHealth(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeBytes(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte(text))
}
