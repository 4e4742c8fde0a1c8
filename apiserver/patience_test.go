package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestClientsThatStopReadingAreLetGo opens a stream and never reads it.
func TestClientsThatStopReadingAreLetGo(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			answered, ended := make(chan struct{}), make(chan struct{})
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				select {
				case <-answered:
				case <-r.Context().Done():
				}
				p := patience{limit: 100 * time.Millisecond}
				for data := make([]byte, 64<<10); p.write(&recorder{ResponseWriter: w}, data); {
				}
			}))
			h.EnableHTTP2 = http2
			h.StartTLS()
			defer h.Close()
			res, err := h.Client().Get(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if want := map[bool]int{false: 1, true: 2}[http2]; res.ProtoMajor != want {
				t.Fatalf("the stream is %s", res.Proto)
			}
			close(answered)
			<-ended
		})
	}
}

// TestPatienceLeavesQuickWritesAlone writes more often than the limit lasts.
func TestPatienceLeavesQuickWritesAlone(t *testing.T) {
	p := patience{limit: time.Hour}
	for range 3 {
		p.begin(httptest.NewRecorder())
		if !p.end() {
			t.Fatal("a write that took no time was broken off")
		}
	}
	p.breakOff() // late: it finds nothing to break off
}
