package batch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// Job returns the kind Job.
func Job() *kind.Kind {
	return core.GatePods(kind.Typed[*batchv1.Job]{
		ID: kind.Jobs, Version: batchv1.SchemeGroupVersion, Name: "Job", Singular: "job",
		Categories: []string{"all"},
		New:        func() *batchv1.Job { return new(batchv1.Job) },
		NewList:    func() runtime.Object { return new(batchv1.JobList) },

		Default: defaultJob,
		Counted: func(j *batchv1.Job) any { return &j.Spec },
		PrepareCreate: func(j *batchv1.Job) {
			j.Status = batchv1.JobStatus{}
			dropDisabled(&j.Spec, nil)
			generateSelector(j)
		},
		PrepareUpdate: func(j, old *batchv1.Job) {
			j.Status = *old.Status.DeepCopy()
			dropDisabled(&j.Spec, &old.Spec)
		},

		Validate:       validateJob,
		ValidateUpdate: validateJobUpdate,
		Warnings: func(j *batchv1.Job) []string {
			return append(core.HostNameWarnings(j.Name), jobWarnings(&j.Spec, field.NewPath("spec"))...)
		},
		UpdateWarnings: func(j, old *batchv1.Job) []string {
			if j.Generation == old.Generation {
				return nil
			}
			return jobWarnings(&j.Spec, field.NewPath("spec"))
		},

		PrepareStatus:  func(j, old *batchv1.Job) { j.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateJobStatus,

		OrphanByDefault: true,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Status", "string", "Whether it runs, waits or has ended, and how."),
			kind.Column("Completions", "string", "Pods that succeeded, of those wanted."),
			kind.Column("Duration", "string", "Time that it took or takes."),
			kind.AgeColumn(),
			kind.WideColumn("Containers", "string", "Names of the containers in the pod template."),
			kind.WideColumn("Images", "string", "Images of the containers in the pod template."),
			kind.WideColumn("Selector", "string", "Labels that a pod must have to belong to this object."),
		},
		Row: jobRow,
		Fields: func(j *batchv1.Job) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
		},
	}, field.NewPath("spec", "template", "spec"), func(j *batchv1.Job) *corev1.PodSpec { return &j.Spec.Template.Spec }).Kind()
}

// dropDisabled removes what only works with features that are off (upstream's WorkloadWithJob), unless it is in use.
func dropDisabled(spec, old *batchv1.JobSpec) {
	if old == nil || old.Scheduling == nil {
		spec.Scheduling = nil
	}
}

// jobWarnings are what is allowed in the spec of a job at path but hardly meant.
func jobWarnings(spec *batchv1.JobSpec, path *field.Path) []string {
	var warnings []string
	if indexed(spec) && spec.Completions != nil && *spec.Completions > maxIndexedParallelism && spec.Parallelism != nil && *spec.Parallelism > maxFailedForMany {
		warnings = append(warnings, path.String()+": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "+
			"Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	return append(warnings, core.PodTemplateWarnings(&spec.Template, path.Child("template"))...)
}

func defaultJob(j *batchv1.Job) {
	spec := &j.Spec
	core.DefaultPodTemplate(&spec.Template)
	if spec.Completions == nil && spec.Parallelism == nil {
		spec.Completions = new(int32(1))
	}
	if spec.Parallelism == nil {
		spec.Parallelism = new(int32(1))
	}
	if spec.BackoffLimit == nil {
		spec.BackoffLimit = new(int32(6))
		if spec.BackoffLimitPerIndex != nil {
			spec.BackoffLimit = new(int32(math.MaxInt32))
		}
	}
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(spec.Template.Labels)
	}
	if spec.CompletionMode == nil {
		spec.CompletionMode = new(batchv1.NonIndexedCompletion)
	}
	if spec.Suspend == nil {
		spec.Suspend = new(false)
	}
	defaultFailurePolicy(spec.PodFailurePolicy)
	if spec.PodReplacementPolicy == nil {
		spec.PodReplacementPolicy = new(batchv1.TerminatingOrFailed)
		if spec.PodFailurePolicy != nil {
			spec.PodReplacementPolicy = new(batchv1.Failed)
		}
	}
	if spec.ManualSelector == nil {
		spec.ManualSelector = new(false)
	}
}

func defaultFailurePolicy(p *batchv1.PodFailurePolicy) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for j := range p.Rules[i].OnPodConditions {
			if c := &p.Rules[i].OnPodConditions[j]; c.Status == "" {
				c.Status = corev1.ConditionTrue
			}
		}
	}
}

// The labels that say which job a pod belongs to, with and without the domain that they were given later.
const (
	legacyUID  = "controller-uid"
	legacyName = "job-name"
)

// generateSelector makes the job select its own pods by its UID, unless the writer chose a selector. What the writer
// set to something else is left, and refused by validation.
func generateSelector(j *batchv1.Job) {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	t := &j.Spec.Template
	if t.Labels == nil {
		t.Labels = make(map[string]string, 4)
	}
	// A label that is there already with the UID was set here, for a generated name that turned out to be taken.
	again := j.UID != "" && t.Labels[batchv1.ControllerUidLabel] == string(j.UID)
	for key, value := range map[string]string{
		legacyUID: string(j.UID), batchv1.ControllerUidLabel: string(j.UID), legacyName: j.Name, batchv1.JobNameLabel: j.Name,
	} {
		if _, set := t.Labels[key]; !set || again {
			t.Labels[key] = value
		}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = make(map[string]string, 1)
	}
	if _, set := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !set {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
}

func jobRow(j *batchv1.Job, now time.Time) []any {
	names, images := core.ContainerCells(&j.Spec.Template.Spec)
	return []any{j.Name, jobState(j), jobCompletions(j), jobDuration(j, now), kind.Age(j, now),
		names, images, metav1.FormatLabelSelector(j.Spec.Selector)}
}

func jobState(j *batchv1.Job) string {
	switch {
	case hasCondition(j, batchv1.JobComplete):
		return "Complete"
	case hasCondition(j, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case hasCondition(j, batchv1.JobSuspended):
		return "Suspended"
	case hasCondition(j, batchv1.JobFailureTarget):
		return "FailureTarget"
	case hasCondition(j, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func hasCondition(j *batchv1.Job, t batchv1.JobConditionType) bool {
	return saysOf(j, t, corev1.ConditionTrue)
}

// saysNot says whether the job has a condition and denies it.
func saysNot(j *batchv1.Job, t batchv1.JobConditionType) bool {
	return saysOf(j, t, corev1.ConditionFalse)
}

func saysOf(j *batchv1.Job, t batchv1.JobConditionType, status corev1.ConditionStatus) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == t && c.Status == status })
}

func jobCompletions(j *batchv1.Job) string {
	if n := j.Spec.Completions; n != nil {
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *n)
	}
	if n := j.Spec.Parallelism; n != nil && *n > 1 {
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, *n)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job, now time.Time) string {
	switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
	case start == nil:
		return ""
	case end == nil:
		return duration.HumanDuration(now.Sub(start.Time))
	default:
		return duration.HumanDuration(end.Sub(start.Time))
	}
}
