package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
)

// file is something to write to whose writes can be held up, or fail.
type file struct {
	mu   sync.Mutex
	data bytes.Buffer
	hold chan struct{}
	err  error
}

func (f *file) Write(p []byte) (int, error) {
	if f.hold != nil {
		<-f.hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	return f.data.Write(p)
}

func (f *file) Close() error { return nil }

func run(t *testing.T, l *audit.Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestEveryEventIsALine(t *testing.T) {
	f := new(file)
	l := audit.New(f, audit.Everything(), slog.New(slog.DiscardHandler))
	stop := run(t, l)
	for range 100 {
		l.Record(&auditv1.Event{Stage: auditv1.StageResponseComplete, Verb: "get"})
	}
	stop()
	lines := strings.Split(strings.TrimSpace(f.data.String()), "\n")
	if len(lines) != 100 || l.Dropped() != 0 {
		t.Fatalf("%d lines, %d dropped", len(lines), l.Dropped())
	}
	var e auditv1.Event
	if err := json.Unmarshal([]byte(lines[99]), &e); err != nil || e.Verb != "get" {
		t.Errorf("%s: %v", lines[99], err)
	}
}

func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	f := &file{hold: make(chan struct{})}
	l := audit.New(f, audit.Everything(), slog.New(slog.DiscardHandler))
	stop := run(t, l)
	const many = 10_000 // more than any queue
	for range many {
		l.Record(&auditv1.Event{}) // would hang
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped: the queue has no bound")
	}
	close(f.hold)
	stop()
	if lines := int64(bytes.Count(f.data.Bytes(), []byte("\n"))); lines+l.Dropped() != many {
		t.Errorf("%d written and %d dropped of %d", lines, l.Dropped(), many)
	}
}

func TestWhatCannotBeWrittenIsCounted(t *testing.T) {
	f := &file{err: errors.New("no space left on device")}
	l := audit.New(f, audit.Everything(), slog.New(slog.DiscardHandler))
	stop := run(t, l)
	l.Record(&auditv1.Event{})
	stop()
	if l.Dropped() == 0 {
		t.Error("a line that was not written is not counted")
	}
}

func TestPoliciesChooseRequests(t *testing.T) {
	p, err := audit.ParsePolicy([]byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch]}
- {level: None, nonResourceURLs: ["/healthz*", "/version"]}
- {level: None, resources: [{group: "", resources: ["pods/log", "events"]}]}
- {level: Metadata, namespaces: [shop]}
- {level: Metadata, userGroups: [devs], resources: [{group: apps}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	bob := auth.User{Name: "bob", Groups: []string{"devs"}}
	for _, c := range []struct {
		a    auth.Attributes
		want auditv1.Level
	}{
		{auth.Attributes{User: auth.User{Name: "system:kube-proxy"}, Verb: "watch", Resource: "services", Namespace: "shop"}, auditv1.LevelNone},
		{auth.Attributes{User: auth.User{Name: "system:kube-proxy"}, Verb: "list", Resource: "services", Namespace: "shop"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Path: "/healthz/ping"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Subresource: "log", Namespace: "shop"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Namespace: "shop"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Resource: "deployments", Group: "apps", Namespace: "x"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Namespace: "x"}, auditv1.LevelNone},
	} {
		level, omit := p.Level(c.a)
		if level != c.want || level != auditv1.LevelNone && len(omit) != 1 {
			t.Errorf("%+v: %s %v, want %s", c.a, level, omit, c.want)
		}
	}
	for text, want := range map[string]string{
		"rules: [{level: Metadata}]":                                                                                "want a Policy of audit.k8s.io/v1",
		"apiVersion: audit.k8s.io/v1\nkind: Policy":                                                                 "no rules",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]":                              "rules[0].level: RequestResponse is not supported",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: metadata}]":                                     "want None or Metadata",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, user: [x]}]":                              "unknown field",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, resources: [{}], nonResourceURLs: [/x]}]": "cannot apply to both",
	} {
		if _, err := audit.ParsePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
