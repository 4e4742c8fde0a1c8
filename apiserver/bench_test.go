package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/store/embedded"
)

// clients is how many clients send requests at the same time.
const clients = 64

// benchServer returns the address of a server on disk, and a client with a few HTTP/2 connections.
func benchServer(b *testing.B) (string, []*http.Client, *apiserver.Server) {
	st, err := embedded.Open(b.TempDir()+"/store.db", embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	s := newServer(b, st)
	h := httptest.NewUnstartedServer(s.Handler())
	h.EnableHTTP2 = true
	h.StartTLS()
	b.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	var cs []*http.Client
	for range 4 {
		cs = append(cs, &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableCompression: true,
		}})
	}
	return h.URL, cs, s
}

func kilobyte(name string) []byte {
	obj := configMap(name)
	obj.Data = map[string]string{"payload": strings.Repeat("x", 1000)}
	obj.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	data, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	return data
}

// parallel runs b.N requests by many clients.
func parallel(b *testing.B, cs []*http.Client, request func(i int64) *http.Request, code int) {
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range clients {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				res, err := cs[c%len(cs)].Do(request(i))
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != code {
					b.Error(res.Status)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func BenchmarkCreate(b *testing.B) {
	url, cs, _ := benchServer(b)
	parallel(b, cs, func(i int64) *http.Request {
		r, _ := http.NewRequest("POST", url+"/api/v1/namespaces/default/configmaps", bytes.NewReader(kilobyte(fmt.Sprintf("c%d", i))))
		r.Header.Set("Content-Type", "application/json")
		return r
	}, 201)
}

func fill(b *testing.B, s *apiserver.Server, n int) {
	c := s.Client(masters())
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < n; i += 64 {
				obj := configMap(fmt.Sprintf("c%d", i))
				obj.Data = map[string]string{"payload": strings.Repeat("x", 1000)}
				if _, err := c.Create(background(), obj, metav1.CreateOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	url, cs, s := benchServer(b)
	fill(b, s, 1000)
	parallel(b, cs, func(i int64) *http.Request {
		r, _ := http.NewRequest("GET", fmt.Sprintf("%s/api/v1/namespaces/default/configmaps/c%d", url, i%1000), nil)
		return r
	}, 200)
}

func BenchmarkList10000(b *testing.B) {
	for _, media := range []string{"application/vnd.kubernetes.protobuf", "application/json"} {
		b.Run(media, func(b *testing.B) {
			url, cs, s := benchServer(b)
			fill(b, s, 10000)
			b.ResetTimer()
			for b.Loop() {
				r, _ := http.NewRequest("GET", url+"/api/v1/namespaces/default/configmaps", nil)
				r.Header.Set("Accept", media)
				res, err := cs[0].Do(r)
				if err != nil {
					b.Fatal(err)
				}
				n, _ := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				b.ReportMetric(float64(n), "bytes")
			}
		})
	}
}

func BenchmarkEventToWatchers(b *testing.B) {
	url, cs, s := benchServer(b)
	const watchers = 1000
	arrived := make(chan struct{}, watchers)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var open sync.WaitGroup
	for i := range watchers {
		open.Add(1)
		go func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", url+"/api/v1/namespaces/default/configmaps?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", nil)
			res, err := cs[i%len(cs)].Do(r)
			open.Done()
			if err != nil {
				return
			}
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for {
				if _, err := lines.ReadBytes('\n'); err != nil {
					return
				}
				arrived <- struct{}{}
			}
		}()
	}
	open.Wait()
	c := s.Client(masters())
	n := 0
	for b.Loop() {
		n++
		if _, err := c.Create(background(), configMap(fmt.Sprintf("c%d", n)), metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		for range watchers {
			<-arrived
		}
	}
}

// BenchmarkPodOfAController is what the API server has to do for a pod that a part of this process makes and runs: a
// create, a binding and two statuses.
func BenchmarkPodOfAController(b *testing.B) {
	s := newMemory(b)
	c := s.Client(masters())
	ctx := b.Context()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		p := pod(fmt.Sprintf("p%d", n))
		p.Labels = map[string]string{"app": "web", "pod-template-hash": "abcdef"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "u", Controller: new(true), BlockOwnerDeletion: new(true)}}
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}}
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}
		obj, err := c.Create(ctx, p, metav1.CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		key := podKey(p.Name)
		if err := c.Bind(ctx, key, obj.GetUID(), "n1"); err != nil {
			b.Fatal(err)
		}
		for _, ready := range []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue} {
			obj, err := c.Get(ctx, key)
			if err != nil {
				b.Fatal(err)
			}
			next := obj.DeepCopyObject().(*corev1.Pod)
			now := metav1.Now()
			next.Status.Phase, next.Status.PodIP, next.Status.PodIPs, next.Status.HostIP, next.Status.StartTime = corev1.PodRunning, "10.0.0.1", []corev1.PodIP{{IP: "10.0.0.1"}}, "10.0.0.2", &now
			next.Status.Conditions = nil
			for _, t := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady, corev1.PodReadyToStartContainers} {
				next.Status.Conditions = append(next.Status.Conditions, corev1.PodCondition{Type: t, Status: ready, LastTransitionTime: now})
			}
			next.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", Image: "i", ImageID: "sha", ContainerID: "c://1", Ready: ready == corev1.ConditionTrue,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}
			if _, err := c.Update(ctx, next, "status", metav1.UpdateOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkUpdate is an update whose writer has a record already, so that nothing of it but the time is new.
func BenchmarkUpdate(b *testing.B) {
	for name, step := range map[string]int{"another value": 1, "the same once more": 0} {
		b.Run(name, func(b *testing.B) {
			clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s := newMemory(b, func(cfg *apiserver.Config) { cfg.Now = func() time.Time { return clock } })
			c := s.Client(masters()).ManagedBy("bench")
			obj := configMap("c")
			obj.Data = map[string]string{"payload": strings.Repeat("x", 1000), "n": "1000000"}
			cur, err := c.Create(b.Context(), obj, metav1.CreateOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := 1000000; b.Loop(); {
				n += step
				clock = clock.Add(time.Minute)
				next := cur.DeepCopyObject().(*corev1.ConfigMap)
				next.Data["n"] = fmt.Sprint(n)
				if cur, err = c.Update(b.Context(), next, "", metav1.UpdateOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
