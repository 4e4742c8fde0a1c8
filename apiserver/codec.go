package apiserver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
)

// protoMagic begins every protobuf object, stored and sent: Kubernetes' own envelope follows it.
const protoMagic = "k8s\x00"

// protoMessage is what generated API types can do.
type protoMessage interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
	Unmarshal([]byte) error
}

// encodeStored returns the bytes that the store keeps: the protobuf envelope of the object without its
// resourceVersion, which is the record's revision.
func encodeStored(k *kind.Kind, obj kind.Object) ([]byte, error) {
	obj.SetResourceVersion("") // obj is private until it is published
	m, ok := obj.(protoMessage)
	if !ok {
		return json.Marshal(obj)
	}
	return marshalEnvelope(k.GVK, m)
}

// decodeStored is the reverse of encodeStored.
func decodeStored(k *kind.Kind, data []byte, revision int64) (kind.Object, error) {
	obj := k.New()
	if bytes.HasPrefix(data, []byte(protoMagic)) {
		if err := unmarshalEnvelope(data, obj); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(data, obj); err != nil {
		return nil, err
	}
	setGVK(obj, k.GVK)
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return obj, nil
}

// marshalEnvelope returns a message in Kubernetes' protobuf envelope, written in one buffer.
func marshalEnvelope(gvk schema.GroupVersionKind, m protoMessage) ([]byte, error) {
	size := m.Size()
	head := envelopeHead(gvk, size)
	buf := make([]byte, len(head)+size+len(envelopeTail))
	copy(buf, head)
	if err := marshalExactly(m, buf[len(head):len(head)+size]); err != nil {
		return nil, err
	}
	copy(buf[len(head)+size:], envelopeTail)
	return buf, nil
}

// messageOf returns what is encoded as an object's protobuf message.
func messageOf(obj kind.Object) (protoMessage, error) {
	m, ok := obj.(protoMessage)
	if !ok {
		return nil, notEncoded(obj, errors.New("it has no protobuf form"))
	}
	return m, nil
}

// notEncoded is the error of an object that cannot be encoded, with the name of the object.
func notEncoded(obj kind.Object, err error) error {
	return fmt.Errorf("encode %T %s/%s: %w", obj, obj.GetNamespace(), obj.GetName(), err)
}

// marshalExactly fills buf, whose length is the message's size.
func marshalExactly(m protoMessage, buf []byte) error {
	n, err := m.MarshalToSizedBuffer(buf)
	if err != nil {
		return fmt.Errorf("marshal %T: %w", m, err)
	}
	if n != len(buf) {
		return fmt.Errorf("marshal %T: wrote %d bytes, expected %d", m, n, len(buf))
	}
	return nil
}

// envelopeTail is the two empty fields at the end of runtime.Unknown (contentEncoding, contentType).
const envelopeTail = "\x1a\x00\x22\x00"

// envelopeHead returns everything of the envelope before the raw message of the given size: the magic, and
// runtime.Unknown with its typeMeta (field 1: apiVersion 1, kind 2) and the tag and length of raw (field 2).
func envelopeHead(gvk schema.GroupVersionKind, rawSize int) []byte {
	apiVersion := gvk.GroupVersion().String()
	meta := 2 + len(apiVersion) + 2 + len(gvk.Kind) // both are far below 128 bytes
	head := make([]byte, 0, len(protoMagic)+2+meta+1+binary.MaxVarintLen64)
	head = append(head, protoMagic...)
	head = append(head, 0x0a, byte(meta))
	head = append(head, 0x0a, byte(len(apiVersion)))
	head = append(head, apiVersion...)
	head = append(head, 0x12, byte(len(gvk.Kind)))
	head = append(head, gvk.Kind...)
	head = append(head, 0x12)
	return binary.AppendUvarint(head, uint64(rawSize))
}

// unmarshalEnvelope decodes the message in an envelope into obj.
func unmarshalEnvelope(data []byte, obj any) error {
	m, ok := obj.(protoMessage)
	if !ok {
		return fmt.Errorf("%T has no protobuf form", obj)
	}
	var u runtime.Unknown
	if err := u.Unmarshal(data[len(protoMagic):]); err != nil {
		return fmt.Errorf("protobuf envelope: %w", err)
	}
	return m.Unmarshal(u.Raw)
}

// varintSize returns the length of x as a protobuf varint.
func varintSize(x int) int { return (bits.Len64(uint64(x)|1) + 6) / 7 }

// setGVK writes kind and apiVersion into the object, as its JSON form shows them.
func setGVK(obj runtime.Object, gvk schema.GroupVersionKind) {
	obj.GetObjectKind().SetGroupVersionKind(gvk)
}

// shallowCopy returns a copy of the object's struct; everything that it points to is shared. It is enough to
// set a field of the metadata on an object that others read.
func shallowCopy(obj kind.Object) kind.Object {
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	return v.Interface().(kind.Object)
}

// withRevision returns the object with another resourceVersion.
func withRevision(obj kind.Object, revision int64) kind.Object {
	c := shallowCopy(obj)
	c.SetResourceVersion(strconv.FormatInt(revision, 10))
	return c
}

// withoutRevision returns a private copy that says no revision, as new objects do.
func withoutRevision(obj kind.Object) kind.Object {
	c := private(obj)
	c.SetResourceVersion("")
	return c
}

// revisionOf returns the revision of a published object.
func revisionOf(obj kind.Object) int64 {
	n, _ := strconv.ParseInt(obj.GetResourceVersion(), 10, 64) // written by this package
	return n
}
