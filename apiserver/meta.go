package apiserver

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

// maxGeneratedName is the longest base that a generated suffix is put behind, so that the name stays a label.
const (
	generatedSuffix  = 5
	maxGeneratedName = 63 - generatedSuffix
	suffixAlphabet   = "bcdfghjklmnpqrstvwxz2456789"
)

// stampNew makes the metadata of an object that is about to be created: what only the server decides is set, what
// a writer may not decide is dropped. The name must be there, or a generateName.
func (s *Server) stampNew(r request, obj kind.Object) {
	obj.SetUID(s.cfg.NewUID())
	obj.SetCreationTimestamp(apiTime(s.cfg.Now()))
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	setGVK(obj, r.kind.GVK)
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(s.generateName(obj.GetGenerateName()))
	}
	if r.kind.Finalizers != nil {
		have := obj.GetFinalizers()
		for _, f := range r.kind.Finalizers(obj) {
			if !slices.Contains(have, f) {
				have = append(have, f)
			}
		}
		obj.SetFinalizers(have)
	}
}

// stampUpdate gives a changed object the metadata that an update never changes, as upstream's BeforeUpdate does.
// What it leaves different is refused by the validation of metadata.
func stampUpdate(r request, obj, old kind.Object) {
	setGVK(obj, r.kind.GVK)
	obj.SetSelfLink("")
	obj.SetResourceVersion(old.GetResourceVersion())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	if obj.GetGenerateName() == "" {
		obj.SetGenerateName(old.GetGenerateName())
	}
	if old.GetDeletionTimestamp() != nil {
		obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	}
	if old.GetDeletionGracePeriodSeconds() != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	}
}

// checkNames makes the name and namespace of a sent object those of the request, or refuses them.
func checkNames(r request, obj kind.Object) error {
	if name := obj.GetName(); r.key.Name != "" && name != r.key.Name {
		if name != "" {
			return apierrors.NewBadRequest("the name of the object (" + name + ") does not match the name on the URL (" + r.key.Name + ")")
		}
		obj.SetName(r.key.Name)
	}
	return namespaceOf(r.key.Namespace, obj)
}

// namespaceOf gives a sent object the namespace of the request, or refuses it if it says another one. An object that has
// none, because its kind is not namespaced, loses what it says.
func namespaceOf(namespace string, obj kind.Object) error {
	if ns := obj.GetNamespace(); ns != "" && namespace != "" && ns != namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	obj.SetNamespace(namespace)
	return nil
}

// checkNamed refuses a sent object that does not say its name, or another one than the request.
func checkNamed(r request, obj kind.Object) error {
	if obj.GetName() == "" {
		return apierrors.NewBadRequest("the name of the object (" + r.key.Name + " based on URL) was undeterminable: name must be provided")
	}
	return checkNames(r, obj)
}

// dropTwinOwners removes owner references that stand twice in an object that is written, and warns of them.
func dropTwinOwners(r request, obj kind.Object) {
	var once []metav1.OwnerReference
	var twins []string
	for _, ref := range obj.GetOwnerReferences() {
		if slices.ContainsFunc(once, func(have metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(have, ref) }) {
			twins = append(twins, string(ref.UID))
		} else {
			once = append(once, ref)
		}
	}
	if len(twins) > 0 {
		obj.SetOwnerReferences(once)
		r.warning(".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: " + strings.Join(twins, ", "))
	}
}

func (s *Server) generateName(base string) string {
	var b strings.Builder
	b.WriteString(base[:min(len(base), maxGeneratedName)])
	s.randomMu.Lock()
	x := s.cfg.Random.Uint64()
	s.randomMu.Unlock()
	for range generatedSuffix {
		b.WriteByte(suffixAlphabet[x%uint64(len(suffixAlphabet))])
		x /= uint64(len(suffixAlphabet))
	}
	return b.String()
}

// random returns a number below n.
func (s *Server) random(n uint64) uint64 {
	s.randomMu.Lock()
	defer s.randomMu.Unlock()
	return s.cfg.Random.Uint64() % n
}

// apiTime is a time as the API keeps it: in whole seconds.
func apiTime(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
