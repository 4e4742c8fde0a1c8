// Package arch holds the rules of the house: which folder may import which ([Rules]), which folders are pure
// ([Pure]), and that every package says what it is. Its test reads the source tree and fails on what breaks them.
//
// A rule that is in the way is mostly right: first look for the interface that the consumer should declare,
// or for the decision that belongs into the pure core. Rules are not relaxed to get a build through.
package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rules is the import policy for folders of this module, read from the inside to the outside.
//
// "a, b < c, d" lets c and d import a and b and all that these may import. "a !< b" says that no other rule may
// ever let b import a. "x/*" stands for the folders below x that are not named themselves; they do not import
// each other. NONE is nothing. Test files are free, since they assemble parts as cluster does.
const Rules = `
	# Leaves: no Kubernetes in them but API types.
	NONE < internal/*, cmd/kubectl;
	NONE < internal/drain < cmd/pause, podruntime/linux;
	internal/* < kind, kind/claim, store, podruntime, node/crilog, apiserver/auth, apiserver/openapi, network/ipam, network/ruleset, network/link, dns/answer, metrics/window;

	# What the kinds are, and the vocabulary of decisions.
	kind < kind/core < kind/* < kind/registry;
	kind < kind/kindtest;
	kind < view < plan, view/viewtest;
	plan, kind/registry < plan/plantest;

	# Decisions.
	plan, kind/*, kind/claim < controller/pods < controller/revision < controller/*;
	controller/* < controller/all;
	view, kind/*, kind/claim < scheduler/place;
	view < node/podconfig;
	plan, podruntime < node/podstate;
	kind < apiserver/patch, metrics/window, network/ruleset;
	view, kind/* < apiserver/admit;

	# State, and the only one who sees it.
	store < store/internal/* < store/*;
	store < store/storetest;
	view, kind/*, apiserver/auth < apiserver/auth/rbac < apiserver/auth/nodeauth;
	apiserver/auth < apiserver/auth/satoken, apiserver/audit;
	NONE < apiserver/mergeschema < apiserver/openapi;
	apiserver/mergeschema < apiserver;
	store, view, apiserver/patch, apiserver/admit, apiserver/auth/nodeauth, apiserver/auth/satoken, apiserver/audit, apiserver/openapi < apiserver;

	# Shells: they see the cluster through a client.
	plan, view < client < client/events, client/remote, client/clienttest;
	client/events, plan < controller;
	client/events, kind/claim, scheduler/place < scheduler;
	node/podconfig, node/crilog < node/volume;
	client/events, podruntime, node/podstate, node/podconfig, node/volume, node/crilog < node;
	client/events, podruntime, network/ipam, network/ruleset, network/link, network/nft < network;
	dns/answer < dns/wire < dns;
	client/events, dns < dns/feed;
	client/events, metrics/window < metrics;
	client/events < dashboard;
	NONE < election/term;
	client, election/term < election;

	# Leaves that reach the operating system.
	network/ruleset < network/nft;
	internal/* < podruntime/linux/bundle;
	podruntime, podruntime/linux/bundle < podruntime/linux;
	podruntime/linux/bundle < cmd/ocirun;
	dns < cmd/resolver;
	podruntime < podruntime/podruntimetest, image;

	# Those who assemble.
	apiserver, store/*, kind/registry < apiserver/apiservertest;
	controller/pods, view < sim/check;
	view, plan < sim/*;
	apiserver, store/*, kind/registry, controller, controller/all, scheduler, node, sim/check, sim/* < sim;
	client/remote, client/clienttest, apiserver, store/*, kind/registry, controller, controller/all, scheduler, election, node, network, dns/feed, metrics, dashboard, image, podruntime/linux, sim < cluster;
	cluster < cluster/*;
	cluster/*, cluster < cmd/*, bench, e2e, examples/*;

	# What must stay true.
	store !< controller, controller/*, controller/all, client, client/events, scheduler, node, network, dns, dns/feed, image, podruntime;
	client !< controller/*, controller/all, scheduler/place, node/podstate, network/ruleset, dns/answer, apiserver/admit, apiserver/patch;
	kind, view, client !< image, podruntime, internal/*, dns, cmd/resolver;
	network/link, network/nft, podruntime/linux, image !< sim;
	cluster !< sim, apiserver, node;
`

// Pure lists the folders whose code is a function of its arguments: no goroutine, clock, randomness, operating
// system or package-level state. Patterns are those of Rules; packages for tests are exempt.
func Pure() []string {
	return []string{
		"kind", "kind/*", "view", "plan", "controller/*", "scheduler/place", "node/podstate", "network/ruleset",
		"network/ipam", "dns/answer", "apiserver/patch", "apiserver/admit", "apiserver/auth/rbac", "apiserver/auth/nodeauth", "metrics/window", "election/term",
	}
}

// Policy is the parsed form of rules.
type Policy struct {
	names    []string // all names and patterns
	below    map[string][]string
	forbids  [][2]string // {a, b}: b must not import a
	implicit map[string]map[string]bool
}

// Parse reads rules. It returns an error for a syntax error, a circle, and a rule that another one forbids.
func Parse(rules string) (*Policy, error) {
	p := &Policy{below: make(map[string][]string), implicit: make(map[string]map[string]bool)}
	for _, rule := range strings.Split(withoutComments(rules), ";") {
		if rule = strings.TrimSpace(rule); rule == "" {
			continue
		}
		if err := p.add(rule); err != nil {
			return nil, err
		}
	}
	for _, name := range p.names {
		if _, err := p.reach(name, nil); err != nil {
			return nil, err
		}
	}
	for _, f := range p.forbids {
		if f[0] == f[1] || p.implicit[f[1]][f[0]] {
			return nil, fmt.Errorf("%s may import %s, which the rules forbid", f[1], f[0])
		}
	}
	return p, nil
}

func withoutComments(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (p *Policy) add(rule string) error {
	if left, right, ok := strings.Cut(rule, "!<"); ok {
		for _, a := range p.list(left) {
			for _, b := range p.list(right) {
				p.forbids = append(p.forbids, [2]string{a, b})
			}
		}
		return nil
	}
	chain := strings.Split(rule, "<")
	if len(chain) < 2 {
		return fmt.Errorf("rule %q has no <", rule)
	}
	lower := p.list(chain[0])
	for _, part := range chain[1:] {
		upper := p.list(part)
		if len(upper) == 0 {
			return fmt.Errorf("rule %q has nothing beside a <", rule)
		}
		for _, name := range upper {
			p.below[name] = append(p.below[name], lower...)
		}
		lower = upper
	}
	return nil
}

func (p *Policy) list(text string) []string {
	var names []string
	for _, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name == "NONE" {
			continue
		}
		names = append(names, name)
		if !slices.Contains(p.names, name) {
			p.names = append(p.names, name)
		}
	}
	return names
}

// reach computes all that name may import.
func (p *Policy) reach(name string, from []string) (map[string]bool, error) {
	if slices.Contains(from, name) {
		return nil, fmt.Errorf("the rules go in a circle: %s", strings.Join(append(from, name), " < "))
	}
	if all, ok := p.implicit[name]; ok {
		return all, nil
	}
	all := make(map[string]bool)
	for _, lower := range p.below[name] {
		more, err := p.reach(lower, append(from, name))
		if err != nil {
			return nil, err
		}
		all[lower] = true
		for n := range more {
			all[n] = true
		}
	}
	p.implicit[name] = all
	return all, nil
}

// nameOf returns the name in the rules that a folder goes by: its own, or that of a pattern, or "".
func (p *Policy) nameOf(folder string) string { return match(p.names, folder) }

func match(names []string, folder string) string {
	if slices.Contains(names, folder) {
		return folder
	}
	for up := path.Dir(folder); up != "."; up = path.Dir(up) {
		if pattern := up + "/*"; slices.Contains(names, pattern) {
			return pattern
		}
	}
	return ""
}

// Check returns an error if a folder may not import another one.
func (p *Policy) Check(folder, imported string) error {
	upper, lower := p.nameOf(folder), p.nameOf(imported)
	switch {
	case upper == "":
		return fmt.Errorf("%s imports %s, but is not in the rules: add it to arch.Rules where it belongs", folder, imported)
	case lower == "" || !p.implicit[upper][lower]:
		return fmt.Errorf("%s must not import %s", folder, imported)
	}
	return nil
}
