package apiserver

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// Some kinds are served in further versions than the one that is stored. The core works with stored objects only;
// what is sent in another version is converted on its way in, and converted back on its way out.

// sentAs returns the version in which objects are sent and answered.
func (r request) sentAs() schema.GroupVersionKind {
	if r.version != nil {
		return r.version.GVK
	}
	return r.kind.GVK
}

// groupResource returns the name of the resource as the request's errors have it.
func (r request) groupResource() schema.GroupResource {
	if r.version != nil {
		return r.version.ID.GroupResource()
	}
	return r.kind.GroupResource()
}

// newSent returns an empty object of the version in which objects are sent.
func (r request) newSent() kind.Object {
	if r.version != nil {
		return r.version.New()
	}
	return r.kind.New()
}

// shown returns a stored object in the version of the request. It may share memory with its argument.
func (r request) shown(obj kind.Object) kind.Object { return shownIn(r.version, obj) }

// shownIn returns a stored object in a version; nil is the stored one.
func shownIn(v *kind.Version, obj kind.Object) kind.Object {
	if v == nil {
		return obj
	}
	obj = v.Shown(obj)
	setGVK(obj, v.GVK)
	return obj
}

// stored is the reverse of shown, for an object that is the request's own.
func (r request) stored(obj kind.Object) kind.Object {
	if r.version == nil {
		return obj
	}
	obj = r.version.Stored(obj)
	setGVK(obj, r.kind.GVK)
	return obj
}

// checkNew holds an object that shall be created, in the version of the request, to the rules of that version.
func (r request) checkNew(obj kind.Object) error {
	if r.version == nil || r.version.Validate == nil {
		return nil
	}
	return invalid(r.version.GVK.GroupKind(), obj.GetName(), r.version.Validate(obj))
}

// storedNew is stored for an object that shall be created.
func (r request) storedNew(obj kind.Object) (kind.Object, error) {
	if err := r.checkNew(obj); err != nil {
		return nil, err
	}
	return r.stored(obj), nil
}
