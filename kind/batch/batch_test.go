package batch_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"sampan/kind/batch"
	"sampan/kind/kindtest"
)

const job = `
spec:
  template:
    metadata: {labels: {app: a}}
    spec: {restartPolicy: Never, containers: [{name: c, image: "i:1"}]}
`

const cronJob = `
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: OnFailure, containers: [{name: c, image: "i:1"}]}
`

func TestJobDefaults(t *testing.T) {
	for _, c := range []struct {
		patch                             string
		completions, parallelism, backoff int32
		mode, replacement                 string
	}{
		{`{}`, 1, 1, 6, "NonIndexed", "TerminatingOrFailed"},
		{`{spec: {parallelism: 3}}`, -1, 3, 6, "NonIndexed", "TerminatingOrFailed"},
		{`{spec: {completions: 4}}`, 4, 1, 6, "NonIndexed", "TerminatingOrFailed"},
		{`{spec: {completions: 4, completionMode: Indexed, backoffLimitPerIndex: 1}}`, 4, 1, 1<<31 - 1, "Indexed", "TerminatingOrFailed"},
		{`{spec: {podFailurePolicy: {rules: [{action: FailJob, onPodConditions: [{type: DisruptionTarget}]}]}}}`, 1, 1, 6, "NonIndexed", "Failed"},
	} {
		j := kindtest.Created(t, batch.Job(), job, c.patch).(*batchv1.Job)
		completions := int32(-1)
		if j.Spec.Completions != nil {
			completions = *j.Spec.Completions
		}
		if completions != c.completions || *j.Spec.Parallelism != c.parallelism || *j.Spec.BackoffLimit != c.backoff ||
			string(*j.Spec.CompletionMode) != c.mode || string(*j.Spec.PodReplacementPolicy) != c.replacement || *j.Spec.Suspend || *j.Spec.ManualSelector {
			t.Errorf("%s: %+v", c.patch, j.Spec)
		}
		if j.Labels["app"] != "a" || len(j.Labels) != 1 {
			t.Errorf("%s: labels %v, want the template's as they were written", c.patch, j.Labels)
		}
	}
}

func TestJobSelectsByItsUID(t *testing.T) {
	j := kindtest.Created(t, batch.Job(), job).(*batchv1.Job)
	if d := cmp.Diff(map[string]string{"app": "a", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "job-name": "a", "batch.kubernetes.io/job-name": "a"},
		j.Spec.Template.Labels); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"batch.kubernetes.io/controller-uid": "u"}, j.Spec.Selector.MatchLabels); d != "" {
		t.Error(d)
	}
}

func TestJobValidation(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {parallelism: -1}}`, []string{"spec.parallelism: Invalid value: -1: must be greater than or equal to 0"}},
		{`{spec: {backoffLimit: -1, activeDeadlineSeconds: -1, ttlSecondsAfterFinished: -1}}`, []string{
			"spec.activeDeadlineSeconds: Invalid value: -1", "spec.backoffLimit: Invalid value: -1", "spec.ttlSecondsAfterFinished: Invalid value: -1"}},
		{`{spec: {template: {spec: {restartPolicy: Always}}}}`, []string{`spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`}},
		{`{spec: {completionMode: Indexed, parallelism: 2}}`, []string{"spec.completions: Required value: when completion mode is Indexed"}},
		{`{spec: {completionMode: Odd}}`, []string{`spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"`}},
		{`{spec: {backoffLimitPerIndex: 1}}`, []string{"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"}},
		{`{spec: {maxFailedIndexes: 1, completionMode: Indexed, completions: 3}}`, []string{"spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"}},
		{`{spec: {selector: {matchLabels: {x: y}}}}`, []string{
			"spec.selector: Invalid value", "spec.template.metadata.labels: Invalid value"}},
		{`{spec: {manualSelector: true, selector: {matchLabels: {app: a}}}}`, nil},
		{`{spec: {manualSelector: true}}`, []string{"spec.selector: Required value", "spec.template.metadata.labels: Invalid value"}},
		{`{spec: {template: {metadata: {labels: {job-name: other}}}}}`, []string{
			`spec.template.metadata.labels[job-name]: Invalid value: {"app":"a","batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u","job-name":"other"}: must be 'a'`}},
		{`{spec: {selector: {matchLabels: {job-name: a}}}}`, nil},
		{`{spec: {completionMode: Indexed, parallelism: 100001, backoffLimitPerIndex: 1, maxFailedIndexes: 100001, successPolicy: {rules: [{}, {succeededCount: -1}]}}}`, []string{
			"spec.completions: Required value: when completion mode is Indexed",
			"spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
			"spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
			"spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"}},
		{`{spec: {podFailurePolicy: {rules: [{action: FailJob}]}}}`, []string{"spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"}},
		{`{spec: {podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1, 0]}}]}}}`, []string{
			`spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set`,
			"spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [1,0]: must be ordered",
			"spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator"}},
		{`{spec: {podFailurePolicy: {rules: [{action: Ignore, onExitCodes: {containerName: x, operator: In, values: [1]}}]}, podReplacementPolicy: TerminatingOrFailed}}`, []string{
			`spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template`,
			`spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"`}},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededIndexes: "0-2,4", succeededCount: 3}]}}}`, nil},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededIndexes: "0,5"}, {succeededCount: 6}, {}]}}}`, []string{
			`spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,5": error parsing succeededIndexes: too large index: "5"`,
			"spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)",
			"spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified"}},
		{`{metadata: {name: a.b}, spec: {completionMode: Indexed, completions: 5}}`, []string{`metadata.name: Invalid value: "a.b": will not able to create pod with invalid DNS label: a.b-4`}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, batch.Job(), job, c.patch), c.want...)
		})
	}
}

func TestJobUpdate(t *testing.T) {
	for _, c := range []struct {
		was, patch string
		want       []string
	}{
		{`{}`, `{spec: {parallelism: 0, suspend: true, ttlSecondsAfterFinished: 5, backoffLimit: 1}}`, nil},
		{`{}`, `{spec: {completions: 2}}`, []string{"spec.completions: Invalid value: 2: field is immutable"}},
		{`{}`, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, []string{"spec.template: Invalid value"}},
		{`{spec: {suspend: true}}`, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, nil},
		{`{spec: {suspend: true}}`, `{spec: {template: {spec: {hostNetwork: true}}}}`, []string{"spec.template.spec: Invalid value"}},
		{`{spec: {suspend: true}}`, `{spec: {template: {metadata: {labels: {batch.kubernetes.io/job-name: null}}}}}`, []string{
			"spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'a'"}},
		{`{spec: {completionMode: Indexed, completions: 2, parallelism: 2}}`, `{spec: {completions: 3, parallelism: 3}}`, nil},
		{`{spec: {completionMode: Indexed, completions: 2, parallelism: 2}}`, `{spec: {completions: 3}}`, []string{
			"spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"}},
		{`{}`, `{spec: {managedBy: example.com/other}}`, []string{"spec.managedBy: Invalid value"}},
	} {
		t.Run(c.was+c.patch, func(t *testing.T) {
			old := kindtest.Created(t, batch.Job(), job, c.was)
			_, errs := kindtest.Update(t, batch.Job(), old, c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestCronJobValidation(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {schedule: "@hourly", timeZone: Europe/Berlin}}`, nil},
		{`{spec: {schedule: "0 0 30 2 *"}}`, nil},
		{`{spec: {schedule: null}}`, []string{"spec.schedule: Required value"}},
		{`{spec: {schedule: "*/90 * * * *"}}`, nil},
		{`{spec: {schedule: "@every 90s"}}`, nil},
		{`{spec: {schedule: "error"}}`, []string{`spec.schedule: Invalid value: "error": expected exactly 5 fields, found 1: [error]`}},
		{`{spec: {schedule: "60 * * * *"}}`, []string{`spec.schedule: Invalid value: "60 * * * *": end of range (60) above maximum (59): 60`}},
		{`{spec: {schedule: "0 0 * * 7"}}`, []string{`spec.schedule: Invalid value: "0 0 * * 7": end of range (7) above maximum (6): 7`}},
		{`{spec: {schedule: "0 22-6 * * *"}}`, []string{`spec.schedule: Invalid value: "0 22-6 * * *": beginning of range (22) beyond end of range (6): 22-6`}},
		{`{spec: {schedule: "TZ=0 * * * * *"}}`, []string{`spec.schedule: Invalid value: "TZ=0 * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`, `spec.schedule: Invalid value: "TZ=0 * * * * *": provided bad location 0: unknown time zone 0`}},
		{`{spec: {schedule: "TZ=0"}}`, []string{`spec.schedule: Invalid value: "TZ=0": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`, `spec.schedule: Invalid value: "TZ=0": no fields after the time zone: TZ=0`}},
		{`{spec: {jobTemplate: {spec: {backoffLimitPerIndex: 1, maxFailedIndexes: 1}}}}`, []string{
			"spec.jobTemplate.spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode", "spec.jobTemplate.spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"}},
		{`{spec: {jobTemplate: {spec: {podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}, template: {spec: {restartPolicy: Never}}}}}}`, nil},
		{`{spec: {schedule: "CRON_TZ=UTC * * * * *"}}`, []string{`spec.schedule: Invalid value: "CRON_TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule`}},
		{`{spec: {timeZone: ""}}`, []string{`spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string`}},
		{`{spec: {timeZone: local}}`, []string{`spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones`, `spec.timeZone: Invalid value: "local": unknown time zone local`}},
		{`{spec: {timeZone: Mars/Olympus}}`, []string{`spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus`}},
		{`{spec: {concurrencyPolicy: Maybe}}`, []string{`spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"`}},
		{`{spec: {startingDeadlineSeconds: -1, failedJobsHistoryLimit: -1}}`, []string{
			"spec.startingDeadlineSeconds: Invalid value: -1", "spec.failedJobsHistoryLimit: Invalid value: -1"}},
		{`{spec: {jobTemplate: {spec: {selector: {matchLabels: {a: b}}}}}}`, []string{"spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated"}},
		{`{spec: {jobTemplate: {spec: {manualSelector: true}}}}`, []string{`spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"`}},
		{`{spec: {jobTemplate: {spec: {template: {spec: {restartPolicy: Always}}}}}}`, []string{"spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values"}},
		{`{metadata: {name: a123456789-123456789-123456789-123456789-123456789-123}}`, []string{`metadata.name: Invalid value: "a123456789-123456789-123456789-123456789-123456789-123": must be no more than 52 characters`}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, batch.CronJob(), cronJob, c.patch), c.want...)
		})
	}
}

func TestTables(t *testing.T) {
	running := `{metadata: {name: running}, spec: {parallelism: 2}, status: {startTime: "2026-05-01T11:59:00Z", succeeded: 1}}`
	done := `{metadata: {name: done}, status: {startTime: "2026-05-01T11:59:00Z", completionTime: "2026-05-01T11:59:30Z", succeeded: 1, conditions: [{type: Complete, status: "True"}]}}`
	k := batch.Job()
	a, b := kindtest.Parse(t, k, job, running), kindtest.Parse(t, k, job, done)
	k.Default(a)
	k.Default(b)
	if d := cmp.Diff(`NAME      STATUS     COMPLETIONS   DURATION   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
running   Running    1/1 of 2      60s        5m    c              i:1        <none>
done      Complete   1/1           30s        5m    c              i:1        <none>
`, kindtest.Table(t, k, a, b)); d != "" {
		t.Error(d)
	}
	k = batch.CronJob()
	c := kindtest.Parse(t, k, cronJob, `{spec: {timeZone: Etc/UTC}, status: {active: [{name: x}], lastScheduleTime: "2026-05-01T11:59:00Z"}}`)
	k.Default(c)
	if d := cmp.Diff(`NAME   SCHEDULE      TIMEZONE   SUSPEND   ACTIVE   LAST SCHEDULE   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
a      */5 * * * *   Etc/UTC    False     1        60s             5m    c              i:1        <none>
`, kindtest.Table(t, k, c)); d != "" {
		t.Error(d)
	}
}
