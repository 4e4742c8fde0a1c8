package admit

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/view"
)

// audienceVerb is what a node must be allowed to get tokens for an audience that none of the pod's volumes names. The
// resource is the audience, the name the account.
const audienceVerb = "request-serviceaccounts-token-audience"

// restrictToken lets a node get tokens only that are bound to a pod of its own, and for those audiences only that the
// pod's volumes name, or the drivers of these.
func restrictToken(req *Request, snap *view.Snapshot, node string) error {
	tr, ok := req.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return nil
	}
	ref := tr.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return forbidden(req, "node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return forbidden(req, "node requested token with a pod binding without a uid")
	}
	pod, ok := view.Get[*corev1.Pod](snap, kind.Pods, req.Namespace, ref.Name)
	if !ok {
		return apierrors.NewNotFound(kind.Pods.GroupResource(), ref.Name)
	}
	if ref.UID != pod.UID {
		return forbidden(req, "the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	}
	if pod.Spec.NodeName != node {
		return forbidden(req, "node requested token bound to a pod scheduled on a different node")
	}
	audience := "" // of the API
	switch len(tr.Spec.Audiences) {
	case 0:
	case 1:
		audience = tr.Spec.Audiences[0]
	default:
		return forbidden(req, "node may only request 0 or 1 audiences")
	}
	if usesAudience(snap, pod, audience) || req.May != nil && req.May(audienceVerb, audience, req.Namespace, req.Name) {
		return nil
	}
	return forbidden(req, "audience %q not found in pod spec volume, %s is not authorized to request tokens for this audience", audience, req.User)
}

// usesAudience reports whether a volume of the pod has tokens for an audience.
func usesAudience(snap *view.Snapshot, pod *corev1.Pod, audience string) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience {
					return true
				}
			}
		}
		driver, ok := view.Get[*storagev1.CSIDriver](snap, kind.CSIDrivers, "", driverOf(snap, pod, v))
		if !ok {
			continue
		}
		for _, t := range driver.Spec.TokenRequests {
			if t.Audience == audience {
				return true
			}
		}
	}
	return false
}

// driverOf returns the name of the CSI driver that a volume of the pod is of; "" for none.
func driverOf(snap *view.Snapshot, pod *corev1.Pod, v *corev1.Volume) string {
	if v.CSI != nil {
		return v.CSI.Driver
	}
	pvc, ok := view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, pod.Namespace, core.ClaimOf(pod, v))
	if !ok {
		return ""
	}
	if pv, ok := view.Get[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "", pvc.Spec.VolumeName); ok && pv.Spec.CSI != nil {
		return pv.Spec.CSI.Driver
	}
	return ""
}
