package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"sampan/dns/answer"
)

var (
	texts     = rapid.StringN(0, 20, 300)
	addresses = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Addr {
		raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "four") {
			raw = raw[:4]
		}
		a, _ := netip.AddrFromSlice(raw)
		return a.Unmap()
	}), 0, 4)
	ports = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) answer.Port {
		return answer.Port{Name: texts.Draw(t, "name"), Protocol: rapid.SampledFrom([]string{"tcp", "udp", "sctp", ""}).Draw(t, "protocol"), Number: rapid.Uint16().Draw(t, "number")}
	}), 0, 4)
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		svc := answer.Service{
			Namespace: texts.Draw(t, "namespace"), Name: texts.Draw(t, "name"), Addresses: addresses.Draw(t, "addresses"),
			Headless: rapid.Bool().Draw(t, "headless"), External: texts.Draw(t, "external"), PublishNotReady: rapid.Bool().Draw(t, "publish"),
			Ports: ports.Draw(t, "ports"),
		}
		slice := answer.Slice{Namespace: texts.Draw(t, "namespace"), Name: texts.Draw(t, "name"), Service: texts.Draw(t, "owner"), Ports: ports.Draw(t, "ports")}
		for range rapid.IntRange(0, 5).Draw(t, "endpoints") {
			slice.Endpoints = append(slice.Endpoints, answer.Endpoint{Addresses: addresses.Draw(t, "addresses"), Hostname: texts.Draw(t, "host"), Ready: rapid.Bool().Draw(t, "ready")})
		}
		id := Identity{Build: texts.Draw(t, "build"), Retiring: rapid.Bool().Draw(t, "retiring")}
		stream := AppendHello(nil, id)
		stream = AppendService(stream, svc)
		stream = AppendSlice(stream, slice)
		stream = AppendKey(stream, RemoveSlice, slice.Namespace, slice.Name)
		stream = AppendFrame(stream, Commit, nil)

		r := bufio.NewReader(bytes.NewReader(stream))
		next := func(want Kind) []byte {
			kind, payload, err := Read(r)
			if err != nil || kind != want {
				t.Fatalf("frame %q, %v, want %q", kind, err, want)
			}
			return payload
		}
		if got, err := ParseHello(next(Hello)); err != nil || got != id {
			t.Fatalf("%+v, %v, want %+v", got, err, id)
		}
		got, err := ParseService(next(PutService))
		same(t, got, svc, err)
		gotSlice, err := ParseSlice(next(PutSlice))
		same(t, gotSlice, slice, err)
		if namespace, name, err := ParseKey(next(RemoveSlice)); err != nil || namespace != slice.Namespace || name != slice.Name {
			t.Fatalf("%q, %q, %v", namespace, name, err)
		}
		if payload := next(Commit); len(payload) > 0 {
			t.Fatalf("%x", payload)
		}
		if _, _, err := Read(r); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

// same compares values, where an empty list is as good as none.
func same(t *rapid.T, got, want any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(plain(reflect.ValueOf(got)), plain(reflect.ValueOf(want))) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
}

func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Slice:
		out := []any{}
		for i := range v.Len() {
			out = append(out, plain(v.Index(i)))
		}
		return out
	case reflect.Struct:
		if a, ok := v.Interface().(netip.Addr); ok {
			return a.String()
		}
		out := map[string]any{}
		for i := range v.NumField() {
			out[v.Type().Field(i).Name] = plain(v.Field(i))
		}
		return out
	}
	return v.Interface()
}

// FuzzFrames reads wild bytes: nothing panics, and what is understood is written again as it was.
func FuzzFrames(f *testing.F) {
	f.Add(AppendService(nil, answer.Service{Namespace: "shop", Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.20")}, Ports: []answer.Port{{Name: "http", Protocol: "tcp", Number: 80}}}))
	f.Add(AppendSlice(nil, answer.Slice{Namespace: "shop", Name: "web-1", Service: "web", Endpoints: []answer.Endpoint{{Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}, Ready: true}}}))
	f.Add(AppendKey(nil, RemoveService, "shop", "web"))
	f.Add(AppendHello(nil, Identity{Build: "x"}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'S'})
	f.Add([]byte{0, 0, 0, 11, 'S', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			kind, payload, err := Read(r)
			if err != nil {
				return
			}
			switch kind {
			case PutService:
				if s, err := ParseService(payload); err == nil {
					again, err := ParseService(AppendService(nil, s)[headerBytes:])
					if err != nil || !reflect.DeepEqual(again, s) {
						t.Fatalf("%+v, then %+v, %v", s, again, err)
					}
				}
			case PutSlice:
				if s, err := ParseSlice(payload); err == nil {
					again, err := ParseSlice(AppendSlice(nil, s)[headerBytes:])
					if err != nil || !reflect.DeepEqual(again, s) {
						t.Fatalf("%+v, then %+v, %v", s, again, err)
					}
				}
			case RemoveService, RemoveSlice:
				_, _, _ = ParseKey(payload)
			case Hello:
				_, _ = ParseHello(payload)
			}
		}
	})
}
