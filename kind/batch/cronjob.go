package batch

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// CronJob returns the kind CronJob.
func CronJob() *kind.Kind {
	return core.GatePods(kind.Typed[*batchv1.CronJob]{
		ID: kind.CronJobs, Version: batchv1.SchemeGroupVersion, Name: "CronJob", Singular: "cronjob",
		ShortNames: []string{"cj"}, Categories: []string{"all"},
		New:     func() *batchv1.CronJob { return new(batchv1.CronJob) },
		NewList: func() runtime.Object { return new(batchv1.CronJobList) },

		Default: defaultCronJob,
		Counted: func(c *batchv1.CronJob) any { return &c.Spec },
		PrepareCreate: func(c *batchv1.CronJob) {
			c.Status = batchv1.CronJobStatus{}
			dropDisabled(&c.Spec.JobTemplate.Spec, nil)
		},
		PrepareUpdate: func(c, old *batchv1.CronJob) {
			c.Status = *old.Status.DeepCopy()
			dropDisabled(&c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
		},

		Validate:       validateCronJob,
		ValidateUpdate: validateCronJobUpdate,
		Warnings: func(c *batchv1.CronJob) []string {
			return append(core.HostNameWarnings(c.Name), cronJobWarnings(c)...)
		},
		UpdateWarnings: func(c, old *batchv1.CronJob) []string {
			var warnings []string
			if c.Generation != old.Generation {
				warnings = cronJobWarnings(c)
			}
			if strings.Contains(c.Spec.Schedule, "TZ") {
				warnings = append(warnings, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "+
					"see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
			}
			return warnings
		},

		PrepareStatus: func(c, old *batchv1.CronJob) { c.Spec = *old.Spec.DeepCopy() },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Schedule", "string", "When jobs are made, in cron's form."),
			kind.Column("Timezone", "string", "Time zone of the schedule."),
			kind.Column("Suspend", "boolean", "Whether no jobs are made for now."),
			kind.Column("Active", "integer", "Jobs that run."),
			kind.Column("Last Schedule", "string", "Time since a job was made."),
			kind.AgeColumn(),
			kind.WideColumn("Containers", "string", "Names of the containers in the pod template."),
			kind.WideColumn("Images", "string", "Images of the containers in the pod template."),
			kind.WideColumn("Selector", "string", "Labels that a pod must have to belong to a job."),
		},
		Row: cronJobRow,
	}, field.NewPath("spec", "jobTemplate", "spec", "template", "spec"), func(c *batchv1.CronJob) *corev1.PodSpec { return &c.Spec.JobTemplate.Spec.Template.Spec }).Kind()
}

func defaultCronJob(c *batchv1.CronJob) {
	spec := &c.Spec
	core.DefaultPodTemplate(&spec.JobTemplate.Spec.Template)
	defaultFailurePolicy(spec.JobTemplate.Spec.PodFailurePolicy)
	if spec.ConcurrencyPolicy == "" {
		spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	if spec.Suspend == nil {
		spec.Suspend = new(false)
	}
	if spec.SuccessfulJobsHistoryLimit == nil {
		spec.SuccessfulJobsHistoryLimit = new(int32(3))
	}
	if spec.FailedJobsHistoryLimit == nil {
		spec.FailedJobsHistoryLimit = new(int32(1))
	}
}

func cronJobRow(c *batchv1.CronJob, now time.Time) []any {
	spec := &c.Spec
	last, zone, suspend := "<none>", "<none>", "<unset>"
	if t := c.Status.LastScheduleTime; t != nil {
		last = kind.Since(*t, now)
	}
	if spec.TimeZone != nil {
		zone = *spec.TimeZone
	}
	if spec.Suspend != nil {
		suspend = "False"
		if *spec.Suspend {
			suspend = "True"
		}
	}
	names, images := core.ContainerCells(&spec.JobTemplate.Spec.Template.Spec)
	return []any{c.Name, spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, kind.Age(c, now),
		names, images, metav1.FormatLabelSelector(spec.JobTemplate.Spec.Selector)}
}
