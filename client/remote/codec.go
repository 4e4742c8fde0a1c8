package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The media types that are sent and read.
const (
	mediaJSON  = "application/json"
	mediaProto = "application/vnd.kubernetes.protobuf"
)

// protoMagic begins every protobuf object; Kubernetes' own envelope follows it.
const protoMagic = "k8s\x00"

// protoMessage is what generated API types can do.
type protoMessage interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// body is the content of a request.
type body struct {
	media string
	data  []byte
}

// answer is the content of a response.
type answer struct {
	media string
	data  []byte
}

// objectBody encodes an object as protobuf, or as JSON if its type has no such form.
func objectBody(gvk schema.GroupVersionKind, obj any) (body, error) {
	m, ok := obj.(protoMessage)
	if !ok {
		return jsonBody(obj)
	}
	raw, err := m.Marshal()
	if err != nil {
		return body{}, fmt.Errorf("encode %T: %w", obj, err)
	}
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}, Raw: raw}
	data, err := u.Marshal()
	if err != nil {
		return body{}, fmt.Errorf("encode %T: %w", obj, err)
	}
	return body{media: mediaProto, data: append([]byte(protoMagic), data...)}, nil
}

// into decodes an answer.
func (a *answer) into(obj any) error {
	if media, _, err := mime.ParseMediaType(a.media); err != nil || media != mediaProto {
		return json.Unmarshal(a.data, obj)
	}
	_, raw, err := open(a.data)
	if err != nil {
		return err
	}
	return unmarshal(raw, obj)
}

// open takes a message out of its envelope.
func open(data []byte) (gvk schema.GroupVersionKind, raw []byte, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(protoMagic))
	if !ok {
		return gvk, nil, errors.New("not a Kubernetes protobuf message")
	}
	var u runtime.Unknown
	if err := u.Unmarshal(rest); err != nil {
		return gvk, nil, fmt.Errorf("protobuf envelope: %w", err)
	}
	return schema.FromAPIVersionAndKind(u.APIVersion, u.Kind), u.Raw, nil
}

func unmarshal(raw []byte, obj any) error {
	m, ok := obj.(protoMessage)
	if !ok {
		return fmt.Errorf("%T has no protobuf form", obj)
	}
	return m.Unmarshal(raw)
}
