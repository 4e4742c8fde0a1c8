//go:build ignore

// Command generate writes the merge schema of package mergeschema from the one that client-go carries.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/gob"
	"log"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	pod := &corev1.Pod{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	typed, err := applyconfigurations.NewTypeConverter(scheme.Scheme).ObjectToTyped(pod)
	if err != nil {
		log.Fatal(err)
	}
	gob.Register(map[any]any{})
	var buf bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	if err := gob.NewEncoder(zip).Encode(typed.Schema().Types); err != nil {
		log.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("schema.gob.gz", buf.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
