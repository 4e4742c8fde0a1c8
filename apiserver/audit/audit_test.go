package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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
	if len(lines) != 100 || l.Counts().Dropped != 0 {
		t.Fatalf("%d lines, %d dropped", len(lines), l.Counts().Dropped)
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
	if l.Counts().Dropped == 0 {
		t.Error("nothing was dropped: the queue has no bound")
	}
	close(f.hold)
	stop()
	if lines := int64(bytes.Count(f.data.Bytes(), []byte("\n"))); lines+l.Counts().Dropped != many {
		t.Errorf("%d written and %d dropped of %d", lines, l.Counts().Dropped, many)
	}
}

func TestWhatCannotBeWrittenIsCounted(t *testing.T) {
	f := &file{err: errors.New("no space left on device")}
	l := audit.New(f, audit.Everything(), slog.New(slog.DiscardHandler))
	stop := run(t, l)
	l.Record(&auditv1.Event{})
	stop()
	if n := l.Counts().Dropped; n != 1 {
		t.Errorf("%d lines are counted as not written, want 1", n)
	}
}

// stumbling is a file whose first write is torn.
type stumbling struct {
	bytes.Buffer
	failed bool
	then   func()
}

func (f *stumbling) Write(p []byte) (int, error) {
	if f.failed {
		return f.Buffer.Write(p)
	}
	f.failed = true
	f.Buffer.Write(p[:20])
	f.then()
	return 20, errors.New("no space left on device")
}

func (*stumbling) Close() error { return nil }

func TestLinesAfterATornOneAreWhole(t *testing.T) {
	f, told := new(stumbling), new(bytes.Buffer)
	l := audit.New(f, audit.Everything(), slog.New(slog.NewTextHandler(told, nil)))
	f.then = func() { l.Record(&auditv1.Event{Verb: "after"}) }
	stop := run(t, l)
	l.Record(&auditv1.Event{Verb: "torn"})
	stop()
	lines := strings.Split(strings.TrimSuffix(f.String(), "\n"), "\n")
	var e auditv1.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil || e.Verb != "after" || len(lines) != 2 {
		t.Errorf("%q: %v", lines, err)
	}
	if n := l.Counts().Dropped; n != 1 {
		t.Errorf("%d are counted as missing, want 1", n)
	}
	for _, want := range []string{"cannot be written", "no space left on device", "missing=1"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the server's log does not say %q: %s", want, told)
		}
	}
}

func TestObjectsThatAreTooLargeAreLeftOut(t *testing.T) {
	f := new(file)
	l := audit.New(f, audit.Everything(), slog.New(slog.DiscardHandler))
	stop := run(t, l)
	large := &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", audit.ObjectsMax) + `"`), ContentType: runtime.ContentTypeJSON}
	event := &auditv1.Event{Verb: "create", ResponseObject: large, Annotations: map[string]string{"a": "b"}}
	l.Record(event)
	l.Record(&auditv1.Event{Verb: "create", ResponseObject: large})
	stop()
	if len(event.Annotations) != 1 || event.ResponseObject == nil {
		t.Errorf("the event itself was changed: %v", event.Annotations)
	}
	var e auditv1.Event
	for n, line := range strings.Split(strings.TrimSpace(f.data.String()), "\n") {
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Annotations["audit.k8s.io/truncated"] != "true" || e.ResponseObject != nil || n == 0 && e.Annotations["a"] != "b" {
			t.Errorf("%v: %.300s", err, line)
		}
		e = auditv1.Event{}
	}
}

func TestWhatWaitsIsBoundedInBytes(t *testing.T) {
	l := audit.New(new(file), audit.Everything(), slog.New(slog.DiscardHandler)) // nobody writes
	object := &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", 8<<20) + `"`)}
	for range 100 {
		l.Record(&auditv1.Event{RequestObject: object})
	}
	if c := l.Counts(); c.Events != 100 || c.Dropped < 90 {
		t.Errorf("%d of %d events of 8 MB were dropped", c.Dropped, c.Events)
	}
}

// What is written, and what was never queued, no longer takes room from what comes.
func TestWritingMakesRoom(t *testing.T) {
	f, told := new(file), new(bytes.Buffer)
	l := audit.New(f, audit.Everything(), slog.New(slog.NewTextHandler(told, nil)))
	object := &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", 8<<20) + `"`), ContentType: runtime.ContentTypeJSON}
	var dropped int64
	for round := range 3 {
		for range 20 {
			l.Record(&auditv1.Event{RequestObject: object})
		}
		if round == 0 {
			dropped = l.Counts().Dropped
		}
		if got, want := l.Counts().Dropped, dropped*int64(round+1); got != want || dropped == 0 || dropped >= 20 {
			t.Fatalf("round %d: %d events are dropped, want %d", round, got, want)
		}
		run(t, l)()
	}
	if lines := int64(bytes.Count(f.data.Bytes(), []byte("\n"))); lines != 60-3*dropped {
		t.Errorf("%d lines, want %d", lines, 60-3*dropped)
	}
	if n := strings.Count(told.String(), "more slowly than requests come"); n != 3 {
		t.Errorf("the server's log says %d times that events are left out, want once each time that it begins", n)
	}
}

func TestFilesAreSetAsideWithWholeLines(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(audit.File{Path: filepath.Join(dir, "audit.log"), MaxSize: 1}, audit.Everything(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, l)
	const many = 3000
	for i := range many {
		e := &auditv1.Event{AuditID: types.UID(fmt.Sprint(i)), RequestURI: strings.Repeat("x", 1000)}
		if i == many/2 { // fits an event, but no file
			e.ResponseObject = &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", 2<<20) + `"`)}
		}
		l.Record(e)
	}
	stop()
	files, err := filepath.Glob(filepath.Join(dir, "audit*.log"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v %v", files, err)
	}
	lines := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 || info.Size() > 1<<20 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		for line := range bytes.Lines(data) {
			lines++
			if !json.Valid(line) {
				t.Fatalf("%s has a line %.100s", name, line)
			}
		}
	}
	if lines != many || l.Counts().Dropped != 0 {
		t.Errorf("%d lines of %d, %d dropped", lines, many, l.Counts().Dropped)
	}
}

func TestAFileThatCannotBeWrittenIsSaidAtTheStart(t *testing.T) {
	if _, err := audit.Open(audit.File{Path: filepath.Join(t.TempDir(), "missing", "log")}, audit.Everything(), nil); err == nil || !strings.Contains(err.Error(), "audit log: open") {
		t.Error(err)
	}
}

func TestPoliciesThatAreWrongAreRefusedWithTheField(t *testing.T) {
	for text, want := range map[string]string{
		"rules: [{level: Metadata}]":                                                                         "want a Policy of audit.k8s.io/v1",
		"kind: Policy":                                                                                       "no rules",
		"kind: Policy\nkind: Policy":                                                                         "already",
		"rules: [{level: metadata}]\nX: 1":                                                                   "unknown field",
		"kind: Policy\nrules: [{}]":                                                                          "rules[0].level: Required value",
		"kind: Policy\nrules: [{level: metadata}]":                                                           `rules[0].level: Unsupported value: "metadata": supported values: "None", "Metadata", "Request", "RequestResponse"`,
		"kind: Policy\nrules: [{level: None, user: [x]}]":                                                    `unknown field "rules[0].user"`,
		"kind: Policy\nrules: [{level: None, verbs: get}]":                                                   "rules.verbs",
		"kind: Policy\nrules: [{level: None, resources: [{}], nonResourceURLs: [/x]}]":                       "rules cannot apply to both regular resources and non-resource URLs",
		"kind: Policy\nrules: [{level: None}, {level: None, omitStages: [End]}]":                             `rules[1].omitStages[0]: Unsupported value: "End"`,
		"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]":                             "want a Policy of audit.k8s.io/v1",
		"kind: Rules\nrules: [{level: None}]":                                                                "want a Policy of audit.k8s.io/v1",
		"kind: Policy\nrules: [{level: None, namespaces: [a], nonResourceURLs: [/x]}]":                       "rules cannot apply to both regular resources and non-resource URLs",
		"kind: Policy\nrules: [{level: None, nonResourceURLs: ['*x']}]":                                      "must begin with a '/' character",
		"kind: Policy\nomitStages: [End]\nrules: [{level: None}]":                                            `omitStages[0]: Unsupported value: "End"`,
		"kind: Policy\nrules: [{level: None, nonResourceURLs: [x]}]":                                         "must begin with a '/' character",
		"kind: Policy\nrules: [{level: None, nonResourceURLs: [/a*b]}]":                                      "'*' must be the final character",
		"kind: Policy\nrules: [{level: None, resources: [{group: apps/v1}]}]":                                `rules[0].resources[0].group: Invalid value: "apps/v1"`,
		"kind: Policy\nrules: [{level: None, resources: [{group: apps, resourceNames: [a]}]}]":               "using resourceNames requires at least one resource",
		"kind: Policy\nrules: [{level: None, resources: [{resources: [a], resourceNames: [a], names: []}]}]": `unknown field "rules[0].resources[0].names"`,
	} {
		if strings.HasPrefix(text, "kind") {
			text = "apiVersion: audit.k8s.io/v1\n" + text
		}
		if _, err := audit.ParsePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	p, err := audit.ParsePolicy([]byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch]}
- {level: None, nonResourceURLs: ["/healthz*", "/version"]}
- {level: None, resources: [{group: "", resources: ["pods/log", "events", "*/scale"]}]}
- {level: Request, namespaces: [shop], resources: [{group: "*", resources: [pods], resourceNames: [till]}], omitManagedFields: false, omitStages: [Panic]}
- {level: RequestResponse, resources: [{resources: ["nodes/*"]}]}
- {level: Metadata, namespaces: [shop]}
- {level: Metadata, userGroups: [devs], resources: [{group: apps}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	bob, proxy := auth.User{Name: "bob", Groups: []string{"devs"}}, auth.User{Name: "system:kube-proxy"}
	for _, c := range []struct {
		a    auth.Attributes
		want auditv1.Level
	}{
		{auth.Attributes{User: proxy, Verb: "watch", Resource: "services", Namespace: "shop"}, auditv1.LevelNone},
		{auth.Attributes{User: proxy, Verb: "list", Resource: "services", Namespace: "shop"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Path: "/healthz/ping"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Path: "/apis"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Subresource: "log", Namespace: "shop"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Namespace: "shop"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Namespace: "shop", Name: "till"}, auditv1.LevelRequest},
		{auth.Attributes{User: bob, Verb: "get", Resource: "replicationcontrollers", Subresource: "scale", Namespace: "shop"}, auditv1.LevelNone},
		{auth.Attributes{User: bob, Verb: "get", Resource: "nodes", Subresource: "proxy", Name: "n"}, auditv1.LevelRequestResponse},
		{auth.Attributes{User: bob, Verb: "get", Resource: "nodes", Name: "n"}, auditv1.LevelRequestResponse},
		{auth.Attributes{User: bob, Verb: "get", Resource: "deployments", Group: "apps", Namespace: "x"}, auditv1.LevelMetadata},
		{auth.Attributes{User: bob, Verb: "get", Resource: "pods", Namespace: "x"}, auditv1.LevelNone},
	} {
		got := p.Choose(c.a)
		stages := 1
		if c.want == auditv1.LevelRequest {
			stages = 2
		}
		if got.Level != c.want || c.want != auditv1.LevelNone && (len(got.OmitStages) != stages || got.OmitManagedFields != (stages == 1)) {
			t.Errorf("%+v: %+v, want %s", c.a, got, c.want)
		}
	}
}

func TestRulesMatchWhatTheyName(t *testing.T) {
	devs := auth.User{Name: "bob", Groups: []string{"devs", "all"}}
	pod := auth.Attributes{User: devs, Verb: "get", Resource: "pods", Namespace: "shop", Name: "till"}
	logs := auth.Attributes{User: devs, Verb: "get", Resource: "pods", Subresource: "log", Namespace: "shop", Name: "till"}
	path := auth.Attributes{User: devs, Verb: "get", Path: "/healthz/ping"}
	for _, c := range []struct {
		rule string
		a    auth.Attributes
		want bool
	}{
		{``, pod, true},
		{``, path, true},
		{`users: [ann, bob]`, pod, true},
		{`users: [ann]`, pod, false},
		{`userGroups: [ops, devs]`, pod, true},
		{`userGroups: [ops]`, pod, false},
		{`users: [bob], userGroups: [ops]`, pod, false},
		{`verbs: [list, get]`, path, true},
		{`verbs: [list]`, path, false},
		{`namespaces: [a, shop]`, pod, true},
		{`namespaces: [a]`, pod, false},
		{`namespaces: [""]`, path, false},
		{`namespaces: [shop], resources: [{resources: [pods]}]`, pod, true},
		{`namespaces: [shop], resources: [{resources: [services]}]`, pod, false},
		{`resources: [{}]`, path, false},
		{`resources: [{}]`, logs, true},
		{`resources: [{group: apps}]`, pod, false},
		{`resources: [{group: apps}, {group: "*"}]`, pod, true},
		{`resources: [{resources: [pods]}]`, logs, false},
		{`resources: [{resources: [pods/log]}]`, logs, true},
		{`resources: [{resources: [pods/log]}]`, pod, false},
		{`resources: [{resources: [pods/exec, services/log]}]`, logs, false},
		{`resources: [{resources: [pods/*]}]`, pod, true},
		{`resources: [{resources: [pods/*]}]`, logs, true},
		{`resources: [{resources: [services/*]}]`, logs, false},
		{`resources: [{resources: ["*/log"]}]`, logs, true},
		{`resources: [{resources: ["*/log"]}]`, pod, false},
		{`resources: [{resources: ["*"]}]`, logs, true},
		{`resources: [{resources: [pods], resourceNames: [a, till]}]`, pod, true},
		{`resources: [{resources: [pods], resourceNames: [a]}]`, pod, false},
		{`nonResourceURLs: [/healthz/ping]`, path, true},
		{`nonResourceURLs: [/healthz]`, path, false},
		{`nonResourceURLs: [/x, /healthz*]`, path, true},
		{`nonResourceURLs: [/livez*]`, path, false},
		{`nonResourceURLs: ["*"]`, path, true},
		{`nonResourceURLs: ["*"]`, pod, false},
	} {
		p, err := audit.ParsePolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Request, " + c.rule + "}\n- {level: Metadata, omitStages: [ResponseStarted, ResponseComplete]}\n"))
		if err != nil {
			t.Fatalf("%s: %v", c.rule, err)
		}
		if got := p.Choose(c.a).Level; got != auditv1.LevelRequest && got != auditv1.LevelMetadata || (got == auditv1.LevelRequest) != c.want {
			t.Errorf("{%s} of %+v: %s", c.rule, c.a, got)
		}
	}
}

func TestLevelsIncludeTheOnesBelow(t *testing.T) {
	order := []auditv1.Level{auditv1.LevelNone, auditv1.LevelMetadata, auditv1.LevelRequest, auditv1.LevelRequestResponse}
	for i, has := range order {
		for j, wanted := range order {
			if got := (audit.Choice{Level: has}).Includes(wanted); got != (i >= j) {
				t.Errorf("%s includes %s: %v", has, wanted, got)
			}
		}
	}
	if got := audit.Everything().Choose(auth.Attributes{Verb: "get", Path: "/x"}); got.Level != auditv1.LevelMetadata || len(got.OmitStages) != 0 {
		t.Errorf("without a policy: %+v", got)
	}
}
