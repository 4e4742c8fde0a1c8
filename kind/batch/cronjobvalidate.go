package batch

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

// maxCronJobName leaves room for what is put behind the name to make those of jobs: their host names are labels.
const maxCronJobName = 52

// ParseSchedule reads a schedule in cron's form, with the parser that upstream has: which schedules there are, and when they
// are due, is not the same to any two parsers.
func ParseSchedule(text string) (cron.Schedule, error) {
	// The parser panics if nothing follows a time zone.
	if (strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=")) && !strings.Contains(text, " ") {
		return nil, fmt.Errorf("no fields after the time zone: %s", text)
	}
	return cron.ParseStandard(text)
}

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateCronJobSpec(&c.Spec, path)
	errs = append(errs, validateZone(c.Spec.TimeZone, path.Child("timeZone"))...)
	if strings.Contains(c.Spec.Schedule, "TZ") {
		errs = append(errs, field.Invalid(path.Child("schedule"), c.Spec.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	}
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", maxCronJobName)))
	}
	return errs
}

// validateCronJobUpdate bears with what older clusters allowed, as long as it stays: a zone in the schedule, a zone that
// is known no more, a long name.
func validateCronJobUpdate(c, old *batchv1.CronJob) field.ErrorList {
	path, spec := field.NewPath("spec"), &c.Spec
	errs := validateCronJobSpec(spec, path)
	if !equality.Semantic.DeepEqual(spec.TimeZone, old.Spec.TimeZone) {
		errs = append(errs, validateZone(spec.TimeZone, path.Child("timeZone"))...)
	}
	if strings.Contains(spec.Schedule, "TZ") {
		switch {
		case !strings.Contains(old.Spec.Schedule, "TZ"):
			errs = append(errs, field.Invalid(path.Child("schedule"), spec.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
		case spec.TimeZone != nil:
			errs = append(errs, field.Invalid(path.Child("schedule"), spec.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
		}
	}
	return errs
}

// validateCronJobSpec checks what holds for new and for changed cron jobs.
func validateCronJobSpec(spec *batchv1.CronJobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Schedule == "" {
		errs = append(errs, field.Required(path.Child("schedule"), ""))
	} else if _, err := ParseSchedule(spec.Schedule); err != nil {
		errs = append(errs, field.Invalid(path.Child("schedule"), spec.Schedule, err.Error()))
	}
	errs = append(errs, core.NonNegative(path.Child("startingDeadlineSeconds"), spec.StartingDeadlineSeconds)...)
	errs = append(errs, core.OneOf(path.Child("concurrencyPolicy"), spec.ConcurrencyPolicy,
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	job, at := &spec.JobTemplate.Spec, path.Child("jobTemplate", "spec")
	errs = append(errs, validateJobParts(job, at)...)
	if job.Selector != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), job.Selector, "`selector` will be auto-generated"))
	}
	if job.ManualSelector != nil && *job.ManualSelector {
		errs = append(errs, field.NotSupported(at.Child("manualSelector"), *job.ManualSelector, []string{"nil", "false"}))
	}
	errs = append(errs, core.NonNegative(path.Child("successfulJobsHistoryLimit"), spec.SuccessfulJobsHistoryLimit)...)
	return append(errs, core.NonNegative(path.Child("failedJobsHistoryLimit"), spec.FailedJobsHistoryLimit)...)
}

// validateZone checks the name of a time zone (https://data.iana.org/time-zones/theory.html#naming).
func validateZone(zone *string, path *field.Path) field.ErrorList {
	switch {
	case zone == nil:
		return nil
	case *zone == "":
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be nil or non-empty string")}
	}
	component := regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)
	for part := range strings.SplitSeq(*zone, "/") {
		if part == "." || part == ".." || !component.MatchString(part) {
			return field.ErrorList{field.Invalid(path, zone, "unknown time zone "+*zone)}
		}
	}
	var errs field.ErrorList
	if strings.EqualFold(*zone, "Local") {
		errs = append(errs, field.Invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		errs = append(errs, field.Invalid(path, zone, err.Error()))
	}
	return errs
}

func cronJobWarnings(c *batchv1.CronJob) []string {
	return jobWarnings(&c.Spec.JobTemplate.Spec, field.NewPath("spec", "jobTemplate", "spec"))
}
