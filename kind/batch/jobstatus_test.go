package batch_test

import (
	"testing"

	"sampan/kind/batch"
	"sampan/kind/kindtest"
)

const (
	running   = `{status: {startTime: "2026-05-01T10:00:00Z", active: 1, ready: 1, succeeded: 2, failed: 1}}`
	met       = `{type: SuccessCriteriaMet, status: "True"}`
	complete  = `{type: Complete, status: "True"}`
	target    = `{type: FailureTarget, status: "True"}`
	failed    = `{type: Failed, status: "True"}`
	completed = `{status: {startTime: "2026-05-01T10:00:00Z", completionTime: "2026-05-01T11:00:00Z", succeeded: 2, conditions: [` + met + `, ` + complete + `]}}`
	indexed   = `{spec: {completionMode: Indexed, completions: 5, parallelism: 2, backoffLimitPerIndex: 1}, status: {completedIndexes: "0-1"}}`
)

func TestJobStatusRules(t *testing.T) {
	const conditions = "status.conditions: Invalid value: "
	ended := func(list, rest string) string {
		return `{status: {active: 0, ready: 0, conditions: [` + list + `]` + rest + `}}`
	}
	const at = `, completionTime: "2026-05-01T11:00:00Z"`
	for _, c := range []struct {
		name, was, next string
		want            []string
	}{
		{"counts", running, `{status: {active: -1, ready: -1, succeeded: 2, failed: 1, terminating: -1}}`, []string{"status.active: Invalid value: -1", "status.ready: Invalid value: -1", "status.terminating: Invalid value: -1"}},
		{"counted pods", `{}`, `{status: {uncountedTerminatedPods: {succeeded: [a, ""], failed: [a]}}}`, []string{
			`status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty`, `status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"`}},
		{"a complete job", running, ended(met+","+complete, at), nil},
		{"a failed job", running, ended(target+","+failed, ""), nil},
		{"both ends", running, ended(met+","+complete+","+target+","+failed, at), []string{
			conditions + "cannot set Complete=True and Failed=true conditions", conditions + "cannot set Complete=True and FailureTarget=true conditions",
			conditions + "cannot set SuccessCriteriaMet=True and Failed=true conditions", conditions + "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"}},
		{"complete, unannounced", running, ended(complete, at), []string{conditions + "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"}},
		{"failed, unannounced", running, ended(failed, ""), []string{conditions + "cannot set Failed=True condition without the FailureTarget=true condition"}},
		{"complete without the policy's success", `{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededCount: 1}]}}, status: {startTime: "2026-05-01T10:00:00Z"}}`, ended(complete, at), []string{
			conditions + "cannot set Complete=True condition without", conditions + "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"}},
		{"back from the end", completed, `{status: {conditions: null, completionTime: null}}`, []string{
			conditions + "cannot disable the terminal Complete=True condition", conditions + "cannot disable the SuccessCriteriaMet=True condition"}},
		{"back from the failure", `{status: {startTime: "2026-05-01T10:00:00Z", conditions: [` + target + `]}}`, `{status: {conditions: null}}`, []string{conditions + "cannot disable the terminal FailureTarget=True condition"}},
		{"an end with pods", running, `{status: {terminating: 1, uncountedTerminatedPods: {failed: [a]}, conditions: [` + target + `, ` + failed + `]}}`, []string{
			"status.active: Invalid value: 1: active>0 is invalid for finished job", "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
			"status.uncountedTerminatedPods: Invalid value"}},
		{"an end without a start", `{}`, ended(target+","+failed, ""), []string{"status.startTime: Required value: startTime is required for finished job"}},
		{"a suspended job without work ends unstarted", `{spec: {suspend: true, completions: 0}}`, ended(met+","+complete, at), nil},
		{"no time of the end", running, ended(met+","+complete, ""), []string{"status.completionTime: Required value: completionTime is required for Complete jobs"}},
		{"a time of the end too early", running, `{status: {completionTime: "2026-05-01T11:00:00Z"}}`, []string{
			`status.completionTime: Invalid value: "2026-05-01T11:00:00Z": cannot set completionTime when there is no Complete=True condition`}},
		{"an end before the start", running, ended(met+","+complete, `, completionTime: "2026-05-01T09:00:00Z"`), []string{
			`status.completionTime: Invalid value: "2026-05-01T09:00:00Z": must be equal to or after `}},
		{"another time of the end", completed, `{status: {completionTime: "2026-05-01T11:30:00Z"}}`, []string{`status.completionTime: Invalid value: "2026-05-01T11:30:00Z": field is immutable`}},
		{"another start", running, `{status: {startTime: "2026-05-01T09:00:00Z"}}`, []string{`status.startTime: Invalid value: "2026-05-01T09:00:00Z": field is immutable for unsuspended job once set`}},
		{"a start after a suspension", `{status: {startTime: "2026-05-01T10:00:00Z", conditions: [{type: Suspended, status: "True"}]}}`,
			`{status: {startTime: "2026-05-01T11:00:00Z", conditions: [{type: Suspended, status: "False"}]}}`, nil},
		{"counting back", running, `{status: {succeeded: 1, failed: 0}}`, []string{
			"status.succeeded: Invalid value: 1: cannot decrease the succeeded counter", "status.failed: Invalid value: 0: cannot decrease the failed counter"}},
		{"counting back when made smaller", `{spec: {completionMode: Indexed, completions: 2, parallelism: 2}, status: {succeeded: 2}}`, `{status: {succeeded: 1}}`, nil},
		{"more ready than there are", running, `{status: {ready: 2}}`, []string{"status.ready: Invalid value: 2: cannot set more ready pods than active"}},
		{"indexes", indexed, `{status: {completedIndexes: "0-2,4", failedIndexes: "3"}}`, nil},
		{"indexes that cannot be", indexed, `{status: {completedIndexes: "0-1-2", failedIndexes: "x"}}`, []string{
			`status.completedIndexes: Invalid value: "0-1-2": error parsing completedIndexes: the fragment "0-1-2" violates the requirement`,
			`status.failedIndexes: Invalid value: "x": error parsing failedIndexes: cannot convert string to integer for index: "x"`}},
		{"an index in both lists", indexed, `{status: {completedIndexes: "0,2-4", failedIndexes: "1,3"}}`, []string{`status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 3`}},
		{"indexes of a job without", running, `{status: {completedIndexes: "0", failedIndexes: ""}}`, []string{
			`status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode`,
			`status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := batch.Job()
			old := kindtest.Stored(t, k, job, c.was)
			next, errs := kindtest.UpdateStatus(t, k, old, c.next)
			kindtest.Check(t, errs, c.want...)
			if next.GetGeneration() != old.GetGeneration() {
				t.Error("the generation changed")
			}
		})
	}
}
