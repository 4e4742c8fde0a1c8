package etcd_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"sampan/store"
	"sampan/store/etcdtest"
)

// What it costs to reach etcd and to get one's own events back; its disk is not measured (see etcdtest).
func BenchmarkCreate(b *testing.B) {
	server := etcdtest.Start(b, "http")
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, server, nil)
			value := make([]byte, 1024)
			var next atomic.Int64
			create := func() {
				key := fmt.Sprintf("/pods/default/web-%d", next.Add(1))
				if _, err := s.Apply(b.Context(), store.Write{Key: key, Value: value}); err != nil {
					b.Error(err)
				}
			}
			if writers == 1 {
				for b.Loop() {
					create()
				}
				return
			}
			b.SetParallelism(writers / 2) // times two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					create()
				}
			})
		})
	}
}

// What it costs a reader to know that nobody has written anything newer.
func BenchmarkCatchUp(b *testing.B) {
	server := etcdtest.Start(b, "http")
	for _, readers := range []int{1, 64} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			s := open(b, server, nil)
			put(b, s, "/a", "1", 0)
			catchUp := func() {
				if err := s.CatchUp(b.Context()); err != nil {
					b.Error(err)
				}
			}
			if readers == 1 {
				for b.Loop() {
					catchUp()
				}
				return
			}
			b.SetParallelism(readers / 2) // times two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					catchUp()
				}
			})
		})
	}
}
