package apiserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWarningsAreWholeAndSaidOnceUntilThereAreTooMany(t *testing.T) {
	h := http.Header{}
	long := strings.Repeat("ä", 200)
	addWarning(h, long)
	addWarning(h, long)
	if got := h.Values("Warning"); len(got) != 1 || got[0] != `299 - "`+long+`"` {
		t.Errorf("the warnings are %q", got)
	}
	for i := range 10_000 {
		addWarning(h, strings.Repeat("x", 1000)+strconv.Itoa(i)) // they differ behind what is left of them
		addWarning(h, strconv.Itoa(i)+strings.Repeat("y", 1000))
	}
	got := h.Values("Warning")
	if len(got) < 10 || len(got) > 20 {
		t.Errorf("%d warnings", len(got))
	}
	for _, w := range got {
		if len(w) > 300 {
			t.Errorf("%s is not cut", w)
		}
	}
}

func TestManyDuplicateFieldsAreAHundredWarnings(t *testing.T) {
	var body strings.Builder
	body.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n")
	for i := range 1000 {
		fmt.Fprintf(&body, "  k%d: a\n  k%d: b\n", i, i)
	}
	warnings := 0
	err := decodeBody(mediaYAML, []byte(body.String()), corev1.SchemeGroupVersion.WithKind("ConfigMap"), new(corev1.ConfigMap),
		metav1.FieldValidationWarn, func(string) { warnings++ })
	if err != nil || warnings != warnedMax {
		t.Errorf("%d warnings, %v", warnings, err)
	}
}
