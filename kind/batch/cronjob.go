package batch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// maxCronJobName leaves room for what is put behind the name to make those of jobs: their host names are labels.
const maxCronJobName = 52

// CronJob returns the kind CronJob.
func CronJob() *kind.Kind {
	return kind.Typed[*batchv1.CronJob]{
		ID: kind.CronJobs, Version: batchv1.SchemeGroupVersion, Name: "CronJob", Singular: "cronjob",
		ShortNames: []string{"cj"}, Categories: []string{"all"},
		New:     func() *batchv1.CronJob { return new(batchv1.CronJob) },
		NewList: func() runtime.Object { return new(batchv1.CronJobList) },

		Default:       defaultCronJob,
		Counted:       func(c *batchv1.CronJob) any { return &c.Spec },
		PrepareCreate: func(c *batchv1.CronJob) { c.Status = batchv1.CronJobStatus{} },
		PrepareUpdate: func(c, old *batchv1.CronJob) { c.Status = *old.Status.DeepCopy() },

		Validate: func(c *batchv1.CronJob) field.ErrorList {
			errs := validateCronJob(c)
			if len(c.Name) > maxCronJobName {
				errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", maxCronJobName)))
			}
			return errs
		},
		ValidateUpdate: func(c, _ *batchv1.CronJob) field.ErrorList { return validateCronJob(c) },
		Warnings: func(c *batchv1.CronJob) []string {
			return core.PodTemplateWarnings(&c.Spec.JobTemplate.Spec.Template, field.NewPath("spec", "jobTemplate", "spec", "template"))
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
	}.Kind()
}

func defaultCronJob(c *batchv1.CronJob) {
	spec := &c.Spec
	core.DefaultPodTemplate(&spec.JobTemplate.Spec.Template)
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

// ParseSchedule reads a schedule in cron's form. A time zone in it is refused: it has a field of its own.
func ParseSchedule(text string) (cron.Schedule, error) {
	if strings.Contains(text, "TZ") {
		return nil, errors.New("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
	}
	return cron.ParseStandard(text)
}

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	path, spec := field.NewPath("spec"), &c.Spec
	var errs field.ErrorList
	if spec.Schedule == "" {
		errs = append(errs, field.Required(path.Child("schedule"), ""))
	} else if _, err := ParseSchedule(spec.Schedule); err != nil {
		errs = append(errs, field.Invalid(path.Child("schedule"), spec.Schedule, err.Error()))
	}
	errs = append(errs, validateZone(spec.TimeZone, path.Child("timeZone"))...)
	errs = append(errs, core.NonNegative(path.Child("startingDeadlineSeconds"), spec.StartingDeadlineSeconds)...)
	errs = append(errs, core.OneOf(path.Child("concurrencyPolicy"), spec.ConcurrencyPolicy,
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	job, at := &spec.JobTemplate.Spec, path.Child("jobTemplate", "spec")
	errs = append(errs, validateJobParts(job, at)...)
	if job.ManualSelector != nil && *job.ManualSelector {
		errs = append(errs, field.NotSupported(at.Child("manualSelector"), *job.ManualSelector, []string{"nil", "false"}))
	} else if job.Selector != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), job.Selector, "`selector` will be auto-generated"))
	}
	errs = append(errs, core.NonNegative(path.Child("successfulJobsHistoryLimit"), spec.SuccessfulJobsHistoryLimit)...)
	return append(errs, core.NonNegative(path.Child("failedJobsHistoryLimit"), spec.FailedJobsHistoryLimit)...)
}

func validateZone(zone *string, path *field.Path) field.ErrorList {
	switch {
	case zone == nil:
		return nil
	case *zone == "":
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be nil or non-empty string")}
	case strings.EqualFold(*zone, "Local"):
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")}
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		return field.ErrorList{field.Invalid(path, zone, err.Error())}
	}
	return nil
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
