package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

// validateJobStatus holds whoever runs a job to what its users rely on: a job that has ended stays so, and its end was
// announced before (KEP-4368). Most rules look at what changed only, because the spec may have changed under an old status.
func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	path := field.NewPath("status")
	errs := validateJobCounts(&j.Status, path)
	errs = append(errs, validateJobEnd(j, old, path)...)
	errs = append(errs, validateFinishedJob(j, old, path)...)
	errs = append(errs, validateJobTimes(j, old, path)...)
	errs = append(errs, validateIndexLists(j, old, path)...)
	return append(errs, validateJobProgress(j, old, path)...)
}

func validateJobCounts(s *batchv1.JobStatus, path *field.Path) field.ErrorList {
	errs := core.NonNegative(path.Child("active"), &s.Active)
	errs = append(errs, core.NonNegative(path.Child("succeeded"), &s.Succeeded)...)
	errs = append(errs, core.NonNegative(path.Child("failed"), &s.Failed)...)
	errs = append(errs, core.NonNegative(path.Child("ready"), s.Ready)...)
	errs = append(errs, core.NonNegative(path.Child("terminating"), s.Terminating)...)
	if u := s.UncountedTerminatedPods; u != nil {
		seen := sets.New[string]()
		for i, id := range u.Succeeded {
			errs = append(errs, uncounted(path.Child("uncountedTerminatedPods", "succeeded").Index(i), string(id), seen)...)
		}
		for i, id := range u.Failed {
			errs = append(errs, uncounted(path.Child("uncountedTerminatedPods", "failed").Index(i), string(id), seen)...)
		}
	}
	return errs
}

func uncounted(path *field.Path, id string, seen sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	if id == "" {
		return field.ErrorList{field.Invalid(path, id, "must not be empty")}
	}
	if seen.Has(id) {
		errs = append(errs, field.Duplicate(path, id))
	}
	seen.Insert(id)
	return errs
}

// validateJobEnd checks the conditions that tell of a job's end.
func validateJobEnd(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	refuse := func(format string, args ...any) {
		errs = append(errs, field.Invalid(path.Child("conditions"), field.OmitValueType{}, fmt.Sprintf(format, args...)))
	}
	changed := func(t batchv1.JobConditionType) bool { return hasCondition(j, t) != hasCondition(old, t) }
	complete, failed := hasCondition(j, batchv1.JobComplete), hasCondition(j, batchv1.JobFailed)
	met, target := hasCondition(j, batchv1.JobSuccessCriteriaMet), hasCondition(j, batchv1.JobFailureTarget)

	if complete && failed && (changed(batchv1.JobComplete) || changed(batchv1.JobFailed)) {
		refuse("cannot set Complete=True and Failed=true conditions")
	}
	if complete && target && (changed(batchv1.JobComplete) || changed(batchv1.JobFailureTarget)) {
		refuse("cannot set Complete=True and FailureTarget=true conditions")
	}
	if failed && !target && (changed(batchv1.JobFailed) || failedIndexesChanged(j, old)) {
		refuse("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if complete && !met && (changed(batchv1.JobComplete) || changed(batchv1.JobSuccessCriteriaMet)) {
		refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
	if met && failed {
		refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions")
	}
	if met && target {
		refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	}
	if j.Spec.SuccessPolicy != nil && !met && complete {
		refuse("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if hasCondition(old, t) && !hasCondition(j, t) {
			refuse("cannot disable the terminal %s=True condition", t)
		}
	}
	if hasCondition(old, batchv1.JobSuccessCriteriaMet) && !met {
		refuse("cannot disable the SuccessCriteriaMet=True condition")
	}
	if hasCondition(old, batchv1.JobComplete) && !hasCondition(old, batchv1.JobSuccessCriteriaMet) && met {
		refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	}
	return errs
}

func finished(j *batchv1.Job) bool {
	return hasCondition(j, batchv1.JobComplete) || hasCondition(j, batchv1.JobFailed)
}

// validateFinishedJob checks that nothing of an ended job goes on.
func validateFinishedJob(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	if !finished(j) {
		return nil
	}
	var errs field.ErrorList
	s, was, ends := &j.Status, &old.Status, !finished(old)
	if s.Active > 0 && (ends || s.Active != was.Active) {
		errs = append(errs, field.Invalid(path.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if n := s.Terminating; n != nil && *n > 0 && (ends || !equality.Semantic.DeepEqual(n, was.Terminating)) {
		errs = append(errs, field.Invalid(path.Child("terminating"), *n, "terminating>0 is invalid for finished job"))
	}
	if u := s.UncountedTerminatedPods; u != nil && len(u.Failed)+len(u.Succeeded) > 0 &&
		(ends || !equality.Semantic.DeepEqual(u, was.UncountedTerminatedPods)) {
		errs = append(errs, field.Invalid(path.Child("uncountedTerminatedPods"), u, "must be empty for finished job"))
	}
	neverStarts := j.Spec.Suspend != nil && *j.Spec.Suspend && j.Spec.Completions != nil && *j.Spec.Completions == 0
	if s.StartTime == nil && (ends || was.StartTime != nil) && !neverStarts {
		errs = append(errs, field.Required(path.Child("startTime"), "startTime is required for finished job"))
	}
	return errs
}

// validateJobTimes checks when a job began and was completed.
func validateJobTimes(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	started, ended := path.Child("startTime"), path.Child("completionTime")
	startChanged, endChanged := !s.StartTime.Equal(was.StartTime), !s.CompletionTime.Equal(was.CompletionTime)
	complete := hasCondition(j, batchv1.JobComplete)
	completeChanged := complete != hasCondition(old, batchv1.JobComplete)
	if completeChanged || endChanged {
		switch {
		case s.CompletionTime != nil && !complete:
			errs = append(errs, field.Invalid(ended, s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
		case s.CompletionTime == nil && complete:
			errs = append(errs, field.Required(ended, "completionTime is required for Complete jobs"))
		}
	}
	if (startChanged || endChanged) && s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) {
		errs = append(errs, field.Invalid(ended, s.CompletionTime, "must be equal to or after `startTime`"))
	}
	if endChanged && s.CompletionTime != nil && was.CompletionTime != nil {
		errs = append(errs, field.Invalid(ended, s.CompletionTime, "field is immutable"))
	}
	suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
	// The spec says already that the job goes on when the status still tells of the suspension.
	resumes := hasCondition(old, batchv1.JobSuspended) && saysNot(j, batchv1.JobSuspended)
	if startChanged && was.StartTime != nil && !suspended && !resumes {
		errs = append(errs, field.Invalid(started, s.StartTime, "field is immutable for unsuspended job once set"))
	}
	return errs
}

// validateJobProgress checks that what was counted stays counted.
func validateJobProgress(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, was := &j.Status, &old.Status
	if s.Failed < was.Failed {
		errs = append(errs, field.Invalid(path.Child("failed"), s.Failed, "cannot decrease the failed counter"))
	}
	// An indexed job with as many pods as indexes can be made smaller.
	elastic := indexed(&j.Spec) && equality.Semantic.DeepEqual(j.Spec.Completions, j.Spec.Parallelism)
	if s.Succeeded < was.Succeeded && !elastic {
		errs = append(errs, field.Invalid(path.Child("succeeded"), s.Succeeded, "cannot decrease the succeeded counter"))
	}
	if s.Ready != nil && *s.Ready > s.Active && (s.Active != was.Active || !equality.Semantic.DeepEqual(s.Ready, was.Ready)) {
		errs = append(errs, field.Invalid(path.Child("ready"), *s.Ready, "cannot set more ready pods than active"))
	}
	return errs
}

func failedIndexesChanged(j, old *batchv1.Job) bool {
	return !equality.Semantic.DeepEqual(j.Status.FailedIndexes, old.Status.FailedIndexes)
}

// validateIndexLists checks the lists of indexes that succeeded and failed.
func validateIndexLists(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	s, spec := &j.Status, &j.Spec
	succeeded, failed := path.Child("completedIndexes"), path.Child("failedIndexes")
	succeededChanged, failedChanged := s.CompletedIndexes != old.Status.CompletedIndexes, failedIndexesChanged(j, old)
	if succeededChanged {
		if spec.Completions != nil {
			if _, err := countIndexes(s.CompletedIndexes, *spec.Completions); err != nil {
				errs = append(errs, field.Invalid(succeeded, s.CompletedIndexes, fmt.Sprintf("error parsing completedIndexes: %s", err)))
			}
		}
		if s.CompletedIndexes != "" && !indexed(spec) {
			errs = append(errs, field.Invalid(succeeded, s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"))
		}
	}
	if s.FailedIndexes == nil || !succeededChanged && !failedChanged {
		return errs
	}
	if failedChanged {
		if spec.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Invalid(failed, *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
		} else if spec.Completions != nil {
			if _, err := countIndexes(*s.FailedIndexes, *spec.Completions); err != nil {
				errs = append(errs, field.Invalid(failed, *s.FailedIndexes, fmt.Sprintf("error parsing failedIndexes: %s", err)))
			}
		}
	}
	if spec.Completions != nil {
		if index, both := sharedIndex(s.CompletedIndexes, *s.FailedIndexes, *spec.Completions); both {
			errs = append(errs, field.Invalid(failed, *s.FailedIndexes, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", index)))
		}
	}
	return errs
}
