package core_test

import (
	"slices"
	"testing"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestSecretRules(t *testing.T) {
	const redacted = `Invalid value: "<secret contents redacted>": `
	checkRules(t, core.Secret(), `{}`, []rule{
		{"any type", `{type: example.com/t, stringData: {k: v}}`, nil},
		{"key", `{stringData: {"a b": c}}`, []string{`data[a b]: Invalid value: "a b": a valid config key must consist of`}},
		{"key of dots", `{stringData: {..: c}}`, []string{`data[..]: Invalid value: "..": must not be '..'`}},
		{"token", `{type: kubernetes.io/service-account-token, metadata: {annotations: {kubernetes.io/service-account.name: sa}}}`, nil},
		{"dockercfg", `{type: kubernetes.io/dockercfg, stringData: {.dockercfg: "{}"}}`, nil},
		{"dockercfg missing", `{type: kubernetes.io/dockercfg}`, []string{`data[.dockercfg]: Required value`}},
		{"dockercfg is a list", `{type: kubernetes.io/dockercfg, stringData: {.dockercfg: "[]"}}`, []string{`data[.dockercfg]: ` + redacted + `json: cannot unmarshal array into Go value of type map[string]interface {}`}},
		{"docker's configuration missing", `{type: kubernetes.io/dockerconfigjson}`, []string{`data[.dockerconfigjson]: Required value`}},
		{"docker's configuration cut off", `{type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "{"}}`, []string{`data[.dockerconfigjson]: ` + redacted + `unexpected end of JSON input`}},
		{"basic", `{type: kubernetes.io/basic-auth, stringData: {username: u}}`, nil},
		{"basic by password", `{type: kubernetes.io/basic-auth, stringData: {password: ""}}`, nil},
		{"basic missing", `{type: kubernetes.io/basic-auth}`, []string{`data[username]: Required value`, `data[password]: Required value`}},
		{"ssh", `{type: kubernetes.io/ssh-auth, stringData: {ssh-privatekey: k}}`, nil},
		{"ssh empty", `{type: kubernetes.io/ssh-auth, stringData: {ssh-privatekey: ""}}`, []string{`data[ssh-privatekey]: Required value`}},
		{"tls without key", `{type: kubernetes.io/tls, stringData: {tls.crt: ""}}`, []string{`data[tls.key]: Required value`}},
	})
}

func TestSecretUpdateRules(t *testing.T) {
	checkUpdateRules(t, core.Secret(), `{type: a, immutable: true, stringData: {k: v}}`, `{}`, []rule{
		{"labels", `{metadata: {labels: {a: b}}}`, nil},
		{"type left out", `{type: null}`, []string{`type: Invalid value: "Opaque": field is immutable`}},
		{"opened", `{immutable: null}`, []string{"immutable: Forbidden: field is immutable when `immutable` is set"}},
	})
}

func TestTLSPairThatDoesNotFit(t *testing.T) {
	s := kindtest.Created(t, core.Secret(), `{type: kubernetes.io/tls, stringData: {tls.crt: "", tls.key: ""}}`)
	if got := core.Secret().Warnings(s); !slices.Equal(got, []string{"tls: failed to find any PEM data in certificate input"}) {
		t.Errorf("%q", got)
	}
	if got := core.Secret().Warnings(kindtest.Created(t, core.Secret(), `{}`)); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
