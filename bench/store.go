package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"sampan/store"
	"sampan/store/embedded"
)

const storedObjects = 100_000

// measureStore restarts a server on a store with many objects, and compares a create with the disk under it.
func measureStore(binary string) ([]figure, error) {
	s, a, err := startAPI(binary)
	if err != nil {
		return nil, err
	}
	dir := s.dataDir
	sync, err := syncTime(dir)
	if err != nil {
		return nil, err
	}
	_, creates, err := a.rate(1, 3*time.Second, func(client *http.Client, i int64) error {
		_, err := a.do(client, http.MethodPost, configMaps, "application/json", "application/json", configMap(fmt.Sprintf("one-%d", i), 1000))
		return err
	})
	if err != nil {
		return nil, err
	}
	_, emptyAnon, err := settledMemory(s)
	if err != nil {
		return nil, err
	}
	if err := s.kill(syscall.SIGTERM); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "store.db")
	if err := fillStore(file); err != nil {
		return nil, err
	}
	began := time.Now()
	st, err := embedded.Open(file, embedded.Options{})
	opened := time.Since(began)
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	var restarts []float64
	for range 3 {
		if s, err = start(binary, dir, "--node=false"); err != nil {
			return nil, err
		}
		restarts = append(restarts, milliseconds(s.api))
		if len(restarts) < 3 {
			if err := s.kill(syscall.SIGKILL); err != nil {
				return nil, err
			}
		}
	}
	rss, anon, err := settledMemory(s)
	if err != nil {
		return nil, err
	}
	return []figure{
		{Name: "opening a store of 100,000 objects", Value: milliseconds(opened), Unit: "ms", Budget: 100},
		{Name: "restart with 100,000 objects, to API ready", Value: median(restarts), Unit: "ms", Budget: 1500},
		{Name: "memory per stored 1 KB object", Value: (anon - emptyAnon) * 1024 / storedObjects, Unit: "KB", Budget: 3},
		{Name: "  resident with 100,000, pages of the store file included", Value: rss, Unit: "MB"},
		{Name: "the disk's own fdatasync of 4 KB, p50", Value: sync, Unit: "ms"},
		{Name: "durable create over HTTPS, 1 client, p50", Value: percentile(creates, 0.5), Unit: "ms", Budget: math.Round(1000*(1.5*sync+0.2)) / 1000},
	}, s.down()
}

// settledMemory returns the memory of a server whose start-up garbage is collected.
func settledMemory(s *server) (rss, anon float64, err error) {
	settle := time.NewTimer(15 * time.Second)
	<-settle.C
	return memory(s.cmd.Process.Pid)
}

// syncTime returns how long the disk takes to make one page durable.
func syncTime(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	var times []float64
	for i := range 300 {
		began := time.Now()
		if _, err := f.WriteAt(page, int64(i%16)*4096); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		times = append(times, milliseconds(time.Since(began)))
	}
	return median(times), nil
}

// fillStore writes ConfigMaps of 1 KB as the API server stores them.
func fillStore(file string) error {
	s, err := embedded.Open(file, embedded.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for i := 0; i < storedObjects; i += 1000 {
		var writes []store.Write
		for j := range 1000 {
			cm := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "default", Name: fmt.Sprintf("stored-%06d", i+j),
					UID: types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i+j)), CreationTimestamp: metav1.Now(),
				},
				Data: map[string]string{"value": strings.Repeat("x", 1000)},
			}
			raw, err := cm.Marshal()
			if err != nil {
				return err
			}
			envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: raw}
			value, err := envelope.Marshal()
			if err != nil {
				return err
			}
			writes = append(writes, store.Write{
				Key: "/configmaps/default/" + cm.Name, Value: append([]byte("k8s\x00"), value...), Expect: store.AnyRevision,
			})
		}
		if _, err := s.Apply(background(), writes...); err != nil {
			return err
		}
	}
	return nil
}
