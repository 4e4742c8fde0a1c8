package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sampan/store/sealed"
)

func TestEncryptionIsCountedByKindAndOutcome(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newPartMetrics(registry)
	m.encrypted(sealed.Operation{Key: "/secrets/n/s", Sealing: true})
	m.encrypted(sealed.Operation{Key: "/secrets/n/s"})
	m.encrypted(sealed.Operation{Key: "/identity/cluster", Err: errors.New("no key")})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if f.GetName() != "apiserver_storage_transformation_operations_total" {
			continue
		}
		for _, s := range f.GetMetric() {
			var labels []string
			for _, l := range s.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, fmt.Sprint(strings.Join(labels, " "), " ", s.GetCounter().GetValue()))
		}
	}
	slices.Sort(got)
	want := []string{
		"identity Unknown from_storage k8s:enc:aesgcm:v1: 1",
		"secrets OK from_storage k8s:enc:aesgcm:v1: 1",
		"secrets OK to_storage k8s:enc:aesgcm:v1: 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
