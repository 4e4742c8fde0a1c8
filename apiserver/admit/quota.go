package admit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"sampan/kind"
	"sampan/kind/quota"
	"sampan/view"
)

// ChargeQuotas returns the resource quotas of the request's namespace as they are once the request is carried out:
// copies with a raised status.used, of those only that the request uses more of. It refuses what exceeds a quota.
//
// It is no [Step], because the caller must write the charged quotas in the transaction that writes the object, each
// on condition that it still has the resourceVersion that snap shows; so no two writers can use the same rest of
// a quota. On a conflict the caller asks again with a newer snapshot.
func ChargeQuotas(req *Request, snap *view.Snapshot, now time.Time) ([]*corev1.ResourceQuota, error) {
	if req.Namespace == "" || req.Object == nil || snap.Len(kind.ResourceQuotas) == 0 || !Chargeable(req.Verb, req.Kind.ID, req.Subresource) {
		return nil, nil
	}
	var usage corev1.ResourceList // of the object, once it is needed
	var charged []*corev1.ResourceQuota
	for q := range view.All[*corev1.ResourceQuota](snap, kind.ResourceQuotas, req.Namespace) {
		tracked := trackedBy(q, req.Kind.ID)
		if len(tracked) == 0 || !quota.Selects(q, req.Object) {
			continue
		}
		if err := specified(req, q, tracked); err != nil {
			return nil, err
		}
		if usage == nil {
			usage = quota.Usage(req.Kind.ID, req.Object, now)
		}
		delta := delta(usage, req, q, tracked, now)
		if len(delta) == 0 {
			continue
		}
		if err := fits(req, q, tracked, delta); err != nil {
			return nil, err
		}
		next := q.DeepCopy()
		for name, more := range delta {
			used := next.Status.Used[name]
			used.Add(more)
			next.Status.Used[name] = used
		}
		charged = append(charged, next)
	}
	return charged, nil
}

// Chargeable reports whether requests of a verb for a kind or its subresource can use more of a quota. What is deleted
// is given back by the controller that counts.
func Chargeable(verb string, id kind.ID, subresource string) bool {
	switch verb {
	case Create:
		return subresource == ""
	case Update:
		switch id {
		case kind.Services, kind.PersistentVolumeClaims:
			return subresource == ""
		case kind.Pods:
			return subresource == "resize"
		}
	}
	return false
}

// trackedBy returns the names of a quota's limits that count a kind, ordered. Limits are those that the quota
// controller has taken up in the status.
func trackedBy(q *corev1.ResourceQuota, id kind.ID) []corev1.ResourceName {
	return slices.DeleteFunc(quota.Names(q.Status.Hard), func(name corev1.ResourceName) bool { return !quota.Tracks(id, name) })
}

// specified refuses a pod whose containers do not say what a quota must know.
func specified(req *Request, q *corev1.ResourceQuota, tracked []corev1.ResourceName) error {
	pod, ok := req.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	missing := quota.Unspecified(pod, tracked)
	if len(missing) == 0 {
		return nil
	}
	var parts []string
	for _, name := range tracked {
		if containers := missing[name]; len(containers) > 0 {
			parts = append(parts, fmt.Sprintf("%s for: %s", name, strings.Join(containers, ",")))
		}
	}
	return forbidden(req, "failed quota: %s: must specify %s", q.Name, strings.Join(parts, "; "))
}

// delta returns by how much a request raises or lowers the usage that a quota tracks, without zeros.
func delta(usage corev1.ResourceList, req *Request, q *corev1.ResourceQuota, tracked []corev1.ResourceName, now time.Time) corev1.ResourceList {
	var before corev1.ResourceList
	if req.Old != nil && quota.Selects(q, req.Old) {
		before = quota.Usage(req.Kind.ID, req.Old, now)
	}
	out := corev1.ResourceList{}
	for _, name := range tracked {
		more := usage[name].DeepCopy()
		more.Sub(before[name])
		if !more.IsZero() {
			out[name] = more
		}
	}
	return out
}

// fits refuses a request that uses more than is left of a quota.
func fits(req *Request, q *corev1.ResourceQuota, tracked []corev1.ResourceName, delta corev1.ResourceList) error {
	var unknown []string
	for _, name := range tracked {
		if _, ok := q.Status.Used[name]; !ok {
			unknown = append(unknown, string(name))
		}
	}
	if len(unknown) > 0 {
		return forbidden(req, "status unknown for quota: %s, resources: %s", q.Name, strings.Join(unknown, ","))
	}
	var requested, used, limited []string
	for _, name := range quota.Names(delta) {
		more, have, most := delta[name], q.Status.Used[name], q.Status.Hard[name]
		total := have.DeepCopy()
		total.Add(more)
		if more.Sign() > 0 && total.Cmp(most) > 0 {
			requested = append(requested, line(name, more))
			used = append(used, line(name, have))
			limited = append(limited, line(name, most))
		}
	}
	if len(requested) == 0 {
		return nil
	}
	return forbidden(req, "exceeded quota: %s, requested: %s, used: %s, limited: %s", q.Name,
		strings.Join(requested, ","), strings.Join(used, ","), strings.Join(limited, ","))
}

func line(name corev1.ResourceName, q resource.Quantity) string {
	return string(name) + "=" + q.String()
}
