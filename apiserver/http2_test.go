package apiserver_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// A client that is nobody gets one answer of a connection, so that it cannot have the server do much for little.
func TestConnectionsOfNobodyEnd(t *testing.T) {
	g := newSecured(t)
	g.account("web")
	for _, c := range []struct {
		name, authorization, status string
		ends                        bool
	}{
		{"anonymous", "", "200", true},
		{"a token that is none", "Bearer nonsense", "401", true},
		{"an account", "Bearer " + g.token("web", authenticationv1.TokenRequestSpec{}), "200", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
				t.Fatal(err)
			}
			f := http2.NewFramer(conn, conn)
			f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			if err := f.WriteSettings(); err != nil {
				t.Fatal(err)
			}
			// answer sends a request, and returns the status of what comes next, or "going away".
			answer := func(stream uint32) string {
				var block bytes.Buffer
				e := hpack.NewEncoder(&block)
				for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"},
					{Name: ":path", Value: "/version"}, {Name: "authorization", Value: c.authorization}} {
					if h.Value != "" {
						if err := e.WriteField(h); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
					return "going away"
				}
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return "going away"
					}
					switch frame := frame.(type) {
					case *http2.GoAwayFrame:
						return "going away"
					case *http2.MetaHeadersFrame:
						if frame.StreamID == stream {
							return frame.PseudoValue("status")
						}
					}
				}
			}
			// The end may be said a little after the answer, so that another request gets one too; a hundred do not.
			ended := false
			for stream := uint32(1); stream < 200 && !ended; stream += 2 {
				got := answer(stream)
				if ended = got == "going away"; !ended && got != c.status {
					t.Fatalf("answered with %s, want %s", got, c.status)
				}
			}
			if ended != c.ends {
				t.Errorf("the connection ended: %v, want %v", ended, c.ends)
			}
		})
	}
}
