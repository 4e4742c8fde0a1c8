package apiserver

import (
	"net/http"
	"strings"
	"testing"
)

func TestWarningsAreWholeAndSaidOnceUntilThereAreTooMany(t *testing.T) {
	h := http.Header{}
	long := strings.Repeat("ä", 200)
	addWarning(h, long)
	addWarning(h, long)
	if got := h.Values("Warning"); len(got) != 1 || got[0] != `299 - "`+long+`"` {
		t.Errorf("the warnings are %q", got)
	}
	for i := range 100 {
		addWarning(h, strings.Repeat("x", 1000+i))
	}
	cut := 0
	for _, w := range h.Values("Warning") {
		if len(w) < 300 {
			cut++
		}
	}
	if cut == 0 {
		t.Error("no warning is cut")
	}
}
