package apiserver

import (
	"encoding/binary"
	"encoding/json"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// writeList writes a list: the head, then the shared encoded forms of its items one after the other, so that no
// list is ever built as one value.
func (x *exchange) writeList(a accepted, l listed) error {
	v := x.viewer(a)
	meta := metav1.ListMeta{
		ResourceVersion:    strconv.FormatInt(l.revision, 10),
		Continue:           l.continu,
		RemainingItemCount: l.remaining,
	}
	var parts [][]byte
	var err error
	switch {
	case a.as == asTable:
		var data []byte
		data, err = json.Marshal(v.table(l.items, meta))
		parts = [][]byte{data}
	case a.media == mediaProto:
		parts, err = protoList(v, l, meta)
	default:
		parts, err = jsonList(v, l, meta)
	}
	if err == nil && a.media == mediaYAML {
		var joined []byte
		for _, p := range parts {
			joined = append(joined, p...)
		}
		joined, err = yaml.JSONToYAML(joined)
		parts = [][]byte{joined}
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	writeBytes(x.w, x.r, 200, a.media, parts...)
	return nil
}

// writeChunk is about how many bytes of small items are joined before they are written.
const writeChunk = 32 << 10

func jsonList(v *viewer, l listed, meta metav1.ListMeta) ([][]byte, error) {
	head, err := json.Marshal(struct {
		metav1.TypeMeta
		Meta metav1.ListMeta `json:"metadata"`
	}{typeMeta(v), meta})
	if err != nil {
		return nil, err
	}
	chunk := append(head[:len(head)-1], `,"items":[`...)
	var parts [][]byte
	for i, obj := range l.items {
		data, err := v.json(obj)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			chunk = append(chunk, ',')
		}
		if chunk = append(chunk, data...); len(chunk) >= writeChunk {
			parts, chunk = append(parts, chunk), make([]byte, 0, writeChunk+4096)
		}
	}
	return append(parts, append(chunk, "]}\n"...)), nil
}

// protoList writes the message that all list types share: metadata is field 1, items are field 2.
func protoList(v *viewer, l listed, meta metav1.ListMeta) ([][]byte, error) {
	head, err := meta.Marshal()
	if err != nil {
		return nil, err
	}
	chunk := make([]byte, 0, writeChunk+4096)
	chunk = append(chunk, 0x0a)
	chunk = binary.AppendUvarint(chunk, uint64(len(head)))
	chunk = append(chunk, head...)
	size := 0
	var parts [][]byte
	for _, obj := range l.items {
		data, err := v.proto(obj)
		if err != nil {
			return nil, err
		}
		chunk = append(chunk, 0x12)
		chunk = binary.AppendUvarint(chunk, uint64(len(data)))
		if chunk = append(chunk, data...); len(chunk) >= writeChunk {
			size += len(chunk)
			parts, chunk = append(parts, chunk), make([]byte, 0, writeChunk+4096)
		}
	}
	size += len(chunk)
	parts = append(parts, append(chunk, envelopeTail...))
	return append([][]byte{envelopeHead(v.listGVK(), size)}, parts...), nil
}

func typeMeta(v *viewer) metav1.TypeMeta {
	gvk := v.listGVK()
	return metav1.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}
}
