package admit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	resourcehelper "k8s.io/component-helpers/resource"

	"sampan/kind"
	"sampan/kind/quota"
	"sampan/view"
)

const limitRangerAnnotation = "kubernetes.io/limit-ranger"

// LimitRangeDefaults gives the containers of a new pod the requests and limits that the LimitRanges of its
// namespace name as default, where the pod says nothing.
func LimitRangeDefaults(req *Request, snap *view.Snapshot) error {
	pod := podOf(req)
	if pod == nil || req.Verb != Create {
		return nil
	}
	for r := range view.All[*corev1.LimitRange](snap, kind.LimitRanges, req.Namespace) {
		requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
		for _, item := range r.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			for name, q := range item.DefaultRequest {
				requests[name] = q
			}
			for name, q := range item.Default {
				limits[name] = q
			}
		}
		var did []string
		for i := range pod.Spec.Containers {
			did = append(did, fillResources(&pod.Spec.Containers[i], "container", requests, limits)...)
		}
		for i := range pod.Spec.InitContainers {
			did = append(did, fillResources(&pod.Spec.InitContainers[i], "init container", requests, limits)...)
		}
		if len(did) > 0 {
			if pod.Annotations == nil {
				pod.Annotations = map[string]string{}
			}
			pod.Annotations[limitRangerAnnotation] = "LimitRanger plugin set: " + strings.Join(did, "; ")
		}
	}
	return nil
}

// fillResources sets what a container lacks, and says what it set.
func fillResources(c *corev1.Container, what string, requests, limits corev1.ResourceList) (did []string) {
	fill := func(have *corev1.ResourceList, from corev1.ResourceList, word string) {
		var names []string
		for _, name := range quota.Names(from) {
			if _, ok := (*have)[name]; ok {
				continue
			}
			if *have == nil {
				*have = corev1.ResourceList{}
			}
			(*have)[name] = from[name].DeepCopy()
			names = append(names, string(name))
		}
		if len(names) > 0 {
			did = append(did, fmt.Sprintf("%s %s for %s %s", strings.Join(names, ", "), word, what, c.Name))
		}
	}
	fill(&c.Resources.Requests, requests, "request")
	fill(&c.Resources.Limits, limits, "limit")
	return did
}

// LimitRange refuses pods and claims outside of what the LimitRanges of their namespace allow. A pod's resources
// change by its resize subresource only.
func LimitRange(req *Request, snap *view.Snapshot) error {
	if req.Verb == Delete || req.Object == nil {
		return nil
	}
	var check func(item *corev1.LimitRangeItem) []error
	switch obj := req.Object.(type) {
	case *corev1.Pod:
		if !(req.Verb == Create && req.Subresource == "" || req.Verb == Update && req.Subresource == "resize") {
			return nil
		}
		check = func(item *corev1.LimitRangeItem) []error { return podLimits(obj, item) }
	case *corev1.PersistentVolumeClaim:
		if req.Subresource != "" {
			return nil
		}
		check = func(item *corev1.LimitRangeItem) []error { return claimLimits(obj, item) }
	default:
		return nil
	}
	if req.Verb == Update && req.Object.GetDeletionTimestamp() != nil {
		return nil
	}
	for r := range view.All[*corev1.LimitRange](snap, kind.LimitRanges, req.Namespace) {
		var errs []error
		for i := range r.Spec.Limits {
			errs = append(errs, check(&r.Spec.Limits[i])...)
		}
		if err := utilerrors.NewAggregate(errs); err != nil {
			return forbidden(req, "%w", err)
		}
	}
	return nil
}

func podLimits(pod *corev1.Pod, item *corev1.LimitRangeItem) (errs []error) {
	switch item.Type {
	case corev1.LimitTypeContainer:
		for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
			errs = append(errs, within(item, c.Resources.Requests, c.Resources.Limits)...)
		}
	case corev1.LimitTypePod:
		opts := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
		errs = within(item, resourcehelper.PodRequests(pod, opts), resourcehelper.PodLimits(pod, opts))
	}
	return errs
}

func within(item *corev1.LimitRangeItem, requests, limits corev1.ResourceList) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range quota.Names(item.Min) {
		add(atLeast(item.Type, name, item.Min[name], requests, limits))
	}
	for _, name := range quota.Names(item.Max) {
		add(atMost(item.Type, name, item.Max[name], requests, limits))
	}
	for _, name := range quota.Names(item.MaxLimitRequestRatio) {
		add(ratio(item.Type, name, item.MaxLimitRequestRatio[name], requests, limits))
	}
	return errs
}

func claimLimits(claim *corev1.PersistentVolumeClaim, item *corev1.LimitRangeItem) (errs []error) {
	if item.Type != corev1.LimitTypePersistentVolumeClaim {
		return nil
	}
	requests := claim.Spec.Resources.Requests
	for _, name := range quota.Names(item.Min) {
		if err := atLeast(item.Type, name, item.Min[name], requests, nil); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range quota.Names(item.Max) {
		most := item.Max[name]
		switch have, ok := requests[name]; {
		case !ok:
			errs = append(errs, fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", name, item.Type, most.String()))
		case have.Cmp(most) > 0:
			errs = append(errs, fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, item.Type, most.String(), have.String()))
		}
	}
	return errs
}

func atLeast(kind corev1.LimitType, name corev1.ResourceName, least resource.Quantity, requests, limits corev1.ResourceList) error {
	request, asked := requests[name]
	limit, limited := limits[name]
	text := fmt.Sprintf("minimum %s usage per %s is %s", name, kind, least.String())
	switch {
	case !asked:
		return errors.New(text + ".  No request is specified")
	case request.Cmp(least) < 0:
		return errors.New(text + ", but request is " + request.String())
	case limited && limit.Cmp(least) < 0:
		return errors.New(text + ", but limit is " + limit.String())
	}
	return nil
}

func atMost(kind corev1.LimitType, name corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) error {
	request, asked := requests[name]
	limit, limited := limits[name]
	text := fmt.Sprintf("maximum %s usage per %s is %s", name, kind, most.String())
	switch {
	case !limited:
		return errors.New(text + ".  No limit is specified")
	case limit.Cmp(most) > 0:
		return errors.New(text + ", but limit is " + limit.String())
	case asked && request.Cmp(most) > 0:
		return errors.New(text + ", but request is " + request.String())
	}
	return nil
}

func ratio(kind corev1.LimitType, name corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) error {
	request, limit := requests[name], limits[name]
	text := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, kind, most.String())
	switch {
	case request.IsZero():
		return errors.New(text + ", but no request is specified or request is 0")
	case limit.IsZero():
		return errors.New(text + ", but no limit is specified or limit is 0")
	}
	if have := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); have > most.AsApproximateFloat64() {
		return fmt.Errorf("%s, but provided ratio is %f", text, have)
	}
	return nil
}
