package registry_test

import (
	"testing"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/registry"
)

// BenchmarkCreate is what a kind costs the API server per creation: defaults, preparation and validation.
func BenchmarkCreate(b *testing.B) {
	r := registry.New()
	for _, id := range []kind.ID{kind.ConfigMaps, kind.Pods, kind.Deployments, kind.Leases} {
		b.Run(string(id), func(b *testing.B) {
			k := r.ByID(id)
			b.ReportAllocs()
			for b.Loop() {
				obj := kindtest.Minimal(k)
				k.Default(obj)
				k.PrepareCreate(obj)
				if errs := append(kind.ValidateMeta(k, obj), k.Validate(obj)...); len(errs) > 0 {
					b.Fatal(errs)
				}
			}
		})
	}
}
