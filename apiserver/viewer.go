package apiserver

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// viewer turns objects of a kind into bytes, in the form that a client accepts: as they are, as rows of a Table,
// or as their metadata only.
type viewer struct {
	kind    *kind.Kind
	version *kind.Version // nil: as stored
	forms   *encodings
	accepts accepted
	include string // of a Table's rows: "None", "Metadata" or "Object"
	now     func() time.Time
	keep    bool // objects are published: keep their encoded form
	bare    bool // leave managed fields out; JSON only

	columns bool // a Table that was written before had the column definitions
}

func (x *exchange) viewer(a accepted) *viewer {
	return &viewer{
		kind: x.req.kind, version: x.req.version, forms: x.server.forms, accepts: a, keep: true,
		include: x.query.Get("includeObject"), now: x.server.cfg.Now,
	}
}

// json returns an object's JSON.
func (v *viewer) json(obj kind.Object) ([]byte, error) {
	published := obj
	obj = v.cleared(obj)
	switch v.accepts.as {
	case asTable:
		table := v.table([]kind.Object{obj}, metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()})
		if v.columns {
			table.ColumnDefinitions = nil // a stream has them once, as upstream's has
		}
		v.columns = true
		return marshalJSON(obj, table)
	case asPartial, asList:
		return marshalJSON(obj, v.partial(obj))
	}
	if v.keep && v.version == nil && obj == published {
		return v.forms.json(obj)
	}
	return marshalJSON(obj, shownIn(v.version, obj))
}

// marshalJSON returns the JSON of what is shown of an object.
func marshalJSON(obj kind.Object, shown any) ([]byte, error) {
	data, err := json.Marshal(shown)
	if err != nil {
		return nil, notEncoded(obj, err)
	}
	return data, nil
}

// cleared returns an object without what is to be left out.
func (v *viewer) cleared(obj kind.Object) kind.Object {
	if v.bare && len(obj.GetManagedFields()) > 0 {
		obj = shallowCopy(obj)
		obj.SetManagedFields(nil)
	}
	return obj
}

// proto returns an object's protobuf message, without an envelope.
func (v *viewer) proto(obj kind.Object) ([]byte, error) {
	if v.accepts.as == "" && v.keep && v.version == nil {
		return v.forms.proto(obj)
	}
	m, err := v.protoMessage(obj)
	if err != nil {
		return nil, err
	}
	data := make([]byte, m.Size())
	if err := marshalExactly(m, data); err != nil {
		return nil, notEncoded(obj, err)
	}
	return data, nil
}

// protoMessage returns what is encoded as an object's protobuf message.
func (v *viewer) protoMessage(obj kind.Object) (protoMessage, error) {
	if v.accepts.as != "" {
		return v.partial(obj), nil
	}
	return messageOf(shownIn(v.version, obj))
}

// message returns a whole object, in up to three parts.
func (v *viewer) message(obj kind.Object) (head, body, tail []byte, err error) {
	if v.accepts.media == mediaProto {
		body, err = v.proto(obj)
		return envelopeHead(v.gvk(), len(body)), body, []byte(envelopeTail), err
	}
	body, err = v.json(obj)
	return nil, body, []byte{'\n'}, err
}

// gvk returns the kind of what the client sees.
func (v *viewer) gvk() schema.GroupVersionKind {
	switch v.accepts.as {
	case asTable:
		return v.metaKind("Table")
	case asPartial, asList:
		return v.metaKind(asPartial)
	}
	return v.objectGVK()
}

func (v *viewer) objectGVK() schema.GroupVersionKind {
	if v.version != nil {
		return v.version.GVK
	}
	return v.kind.GVK
}

// listGVK returns the kind of a list of them.
func (v *viewer) listGVK() schema.GroupVersionKind {
	switch v.accepts.as {
	case asTable:
		return v.metaKind("Table")
	case asPartial, asList:
		return v.metaKind(asList)
	}
	gvk := v.objectGVK()
	return gvk.GroupVersion().WithKind(gvk.Kind + "List")
}

func (v *viewer) metaKind(name string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: v.accepts.version, Kind: name}
}

// partial returns an object's metadata.
func (v *viewer) partial(obj kind.Object) *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{ObjectMeta: *metaOf(shownIn(v.version, obj))}
	version := v.accepts.version
	if version == "" {
		version = "v1"
	}
	setGVK(p, schema.GroupVersionKind{Group: metav1.GroupName, Version: version, Kind: asPartial})
	return p
}

// metaOf returns the metadata of an API object; it is shared with the object.
func metaOf(obj kind.Object) *metav1.ObjectMeta {
	return obj.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
}

// table returns objects as rows.
func (v *viewer) table(items []kind.Object, meta metav1.ListMeta) *metav1.Table {
	t := &metav1.Table{ListMeta: meta, ColumnDefinitions: v.kind.Columns, Rows: make([]metav1.TableRow, 0, len(items))}
	setGVK(t, v.metaKind("Table"))
	now := v.now()
	for _, obj := range items {
		t.Rows = append(t.Rows, v.row(obj, now))
	}
	return t
}

// row returns an object as a row of a Table.
func (v *viewer) row(obj kind.Object, now time.Time) metav1.TableRow {
	row := metav1.TableRow{Cells: v.kind.Row(obj, now)}
	obj = v.cleared(obj)
	_, ends := obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] // the end of a watch's initial state is told in any case
	switch {
	case v.include == string(metav1.IncludeNone) && !ends:
	case v.include == string(metav1.IncludeObject):
		row.Object = runtime.RawExtension{Object: shownIn(v.version, obj)}
	default:
		row.Object = runtime.RawExtension{Object: v.partial(obj)}
	}
	return row
}
