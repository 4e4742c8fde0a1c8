package batch_test

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"sampan/kind/batch"
	"sampan/kind/kindtest"
)

func TestJobBounds(t *testing.T) {
	const many = `{spec: {completionMode: Indexed, completions: 200000, backoffLimitPerIndex: 1`
	const codes = "spec.podFailurePolicy.rules[0].onExitCodes"
	exit := func(text string) string {
		return `{spec: {podFailurePolicy: {rules: [{action: FailJob, onExitCodes: ` + text + `}]}}}`
	}
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{spec: {completionMode: Indexed, completions: 5, parallelism: 100001}}`, []string{"spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"}},
		{`{spec: {completionMode: Indexed, completions: 5, backoffLimitPerIndex: 1, maxFailedIndexes: 6}}`, []string{"spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"}},
		{`{spec: {completionMode: Indexed, completions: 5, backoffLimitPerIndex: -1, maxFailedIndexes: -1}}`, []string{"spec.backoffLimitPerIndex: Invalid value: -1", "spec.maxFailedIndexes: Invalid value: -1"}},
		{many + `}}`, []string{"spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"}},
		{many + `, maxFailedIndexes: 100001}}`, []string{"spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
			"spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"}},
		{many + `, maxFailedIndexes: 1, parallelism: 10001}}`, []string{
			"spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"}},
		{`{spec: {maxFailedIndexes: 1, backoffLimitPerIndex: 1}}`, []string{"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode", "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"}},
		{`{spec: {successPolicy: {rules: []}}}`, []string{"spec.successPolicy: Invalid value: {\"rules\":[]}: requires indexed completion mode"}},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: []}}}`, []string{"spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"}},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededIndexes: "` + strings.Repeat("0", 64*1024+1) + `"}, {succeededIndexes: "9", succeededCount: 1}]}}}`, []string{
			"spec.successPolicy.rules[0].succeededIndexes: Too long: may not be more than 65536 bytes",
			`spec.successPolicy.rules[1].succeededIndexes: Invalid value: "9": error parsing succeededIndexes: too large index: "9"`,
			"spec.successPolicy.rules[1].succeededCount: Invalid value: 1: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)"}},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [` + strings.Repeat("{succeededCount: 1}, ", 20) + `{}]}}}`, []string{
			"spec.successPolicy.rules: Too many: 21: must have at most 20 items", "spec.successPolicy.rules[20]: Required value"}},
		{`{spec: {podFailurePolicy: {rules: [` + strings.Repeat("{action: FailJob, onPodConditions: [{type: X}]}, ", 20) + `{action: FailJob}]}}}`, []string{
			"spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items", "spec.podFailurePolicy.rules[20]: Invalid value"}},
		{`{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededCount: -1}, {succeededIndexes: "0-1", succeededCount: 3}, {succeededIndexes: "3,1"}]}}}`, []string{
			"spec.successPolicy.rules[0].succeededCount: Invalid value: -1",
			"spec.successPolicy.rules[1].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
			`spec.successPolicy.rules[2].succeededIndexes: Invalid value: "3,1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1`}},
		{`{spec: {managedBy: controller}}`, []string{`spec.managedBy: Invalid value: "controller": must be a domain-prefixed path`}},
		{`{spec: {managedBy: example.com/` + strings.Repeat("a", 60) + `}}`, []string{"spec.managedBy: Too long: may not be more than 63 bytes"}},
		{`{spec: {podReplacementPolicy: Odd}}`, []string{`spec.podReplacementPolicy: Unsupported value: "Odd": supported values: "Failed", "TerminatingOrFailed"`}},
		{`{spec: {podFailurePolicy: {rules: []}, template: {spec: {restartPolicy: OnFailure}}}}`, []string{`spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified`}},
		{`{spec: {template: {spec: {restartPolicy: Odd}}}}`, []string{`spec.template.spec.restartPolicy: Unsupported value: "Odd": supported values: "Always", "OnFailure", "Never"`,
			`spec.template.spec.restartPolicy: Unsupported value: "Odd": supported values: "OnFailure", "Never"`}},
		{`{spec: {podFailurePolicy: {rules: [{onPodConditions: [{type: X}]}]}}}`, []string{`spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]`}},
		{`{spec: {podFailurePolicy: {rules: [{action: Odd, onPodConditions: [{type: "-"}, {type: X, status: Odd}]}]}}}`, []string{
			`spec.podFailurePolicy.rules[0].action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob", "Ignore"`,
			`spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "-"`, `spec.podFailurePolicy.rules[0].onPodConditions[1].status: Unsupported value: "Odd"`}},
		{exit(`{values: [1]}`), []string{codes + `.operator: Required value: valid values: ["In" "NotIn"]`}},
		{exit(`{operator: Odd, values: [1]}`), []string{codes + `.operator: Unsupported value: "Odd": supported values: "In", "NotIn"`}},
		{exit(`{operator: NotIn, values: []}`), []string{codes + ".values: Invalid value: []: at least one value is required"}},
		{exit(`{operator: In, values: [1, 1]}`), []string{codes + ".values[1]: Duplicate value: 1"}},
		{`{spec: {podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: [1]}, onPodConditions: [{type: X}]}]}}}`, []string{
			"spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, batch.Job(), job, c.patch), c.want...) })
	}
}

func TestSuspendedJobsTemplate(t *testing.T) {
	const moved = `{spec: {template: {metadata: {labels: {x: "1"}}, spec: {nodeSelector: {a: b}, tolerations: [{operator: Exists}],
		affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}},
		containers: [{name: c, image: "i:1", resources: {requests: {cpu: 1}}}]}}}}`
	for _, c := range []struct {
		name, was, patch string
		want             []string
	}{
		{"never started", `{spec: {suspend: true}}`, moved, nil},
		{"suspended again", `{spec: {suspend: true}, status: {startTime: "2026-05-01T10:00:00Z", conditions: [{type: Suspended, status: "True"}]}}`, moved, nil},
		{"still stopping", `{spec: {suspend: true}, status: {startTime: "2026-05-01T10:00:00Z"}}`, moved, []string{"spec.template: Invalid value"}},
		{"with pods", `{spec: {suspend: true}, status: {active: 1}}`, moved, []string{"spec.template: Invalid value"}},
		{"running", `{}`, moved, []string{"spec.template: Invalid value"}},
		{"another image", `{spec: {suspend: true}}`, `{spec: {template: {spec: {containers: [{name: c, image: "i:2"}]}}}}`, []string{"spec.template.spec: Invalid value"}},
		{"affinity to pods", `{spec: {suspend: true}}`, `{spec: {template: {spec: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a, labelSelector: {}}}]}}}}}}`,
			[]string{"spec.template.spec: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := kindtest.Update(t, batch.Job(), kindtest.Stored(t, batch.Job(), job, c.was), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestJobKeeps(t *testing.T) {
	const was = `{spec: {completionMode: Indexed, completions: 2, parallelism: 2, backoffLimitPerIndex: 1, podFailurePolicy: {rules: []}, successPolicy: {rules: [{succeededCount: 1}]}}}`
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{spec: {backoffLimitPerIndex: 2}}`, []string{"spec.backoffLimitPerIndex: Invalid value: 2: field is immutable"}},
		{`{spec: {successPolicy: {rules: [{succeededCount: 2}]}}}`, []string{"spec.successPolicy: Invalid value"}},
		{`{spec: {podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: X}]}]}}}`, []string{"spec.podFailurePolicy: Invalid value"}},
		{`{spec: {completionMode: NonIndexed}}`, []string{"spec.completionMode: Invalid value", "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode", "spec.successPolicy: Invalid value"}},
		{`{spec: {selector: {matchLabels: {app: a}}}}`, []string{
			`spec.selector: Invalid value: {"matchLabels":{"app":"a","batch.kubernetes.io/controller-uid":"u"}}: field is immutable`,
			`spec.selector: Invalid value: {"matchLabels":{"app":"a","batch.kubernetes.io/controller-uid":"u"}}: ` + "`selector` not auto-generated"}},
		{`{spec: {backoffLimit: 9, activeDeadlineSeconds: 9, ttlSecondsAfterFinished: 9, maxFailedIndexes: 1}}`, nil},
	} {
		t.Run(c.patch, func(t *testing.T) {
			_, errs := kindtest.Update(t, batch.Job(), kindtest.Created(t, batch.Job(), job, was), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestSchedulingOfJobsIsOff(t *testing.T) {
	const scheduling = `{spec: {scheduling: {schedulingPolicy: {basic: {}}}}}`
	if j := kindtest.Created(t, batch.Job(), job, scheduling).(*batchv1.Job); j.Spec.Scheduling != nil {
		t.Error("a job has the field of a feature that is off")
	}
	c := kindtest.Created(t, batch.CronJob(), cronJob, `{spec: {jobTemplate: `+scheduling+`}}`).(*batchv1.CronJob)
	if c.Spec.JobTemplate.Spec.Scheduling != nil {
		t.Error("a cron job has the field of a feature that is off")
	}
}

func TestCronJobUpdate(t *testing.T) {
	k := batch.CronJob()
	const zone = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
	for _, c := range []struct {
		was, patch string
		want       []string
	}{
		{`{spec: {schedule: "TZ=UTC 0 * * * *"}}`, `{spec: {schedule: "TZ=UTC 1 * * * *"}}`, nil},
		{`{spec: {schedule: "TZ=UTC 0 * * * *"}}`, `{spec: {timeZone: Etc/UTC}}`, []string{`spec.schedule: Invalid value: "TZ=UTC 0 * * * *": ` + zone}},
		{`{}`, `{spec: {schedule: "TZ=UTC 0 * * * *"}}`, []string{`spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`}},
		{`{spec: {timeZone: Gone/Zone}}`, `{spec: {suspend: true}}`, nil},
		{`{}`, `{spec: {timeZone: Gone/Zone}}`, []string{`spec.timeZone: Invalid value: "Gone/Zone": unknown time zone Gone/Zone`}},
		{`{}`, `{spec: {timeZone: ../UTC}}`, []string{`spec.timeZone: Invalid value: "../UTC": unknown time zone ../UTC`}},
		{`{metadata: {name: a123456789-123456789-123456789-123456789-123456789-123}}`, `{spec: {suspend: true}}`, nil},
	} {
		t.Run(c.was+c.patch, func(t *testing.T) {
			_, errs := kindtest.Update(t, k, kindtest.Created(t, k, cronJob, c.was), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestWarnings(t *testing.T) {
	const dns = "metadata.name: this is used in Pod names and hostnames"
	const huge = `completionMode: Indexed, completions: 100001, parallelism: 10001`
	const lost = ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
	k := batch.Job()
	j := kindtest.Created(t, k, job, `{metadata: {name: a.b}, spec: {`+huge+`}}`)
	kindtest.CheckTexts(t, k.Warnings(j), dns, "spec"+lost)
	next, _ := kindtest.Update(t, k, j, `{spec: {suspend: true}}`)
	kindtest.CheckTexts(t, k.WarningsForUpdate(next, j), "spec"+lost)
	kindtest.CheckTexts(t, k.WarningsForUpdate(j, j))

	k = batch.CronJob()
	c := kindtest.Created(t, k, cronJob, `{metadata: {name: a.b}, spec: {schedule: "TZ=UTC 0 * * * *", jobTemplate: {spec: {`+huge+`, template: {spec: {nodeSelector: {beta.kubernetes.io/arch: amd64}}}}}}}`)
	label := `spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead`
	kindtest.CheckTexts(t, k.Warnings(c), dns, "spec.jobTemplate.spec"+lost, label)
	kindtest.CheckTexts(t, k.WarningsForUpdate(c, c), "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead")
}
