package apiserver

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The media types that are read and written.
const (
	mediaJSON  = "application/json"
	mediaYAML  = "application/yaml"
	mediaProto = "application/vnd.kubernetes.protobuf"
)

// The ways an object can be shown, beside as it is.
const (
	asTable   = "Table"
	asPartial = "PartialObjectMetadata"
	asList    = "PartialObjectMetadataList"
)

// accepted is what a response shall look like.
type accepted struct {
	media   string // one of the media types above
	as      string // "", asTable, asPartial or asList
	version string // of as: "v1" or "v1beta1"
}

// mediaRange is one element of an Accept header.
type mediaRange struct {
	media  string
	params map[string]string
	q      float64
}

// encoding returns the media type that is served for the range, or "".
func (m mediaRange) encoding() string {
	switch m.media {
	case mediaJSON, "*/*", "application/*", "text/json":
		return mediaJSON
	case mediaProto:
		return mediaProto
	case mediaYAML, "text/yaml", "application/x-yaml":
		return mediaYAML
	}
	return ""
}

// converts reports whether objects shall be shown as another kind.
func (m mediaRange) converts() bool {
	for _, name := range []string{"as", "g", "v"} {
		if _, ok := m.params[name]; ok {
			return true
		}
	}
	return false
}

// negotiate chooses the form of a response from an Accept header. shapes says which values of "as" the request
// can be answered with; an element that asks for anything else is passed over, as in upstream.
func negotiate(header string, streaming bool, shapes ...string) (accepted, error) {
	// What clients send all day is answered without parsing.
	switch header {
	case "", "*/*", mediaJSON, "application/json, */*":
		return accepted{media: mediaJSON}, nil
	case mediaProto, mediaProto + ", " + mediaJSON, mediaProto + "," + mediaJSON, mediaProto + ";stream=watch":
		return accepted{media: mediaProto}, nil
	}
	ranges := parseAccept(header)
	for _, m := range ranges {
		a := accepted{media: m.encoding()}
		if a.media == "" || a.media == mediaYAML && streaming {
			continue
		}
		if m.converts() {
			as, v := m.params["as"], m.params["v"]
			known := m.params["g"] == metav1.GroupName && (v == "v1" || v == "v1beta1") && slices.Contains(shapes, as)
			if !known || as == asTable && a.media == mediaProto {
				continue
			}
			a.as, a.version = as, v
		}
		return a, nil
	}
	if streaming {
		return accepted{}, errNotAcceptable(mediaJSON+";stream=watch", mediaProto+";stream=watch")
	}
	return accepted{}, errNotAcceptable(mediaJSON, mediaYAML, mediaProto)
}

func errNotAcceptable(served ...string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotAcceptable,
		Reason:  metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(served, ", "),
	}}
}

// parseAccept returns the elements of an Accept header, the most wanted first.
func parseAccept(header string) []mediaRange {
	var out []mediaRange
	for part := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		m := mediaRange{media: media, params: params, q: 1}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			m.q = q
		}
		if m.q > 0 {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b mediaRange) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	return out
}
