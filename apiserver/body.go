package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/patch"
)

// bodyMax is the largest body that is read, as in upstream.
const bodyMax = 3 << 20

// readBody returns a request's body, or 413.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	tooLarge := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", bodyMax))
	if r.ContentLength > bodyMax {
		return nil, tooLarge
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	// A body that never ends must not hold its request for ever.
	c := http.NewResponseController(w)
	bounded := c.SetReadDeadline(time.Now().Add(requestTimeout)) == nil
	n, err := buf.ReadFrom(io.LimitReader(r.Body, bodyMax+1))
	switch { // what is not read to its end keeps its deadline: package http reads on before it answers
	case err != nil:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("read the request body: %v", err))
	case n > bodyMax:
		return nil, tooLarge
	}
	if bounded {
		_ = c.SetReadDeadline(time.Time{})
	}
	if rec, ok := w.(*recorder); ok {
		rec.bodyRead = true
	}
	return buf.Bytes(), nil
}

// leftBodyTimeout is how long a client may take to send the rest of a body that nobody wants.
const leftBodyTimeout = 5 * time.Second

// leaveBody bounds the time in which package http reads what was not read of a body, which it does over HTTP/1 before
// it sends a short answer: somebody who is refused and sends nothing must not hold a connection for ever.
func (w *recorder) leaveBody(r *http.Request) {
	if r.ProtoMajor == 1 && r.ContentLength != 0 && !w.bodyRead && w.code() != http.StatusSwitchingProtocols {
		_ = http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(leftBodyTimeout))
	}
}

// contentType returns a request's media type; an empty one means JSON.
func contentType(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	switch header {
	case "", mediaJSON:
		return mediaJSON, nil
	case mediaProto:
		return mediaProto, nil
	}
	media, _, err := mime.ParseMediaType(header)
	switch {
	case err == nil && (media == mediaJSON || media == mediaProto || media == mediaYAML):
		return media, nil
	case err == nil && (media == "application/x-yaml" || media == "text/yaml"):
		return mediaYAML, nil
	}
	return "", &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure,
		Code:   http.StatusUnsupportedMediaType,
		Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s, %s, %s",
			mediaJSON, mediaYAML, mediaProto),
	}}
}

// decodeBody decodes what a client sent into obj, whose kind is want unless the body says otherwise. Unknown and
// duplicate fields are refused, warned of or ignored as fieldValidation says.
func decodeBody(media string, data []byte, want schema.GroupVersionKind, obj runtime.Object, fieldValidation string, warn func(string)) error {
	var strict []error
	var err error
	switch media {
	case mediaProto:
		return decodeProtoBody(data, want, obj)
	case mediaYAML:
		var duplicates []error
		data, duplicates, err = yamlToJSON(data)
		if err != nil {
			return unrecognized(want, err, data)
		}
		strict = duplicates
	}
	if err := patch.CheckItems(data, patch.ItemsMax); err != nil {
		return err
	}
	if fieldValidation == metav1.FieldValidationIgnore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, obj)
	} else {
		var more []error
		more, err = kjson.UnmarshalStrict(data, obj)
		strict = append(strict, more...)
	}
	sent := obj.GetObjectKind().GroupVersionKind()
	if err != nil {
		if sent.Kind == "" {
			var meta metav1.TypeMeta
			if kjson.UnmarshalCaseSensitivePreserveInts(data, &meta) != nil {
				return unrecognized(want, fmt.Errorf("couldn't get version/kind; json parse error: %v", err), data)
			}
			sent = meta.GroupVersionKind()
		}
		return cannotHandle(sent, want, err)
	}
	if meta, ok := obj.GetObjectKind().(*metav1.TypeMeta); ok {
		if _, err := schema.ParseGroupVersion(meta.APIVersion); err != nil {
			return unrecognized(want, err, data)
		}
	}
	if err := checkSent(sent, want); err != nil {
		return err
	}
	if len(strict) == 0 || fieldValidation == metav1.FieldValidationIgnore {
		return nil
	}
	if fieldValidation == metav1.FieldValidationStrict {
		return cannotHandle(sent, want, runtime.NewStrictDecodingError(strict))
	}
	warnOf(strict, warn)
	return nil
}

// warnedMax is how many warnings of YAML's decoder are passed on. JSON's has the same bound itself.
const warnedMax = 100

// warnOf warns of what a strict decoder refuses. YAML's decoder says everything in one error, a line for each: a header
// has none, so each line is a warning.
func warnOf(strict []error, warn func(string)) {
	for _, e := range strict {
		text := strings.TrimPrefix(e.Error(), "error converting YAML to JSON: ")
		lines, isYAML := strings.CutPrefix(text, "yaml: unmarshal errors:\n")
		if !isYAML {
			warn(e.Error())
			continue
		}
		for _, line := range strings.SplitN(lines, "\n", warnedMax+1)[:min(warnedMax, strings.Count(lines, "\n")+1)] {
			warn(strings.TrimSpace(line))
		}
	}
}

func decodeProtoBody(data []byte, want schema.GroupVersionKind, obj runtime.Object) error {
	if !bytes.HasPrefix(data, []byte(protoMagic)) {
		return unrecognized(want, errors.New("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"), nil)
	}
	var u runtime.Unknown
	if err := u.Unmarshal(data[len(protoMagic):]); err != nil {
		return unrecognized(want, err, nil)
	}
	sent := schema.FromAPIVersionAndKind(u.APIVersion, u.Kind)
	if err := checkSent(sent, want); err != nil {
		return err
	}
	m, ok := obj.(protoMessage)
	if !ok {
		return cannotHandle(sent, want, fmt.Errorf("%T has no protobuf form", obj))
	}
	if err := patch.CheckProtoItems(u.Raw, reflect.TypeOf(obj), patch.ItemsMax); err != nil {
		return err
	}
	if err := m.Unmarshal(u.Raw); err != nil {
		return cannotHandle(sent, want, err)
	}
	return nil
}

// alsoSentAs is the other version that a kind may be sent in, with the same fields: clients older than v1.22 evict pods
// in it.
var alsoSentAs = map[schema.GroupVersionKind]schema.GroupVersion{
	{Group: "policy", Version: "v1", Kind: "Eviction"}: {Group: "policy", Version: "v1beta1"},
}

// checkSent refuses a body that says that it is something else than what is expected. What it does not say is
// taken as expected.
func checkSent(sent, want schema.GroupVersionKind) error {
	if sent.Kind != "" && sent.Kind != want.Kind {
		return cannotHandle(sent, want, fmt.Errorf("expected kind %s", want.Kind))
	}
	if gv := sent.GroupVersion(); sent.Version != "" && gv != want.GroupVersion() && gv != alsoSentAs[want] {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", gv, want.GroupVersion()))
	}
	return nil
}

func cannotHandle(sent, want schema.GroupVersionKind, err error) error {
	if sent.Kind == "" {
		sent.Kind = want.Kind
	}
	if sent.Version == "" {
		sent.Version = want.Version
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", sent.Kind, sent.Version, want.Kind, err))
}

func unrecognized(want schema.GroupVersionKind, err error, data []byte) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary(data)))
}

// summary returns the beginning of a body, as far as it can be shown.
func summary(data []byte) string {
	const most = 30
	switch {
	case len(data) == 0:
		return "<empty>"
	case bytes.ContainsFunc(data[:min(len(data), most)], func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }):
		return fmt.Sprintf("%x ...", data[:min(len(data), most)])
	case len(data) > most:
		return string(data[:most]) + " ..."
	}
	return string(data)
}

// yamlToJSON converts a YAML document; keys that stand twice are reported beside.
func yamlToJSON(data []byte) (out []byte, duplicates []error, err error) {
	out, err = yaml.YAMLToJSONStrict(data)
	if err == nil {
		return out, nil, nil
	}
	loose, looseErr := yaml.YAMLToJSON(data)
	if looseErr != nil {
		return data, nil, fmt.Errorf("yaml: %w", looseErr)
	}
	return loose, []error{err}, nil
}
