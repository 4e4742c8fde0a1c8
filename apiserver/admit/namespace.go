package admit

import (
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/view"
)

// NamespaceLifecycle refuses new objects in a namespace that does not exist or is going away, evictions and tokens too,
// and the deletion of the namespaces that the cluster itself needs. Existing objects can be changed and deleted in any case, or
// a namespace could not be emptied.
func NamespaceLifecycle(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID == kind.Namespaces {
		if req.Verb == Delete && immortal(req.Name) {
			return forbidden(req, "this namespace may not be deleted")
		}
		return nil
	}
	if req.Verb != Create || req.Namespace == "" {
		return nil
	}
	ns, _ := snap.Get(view.Key{Kind: kind.Namespaces, Name: req.Namespace}).(*corev1.Namespace)
	if ns == nil {
		return apierrors.NewNotFound(kind.Namespaces.GroupResource(), req.Namespace)
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := forbidden(req, "unable to create new content in namespace %s because it is being terminated", req.Namespace)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: "namespace " + req.Namespace + " is being terminated",
		Field:   "metadata.namespace",
	})
	return err
}

func immortal(name string) bool {
	return name == metav1.NamespaceDefault || name == metav1.NamespaceSystem || name == metav1.NamespacePublic
}
