// Package check is the rules that a simulated cluster must keep: one that looks at every committed change, a file
// per rule, and [Settled] for the end. All of it looks only at committed state, so it would hold for a real
// cluster as well.
package check

import (
	"time"

	"sampan/view"
)

// Rule looks at every committed change in order. snap is the state right after it. An error is a broken rule.
type Rule interface {
	Change(c view.Change, snap *view.Snapshot, now time.Time) error
}

// Rules returns new rules, all of them.
func Rules() []Rule {
	return []Rule{&Budget{}, &Order{}}
}
