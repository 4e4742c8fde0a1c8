package serviceaccount

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

const (
	defaultName = "default"

	rootCAName            = "kube-root-ca.crt"
	rootCAFile            = "ca.crt"
	descriptionAnnotation = "kubernetes.io/description"
	description           = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// in is everything that a decision about one namespace may know.
type in struct {
	namespace *corev1.Namespace // nil if it is gone or being deleted
	have      kind.Object       // what the namespace is furnished with, or nil
}

// none is the memory of decisions that remember nothing.
type none struct{}

// New returns the controller that keeps the ServiceAccount "default" in each active namespace.
func New() plan.Controller {
	return furnish("serviceaccount-controller", kind.ServiceAccounts, defaultName, func(i in) (p plan.Plan) {
		if i.have == nil {
			p.Do(plan.Create{Object: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace.Name, Name: defaultName}}})
		}
		return p
	})
}

// NewRootCA returns the controller that keeps the ConfigMap kube-root-ca.crt in each active namespace. caBundle is PEM.
func NewRootCA(caBundle []byte) plan.Controller {
	data := map[string]string{rootCAFile: string(caBundle)}
	return furnish("root-ca-certificate-publisher", kind.ConfigMaps, rootCAName, func(i in) (p plan.Plan) {
		have, _ := i.have.(*corev1.ConfigMap)
		switch {
		case have == nil:
			p.Do(plan.Create{Object: &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: i.namespace.Name, Name: rootCAName,
					Annotations: map[string]string{descriptionAnnotation: description},
				},
				Data: maps.Clone(data),
			}})
		case !maps.Equal(have.Data, data) || len(have.BinaryData) > 0:
			cm := have.DeepCopy()
			cm.Data, cm.BinaryData = maps.Clone(data), nil
			metav1.SetMetaDataAnnotation(&cm.ObjectMeta, descriptionAnnotation, description)
			p.Do(plan.Update{Object: cm})
		}
		return p
	})
}

// furnish makes a controller that keeps one object of a name in each active namespace.
func furnish(controller string, id kind.ID, name string, decide func(in) plan.Plan) plan.Controller {
	return plan.Define(controller, []plan.Watch{
		{Kind: kind.Namespaces, Keys: plan.Self},
		{Kind: id, Keys: func(_ *view.Snapshot, c view.Change) []view.Key {
			if c.Key.Name != name {
				return nil
			}
			return []view.Key{{Kind: kind.Namespaces, Name: c.Key.Namespace}}
		}},
	}, func(snap *view.Snapshot, key view.Key, _ time.Time) in {
		ns, ok := view.Get[*corev1.Namespace](snap, kind.Namespaces, "", key.Name)
		if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
			return in{}
		}
		return in{ns, snap.Get(view.Key{Kind: id, Namespace: key.Name, Name: name})}
	}, func(i in, _ none) (plan.Plan, none) {
		if i.namespace == nil {
			return plan.Plan{}, none{}
		}
		return decide(i), none{}
	})
}
