package apiserver

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"sampan/apiserver/mergeschema"
	"sampan/kind"
)

// Managed fields say who set what, so that server-side apply can tell a change of one's own from one of another's.
//
// Every writer is recorded from an object's creation on, as upstream does: over HTTP by its User-Agent, in this process
// by the name of the program that does the same upstream ([Local.ManagedBy]).

// managers makes and keeps the library's field managers. The schema that they need is loaded when the first is asked
// for. Safe for concurrent use.
type managers struct {
	kinds *kind.Registry

	mu    sync.Mutex // guards everything below
	types *typeConverter
	made  map[managerKey]*managedfields.FieldManager
}

type managerKey struct {
	gvk         schema.GroupVersionKind
	subresource string
}

func newManagers(kinds *kind.Registry) *managers {
	return &managers{kinds: kinds, made: map[managerKey]*managedfields.FieldManager{}}
}

// of returns the field manager for what is sent as gvk to a kind or to its subresource.
func (m *managers) of(k *kind.Kind, gvk schema.GroupVersionKind, subresource string) (*managedfields.FieldManager, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := managerKey{gvk, subresource}
	if fm := m.made[key]; fm != nil {
		return fm, nil
	}
	if m.types == nil {
		types, err := newTypeConverter(m.kinds)
		if err != nil {
			return nil, err
		}
		m.types = types
	}
	shapes, hub := versionsOf(k), k.GVK.GroupVersion()
	owned := make(map[fieldpath.APIVersion]fieldpath.Filter)
	if gvk == scaleGVK {
		shapes, hub = shapes.with(scaleGVK, func() runtime.Object { return newScale() }), scaleGVK.GroupVersion()
	} else if filter := writable(k, subresource); filter != nil {
		for v := range shapes.made {
			owned[fieldpath.APIVersion(v.GroupVersion().String())] = filter
		}
	}
	fm, err := managedfields.NewDefaultFieldManager(m.types, shapes, shapes, shapes, gvk, hub, subresource, owned)
	if err != nil {
		return nil, fmt.Errorf("managed fields of %s: %w", gvk, err)
	}
	m.made[key] = fm
	return fm, nil
}

// track records in a new object, or in the successor of cur, whose the changes are. Objects that have no records get
// none by an update, as upstream has it. What cannot be recorded is not: cur's records stay.
func (s *Server) track(r request, next, cur kind.Object) {
	live := cur
	switch {
	case r.applied: // Apply has recorded it
		s.stampManagers(next, cur, time.Time{})
		return
	case r.subresource == "binding" || r.subresource == "scale":
		return // nobody's fields, and those that trackScale recorded
	case cur == nil:
		live = r.kind.New()
		setGVK(live, r.kind.GVK)
	case len(cur.GetManagedFields()) == 0 && len(next.GetManagedFields()) == 0:
		return
	}
	setGVK(next, r.kind.GVK)
	began := time.Now()
	fm, err := s.managers.of(r.kind, r.sentAs(), r.subresource)
	if err == nil {
		_, err = fm.Update(live, next, r.manager)
	}
	if err != nil {
		s.cfg.Log.Error("record managed fields", "kind", r.kind.ID, "namespace", r.key.Namespace, "name", r.key.Name, "error", err)
		next.SetManagedFields(live.GetManagedFields())
		return
	}
	s.stampManagers(next, cur, began)
}

// trackScale records in a scale that is written whose the number of replicas is. shown is what it was.
func (s *Server) trackScale(r request, next, shown *autoscalingv1.Scale, cur kind.Object) {
	if r.applied || len(cur.GetManagedFields()) == 0 {
		return
	}
	setGVK(next, scaleGVK)
	began := time.Now()
	fm, err := s.managers.of(r.kind, scaleGVK, "scale")
	if err == nil {
		// The library takes an object without records as one that nobody applied. This one's replicas may well be
		// nobody's, but its parent has records.
		shown = shown.DeepCopy()
		if len(shown.ManagedFields) == 0 {
			shown.UID = ""
		}
		_, err = fm.Update(shown, next, r.manager)
	}
	if err != nil {
		s.cfg.Log.Error("record managed fields", "kind", r.kind.ID, "subresource", "scale", "namespace", r.key.Namespace, "name", r.key.Name, "error", err)
		next.ManagedFields = shown.ManagedFields
		return
	}
	s.stampManagers(next, cur, began)
}

// stampManagers gives the records that are new the time of this server, where the library takes the machine's.
func (s *Server) stampManagers(next, cur kind.Object, began time.Time) {
	var old []metav1.ManagedFieldsEntry
	if cur != nil {
		old = cur.GetManagedFields()
	}
	now := apiTime(s.cfg.Now())
	records := next.GetManagedFields()
	for i := range records {
		e := &records[i]
		if e.Time != nil && !e.Time.Time.Before(began) && !recordedAt(old, e) {
			e.Time = now.DeepCopy()
		}
	}
	next.SetManagedFields(records)
}

// recordedAt reports whether there was a record of the same manager with the same time.
func recordedAt(old []metav1.ManagedFieldsEntry, e *metav1.ManagedFieldsEntry) bool {
	for i := range old {
		if sameManager(&old[i], e) && old[i].Time.Equal(e.Time) {
			return true
		}
	}
	return false
}

func sameManager(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

// sameRecords reports whether two lists of records differ in nothing but times.
func sameRecords(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameManager(&a[i], &b[i]) || !reflect.DeepEqual(a[i].FieldsV1, b[i].FieldsV1) {
			return false
		}
	}
	return true
}

// managerOf returns the manager that a User-Agent stands for: what is before the slash, as upstream has it.
func managerOf(userAgent string) string {
	name, _, _ := strings.Cut(userAgent, "/")
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	const most = 128
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	if name == "" {
		return "unknown"
	}
	return name
}

// typeConverter shows objects to the merge library by the types of the schema.
type typeConverter struct {
	types map[schema.GroupVersionKind]typed.ParseableType
}

var _ managedfields.TypeConverter = (*typeConverter)(nil)

// newTypeConverter loads the schema of all served kinds.
func newTypeConverter(kinds *kind.Registry) (*typeConverter, error) {
	names := map[schema.GroupVersionKind]string{scaleGVK: modelName(newScale())}
	for _, k := range kinds.Served() {
		names[k.GVK] = modelName(k.New())
	}
	var roots []string
	for _, name := range names {
		roots = append(roots, name)
	}
	s, err := mergeschema.Load(roots...)
	if err != nil {
		return nil, err
	}
	c := &typeConverter{types: make(map[schema.GroupVersionKind]typed.ParseableType, len(names))}
	parser := &typed.Parser{}
	parser.Schema.Types = s.Types
	for gvk, name := range names {
		if t := parser.Type(name); t.IsValid() {
			c.types[gvk] = t
		}
	}
	return c, nil
}

// modelName returns the name of a type in the schema, or "".
func modelName(obj any) string {
	if m, ok := reflect.Zero(reflect.TypeOf(obj).Elem()).Interface().(interface{ OpenAPIModelName() string }); ok {
		return m.OpenAPIModelName()
	}
	return ""
}

// ObjectToTyped implements the library's TypeConverter.
func (c *typeConverter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	t, ok := c.types[gvk]
	if !ok {
		return nil, fmt.Errorf("no schema is known for %s", gvk)
	}
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return t.FromUnstructured(u.UnstructuredContent(), opts...)
	}
	// A struct has the shape of its type. What could be wrong beside, an item of a list without its key or one that is
	// there twice, shows when values are compared; the library's validation is a third of the cost of a record.
	v, err := value.NewValueReflect(obj)
	if err != nil {
		return nil, err
	}
	return typed.AsTypedUnvalidated(v, t.Schema, t.TypeRef), nil
}

// TypedToObject implements the library's TypeConverter.
func (c *typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	m, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a merged value is no object but %T", v.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: m}, nil
}

// shapes makes and converts the objects of one kind, in the versions that it is served in, for the merge library.
type shapes struct {
	kind *kind.Kind
	made map[schema.GroupVersionKind]func() runtime.Object
}

func versionsOf(k *kind.Kind) *shapes {
	s := &shapes{kind: k, made: map[schema.GroupVersionKind]func() runtime.Object{k.GVK: func() runtime.Object { return k.New() }}}
	for _, v := range k.Versions {
		s.made[v.GVK] = func() runtime.Object { return v.New() }
	}
	return s
}

func (s *shapes) with(gvk schema.GroupVersionKind, make func() runtime.Object) *shapes {
	s.made[gvk] = make
	return s
}

// New implements the library's ObjectCreater.
func (s *shapes) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	make := s.made[gvk]
	if make == nil {
		return nil, runtime.NewNotRegisteredErrForKind("the API server", gvk)
	}
	obj := make()
	setGVK(obj, gvk)
	return obj, nil
}

// Default implements the library's ObjectDefaulter: defaults are set when the object is made legal.
func (s *shapes) Default(runtime.Object) {}

// Convert implements the library's ObjectConvertor; nothing of it calls Convert.
func (s *shapes) Convert(in, out, context any) error {
	return fmt.Errorf("conversion of %T to %T is not supported", in, out)
}

// ConvertFieldLabel implements the library's ObjectConvertor; nothing of it calls ConvertFieldLabel.
func (s *shapes) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// ConvertToVersion implements the library's ObjectConvertor. What is untyped becomes the type of its version first.
func (s *shapes) ConvertToVersion(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if u, ok := in.(*unstructured.Unstructured); ok {
		obj, err := s.New(gvk)
		if err != nil {
			return nil, err
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
			return nil, err
		}
		in = obj
	}
	known := []schema.GroupVersionKind{gvk, s.kind.GVK} // versions may be in other groups
	for i := range s.kind.Versions {
		known = append(known, s.kind.Versions[i].GVK)
	}
	want, ok := to.KindForGroupVersionKinds(known)
	if !ok || s.made[want] == nil {
		return nil, runtime.NewNotRegisteredErrForTarget("the API server", reflect.TypeOf(in), to)
	}
	obj, ok := in.(kind.Object)
	if want == gvk || !ok {
		return in, nil
	}
	for i := range s.kind.Versions {
		if v := &s.kind.Versions[i]; v.GVK == gvk {
			obj = v.Stored(obj)
			setGVK(obj, s.kind.GVK)
		}
	}
	for i := range s.kind.Versions {
		if v := &s.kind.Versions[i]; v.GVK == want {
			obj = v.Shown(obj)
			setGVK(obj, want)
		}
	}
	return obj, nil
}
