package core_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const newerEvent = `{eventTime: "2026-05-01T11:00:00.000000Z", reportingController: example.com/c, reportingInstance: i, action: Pull, reason: Pulled, note: old, type: Normal, regarding: {kind: Pod, namespace: ns, name: p}}`

func TestEventRules(t *testing.T) {
	long := strings.Repeat("x", 1025)
	const newer = `{eventTime: "2026-05-01T11:00:00.000000Z", reportingComponent: example.com/c, reportingInstance: i, action: Pull, reason: Pulled, message: m, involvedObject: {namespace: ns}}`
	checkRules(t, core.Event(), `{involvedObject: {namespace: ns}}`, []rule{
		{"older form says little", `{message: ` + long + `}`, nil},
		{"name of a node's certificate", `{metadata: {name: "system:node.1"}}`, nil},
		{"name", `{metadata: {name: a/b}}`, []string{`metadata.name: Invalid value: "a/b": may not contain '/'`}},
		{"object without namespace", `{involvedObject: {namespace: null}}`, []string{`involvedObject.namespace: Invalid value: "": does not match event.namespace`}},
	})
	checkRules(t, core.Event(), newer, []rule{
		{"newer form", `{}`, nil},
		{"of a node", `{metadata: {namespace: kube-system}, involvedObject: {kind: Node, namespace: null}}`, nil},
		{"controller's name", `{reportingComponent: "a b"}`, []string{`reportingComponent: Invalid value: "a b": name part must consist of`}},
		{"long", `{reportingInstance: ` + long[:129] + `, action: ` + long[:129] + `, reason: ` + long[:129] + `, message: ` + long + `}`, []string{
			`reportingInstance: Invalid value: "": can have at most 128 characters`, `action: Invalid value: "": can have at most 128 characters`,
			`reason: Invalid value: "": can have at most 128 characters`, `message: Invalid value: "": can have at most 1024 characters`}},
	})
}

// parseNewer reads an event in the form of events.k8s.io.
func parseNewer(t *testing.T, patches ...string) (kind.Object, kind.Version) {
	v := core.Event().Versions[0]
	return kindtest.Parse(t, core.Event().In(&v), newerEvent, patches...), v
}

func TestNewerEventRules(t *testing.T) {
	for _, c := range []rule{
		{"good", `{}`, nil},
		{"name", `{metadata: {name: "system:node.1"}}`, []string{`metadata.name: Invalid value: "system:node.1": a lowercase RFC 1123 subdomain must consist of`}},
		{"controller's name", `{reportingController: "a b"}`, []string{`reportingController: Invalid value: "a b": name part must consist of`}},
		{"time", `{eventTime: null}`, []string{`eventTime: Required value`}},
		{"type", `{type: Odd}`, []string{`type: Invalid value: "": has invalid value: Odd`}},
		{"older fields", `{deprecatedFirstTimestamp: "2026-05-01T11:00:00Z", deprecatedLastTimestamp: "2026-05-01T11:00:00Z", deprecatedCount: 1, deprecatedSource: {host: h}}`, []string{
			`firstTimestamp: Invalid value: "": needs to be unset`, `lastTimestamp: Invalid value: "": needs to be unset`,
			`count: Invalid value: "": needs to be unset`, `source: Invalid value: "": needs to be unset`}},
		{"series of one", `{series: {count: 1, lastObservedTime: null}}`, []string{`series.count: Invalid value: "": should be at least 2`, `series.lastObservedTime: Required value`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, v := parseNewer(t, c.patch)
			kindtest.Check(t, v.Validate(e), c.want...)
		})
	}
}

func TestNewerEventMayOnlyBeRepeated(t *testing.T) {
	for _, c := range []rule{
		{"repeated", `{series: {count: 2, lastObservedTime: "2026-05-01T11:00:00.000000Z"}}`, nil},
		{"repeated once", `{series: {count: 1, lastObservedTime: "2026-05-01T11:00:00.000000Z"}}`, []string{`series.count: Invalid value: "": should be at least 2`}},
		{"another", `{reason: r, note: m, type: Warning, action: a, reportingController: b, reportingInstance: c, related: {name: d}, regarding: {name: e}, eventTime: "2026-05-01T12:00:00.000000Z"}`, []string{
			`reason: Invalid value: "r": field is immutable`, `message: Invalid value: "m": field is immutable`, `type: Invalid value: "Warning": field is immutable`,
			`action: Invalid value: "a": field is immutable`, `reportingController: Invalid value: "b": field is immutable`, `reportingInstance: Invalid value: "c": field is immutable`,
			`related: Invalid value: {`, `involvedObject: Invalid value: {`, `eventTime: Invalid value: "2026-05-01T12:00:00.000000Z": field is immutable`}},
		{"older fields", `{deprecatedFirstTimestamp: "2026-05-01T11:00:00Z", deprecatedLastTimestamp: "2026-05-01T11:00:00Z", deprecatedCount: 1, deprecatedSource: {host: h}}`, []string{
			`firstTimestamp: Invalid value: "`, `lastTimestamp: Invalid value: "`, `count: Invalid value: 1: field is immutable`, `source: Invalid value: {"host":"h"}: field is immutable`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, v := parseNewer(t)
			next, _ := parseNewer(t, c.patch)
			kindtest.Check(t, v.ValidateUpdate(v.Stored(next), v.Stored(old)), c.want...)
		})
	}
}

func TestEventTableOfTheNewerForm(t *testing.T) {
	e := kindtest.Parse(t, core.Event(), `{type: Normal, reason: Pulled, message: m, eventTime: "2026-05-01T11:00:00.000000Z", reportingComponent: c, reportingInstance: i, series: {count: 3, lastObservedTime: "2026-05-01T11:59:00.000000Z"}, involvedObject: {kind: Node, name: x}}`)
	const want = "LAST SEEN   TYPE     REASON   OBJECT   [SUBOBJECT]   [SOURCE]   MESSAGE   [FIRST SEEN]   [COUNT]   [NAME]\n" +
		"60s         Normal   Pulled   node/x                 c, i       m         60m            3         a\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.Event(), e)); d != "" {
		t.Error(d)
	}
}
