package embedded_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"sampan/store"
	"sampan/store/embedded"
)

// The figure to hold is 5,000 durable creates a second beside an HTTPS server on two cores, which leaves the
// store a small part of each 200 µs.
func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openAt(b, filepath.Join(b.TempDir(), "store.db"), embedded.Options{})
			value := make([]byte, 1024)
			var next atomic.Int64
			b.SetParallelism(max(writers/2, 1)) // times two processors
			if writers == 1 {
				for b.Loop() {
					put(b, s, fmt.Sprintf("/pods/default/web-%d", next.Add(1)), string(value), 0)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					key := fmt.Sprintf("/pods/default/web-%d", next.Add(1)*7919%1000003)
					if _, err := s.Apply(b.Context(), store.Write{Key: key, Value: value}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "store.db"), embedded.Options{})
	value := make([]byte, 1024)
	var next atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			key := fmt.Sprintf("/pods/default/web-%d", next.Add(1)*7919%20011)
			if _, err := s.Apply(b.Context(), store.Write{Key: key, Value: value, Expect: store.AnyRevision}); err != nil {
				b.Error(err)
			}
		}
	})
}
