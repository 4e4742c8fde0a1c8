//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"sampan/client/remote"
	"sampan/cluster"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/view"
)

// apiServer is a server without node parts, in the foreground: it needs no root and touches nothing but its
// data directory.
type apiServer struct {
	t       *testing.T
	dataDir string
	listen  string
	cmd     *exec.Cmd
	log     bytes.Buffer // of all its lives
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &apiServer{t: t, dataDir: filepath.Join(t.TempDir(), "data"), listen: l.Addr().String()}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", tail(s.log.Bytes(), 30))
		}
	})
	return s
}

// start starts the server and returns a channel that is closed when its API is there or its process has ended.
func (s *apiServer) start() <-chan struct{} {
	s.t.Helper()
	readable, writable, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(filepath.Join(root, "bin/sampan"), "server", "--node=false", "--data-dir", s.dataDir, "--listen", s.listen, "--ready-fd", "3")
	s.cmd.ExtraFiles = []*os.File{writable}
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	writable.Close()
	ready := make(chan struct{})
	go func() {
		defer readable.Close()
		told := sync.OnceFunc(func() { close(ready) })
		defer told()
		for lines := bufio.NewScanner(readable); lines.Scan(); {
			var r cluster.Report
			if json.Unmarshal(lines.Bytes(), &r) == nil && r.Part == cluster.PartAPI {
				told()
			}
		}
	}()
	return ready
}

func (s *apiServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// config returns how to reach the server.
func (s *apiServer) config() *rest.Config {
	s.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dataDir, "kubeconfig"))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.QPS = -1
	return cfg
}

const kills = 200

// TestTwoHundredKillsLoseNoWriteAndNoEvent kills the server with SIGKILL at random moments, of its start too, while
// writers write and watchers watch. What was acknowledged must be there afterwards, revisions must rise from life to
// life, and watchers that come back must be told every change once and in order.
func TestTwoHundredKillsLoseNoWriteAndNoEvent(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // client-go tells of every broken stream
	t.Cleanup(klog.ClearLogger)
	s := newAPIServer(t)
	<-s.start()

	lives := newLives()
	lives.begin()
	quick := s.config()
	quick.Timeout = 5 * time.Second
	api, err := kubernetes.NewForConfig(quick)
	if err != nil {
		t.Fatal(err)
	}
	var writers []*writer
	for i := range 4 {
		writers = append(writers, &writer{t: t, api: api.CoreV1().ConfigMaps("default"), name: fmt.Sprint("w", i), have: map[string]string{}, unsure: map[string]bool{}})
	}
	watching, stop := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer stop()
	streams, err := kubernetes.NewForConfig(s.config())
	if err != nil {
		t.Fatal(err)
	}
	seen := &observer{t: t, who: "watch", state: map[string]*corev1.ConfigMap{}}
	watchers.Go(func() { seen.watch(watching, streams.CoreV1().ConfigMaps("default"), lives) })
	follower := newFollower(t, s.config())
	watchers.Go(func() { _ = follower.client.Run(watching) })
	watchers.Go(func() { follower.follow(watching) })

	newest := int64(0) // of all acknowledged writes
	began := time.Now()
	for n := 0; n < kills; n++ {
		ctx, end := context.WithCancel(context.Background())
		var writing sync.WaitGroup
		for _, w := range writers {
			w.least = newest
			writing.Go(func() { w.write(ctx) })
		}
		moment := time.NewTimer(time.Duration(random.IntN(200)) * time.Millisecond)
		<-moment.C
		s.kill()
		end()
		writing.Wait()
		lives.end()
		for _, w := range writers {
			newest = max(newest, w.newest)
		}
		ready := s.start()
		if random.IntN(5) == 0 { // killed while it starts
			early := time.NewTimer(time.Duration(random.IntN(120)) * time.Millisecond)
			<-early.C
			s.kill()
			n++
			ready = s.start()
		}
		<-ready
		lives.begin()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills in %s", kills, time.Since(began).Round(time.Millisecond))

	// What is there now, by a client that knows nothing.
	all := streams.CoreV1().ConfigMaps("default")
	list, err := all.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range list.Items {
		found[m.Name] = m.Data["value"]
	}
	writes := 0
	for _, w := range writers {
		writes += w.acknowledged
		for name, value := range w.have {
			if got, ok := found[name]; !w.unsure[name] && (!ok || got != value) {
				t.Errorf("%s was acknowledged with %q, found %q, %v", name, value, got, ok)
			}
		}
		for name := range found {
			if _, ok := w.have[name]; !ok && !w.unsure[name] && name[:len(w.name)+1] == w.name+"-" {
				t.Errorf("%s is there, but its deletion was acknowledged", name)
			}
		}
	}
	t.Logf("%d acknowledged writes; the watch saw %d events and %d relists, the follower %d changes", writes, seen.events, seen.relists, follower.seen.events)
	if writes < kills {
		t.Errorf("only %d writes were acknowledged", writes)
	}
	// The watchers arrive at the same state.
	last, err := all.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "last"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found["last"] = ""
	seen.expect(last.Name, found)
	follower.seen.expect(last.Name, found)
}

// lives says when the server is there, so that nobody has to try.
type lives struct {
	mu    sync.Mutex
	there chan struct{} // closed while the server is there
}

func newLives() *lives { return &lives{there: make(chan struct{})} }

func (l *lives) begin() { l.mu.Lock(); defer l.mu.Unlock(); close(l.there) }
func (l *lives) end()   { l.mu.Lock(); defer l.mu.Unlock(); l.there = make(chan struct{}) }

func (l *lives) wait(ctx context.Context) {
	l.mu.Lock()
	there := l.there
	l.mu.Unlock()
	select {
	case <-there:
	case <-ctx.Done():
	}
}

// writer writes objects that are its own, and keeps what was acknowledged.
type writer struct {
	t            *testing.T
	api          typedv1.ConfigMapInterface
	name         string
	n            int
	have         map[string]string // acknowledged values by name
	unsure       map[string]bool   // names whose last write got no answer
	acknowledged int
	least        int64 // every acknowledged revision must be above
	newest       int64
}

// write writes until the server goes away.
func (w *writer) write(ctx context.Context) {
	for ctx.Err() == nil {
		w.n++
		name := fmt.Sprintf("%s-%d", w.name, w.n)
		if !w.one(name, func() (*corev1.ConfigMap, error) {
			return w.api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": "1"}}, metav1.CreateOptions{})
		}) {
			return
		}
		w.have[name] = "1"
		if !w.one(name, func() (*corev1.ConfigMap, error) {
			return w.api.Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": "2"}}, metav1.UpdateOptions{})
		}) {
			return
		}
		w.have[name] = "2"
		if w.n%3 == 0 {
			if !w.one(name, func() (*corev1.ConfigMap, error) { return nil, w.api.Delete(ctx, name, metav1.DeleteOptions{}) }) {
				return
			}
			delete(w.have, name)
		}
	}
}

// one carries out one write and reports whether it was acknowledged.
func (w *writer) one(name string, write func() (*corev1.ConfigMap, error)) bool {
	obj, err := write()
	if err != nil {
		if apierrors.ReasonForError(err) != metav1.StatusReasonUnknown && !apierrors.IsTimeout(err) {
			w.t.Errorf("%s: %v", name, err)
		}
		w.unsure[name] = true
		return false
	}
	w.acknowledged++
	if obj != nil {
		at := revisionOf(w.t, obj)
		if at <= w.least {
			w.t.Errorf("%s was written at revision %d, after %d was acknowledged by an earlier life", name, at, w.least)
		}
		w.newest = max(w.newest, at)
	}
	return true
}

func revisionOf(t *testing.T, obj kind.Object) int64 {
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Errorf("resourceVersion of %s: %v", obj.GetName(), err)
	}
	return n
}

// observer checks what a watcher is told.
type observer struct {
	t       *testing.T
	who     string
	mu      sync.Mutex // guards everything below
	changed chan struct{}
	state   map[string]*corev1.ConfigMap
	last    int64
	events  int
	relists int
}

// event takes one event: next is nil for a deletion.
func (o *observer) event(name string, at int64, typ watch.EventType, next *corev1.ConfigMap) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events++
	old := o.state[name]
	switch {
	case at <= o.last:
		o.t.Errorf("%s: %s of %s at revision %d comes after %d", o.who, typ, name, at, o.last)
	case typ == watch.Added && old != nil:
		o.t.Errorf("%s: %s is added twice, at %d and %s", o.who, name, at, old.ResourceVersion)
	case typ != watch.Added && old == nil:
		o.t.Errorf("%s: %s of %s at %d, which is not there", o.who, typ, name, at)
	case typ == watch.Modified && (old.Data["value"] != "1" || next.Data["value"] != "2"):
		o.t.Errorf("%s: %s goes from %s to %s", o.who, name, old.Data["value"], next.Data["value"])
	}
	o.last = max(o.last, at)
	if next == nil {
		delete(o.state, name)
	} else {
		o.state[name] = next
	}
	o.wake()
}

func (o *observer) wake() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// expect waits until the watcher knows the object, and compares what it knows then.
func (o *observer) expect(name string, want map[string]string) {
	o.t.Helper()
	// client-go retries a request whose connection broke after a second, up to ten times, before it says so.
	late := time.NewTimer(2 * patience)
	defer late.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.state[name] == nil {
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			o.mu.Lock()
			o.t.Errorf("%s: nothing comes after revision %d", o.who, o.last)
			return
		}
		o.mu.Lock()
	}
	for name, value := range want {
		if m := o.state[name]; m == nil || m.Data["value"] != value {
			o.t.Errorf("%s: knows %s as %v, it is %q", o.who, name, m, value)
		}
	}
	for name := range o.state {
		if _, ok := want[name]; !ok {
			o.t.Errorf("%s: knows %s, which is gone", o.who, name)
		}
	}
}

// watch follows the config maps as informers do: list, watch, and watch again from the last revision.
func (o *observer) watch(ctx context.Context, api typedv1.ConfigMapInterface, l *lives) {
	for relist := true; ctx.Err() == nil; {
		l.wait(ctx)
		if relist {
			soon, cancel := context.WithTimeout(ctx, patience)
			list, err := api.List(soon, metav1.ListOptions{})
			cancel()
			if err != nil {
				continue
			}
			o.mu.Lock()
			o.relists++
			clear(o.state)
			for i := range list.Items {
				o.state[list.Items[i].Name] = &list.Items[i]
			}
			o.last, _ = strconv.ParseInt(list.ResourceVersion, 10, 64)
			o.wake()
			o.mu.Unlock()
		}
		o.mu.Lock()
		from := strconv.FormatInt(o.last, 10)
		o.mu.Unlock()
		stream, err := api.Watch(ctx, metav1.ListOptions{ResourceVersion: from})
		if err != nil {
			relist = apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
			continue
		}
		relist = false
		for e := range stream.ResultChan() {
			switch obj := e.Object.(type) {
			case *corev1.ConfigMap:
				next := obj
				if e.Type == watch.Deleted {
					next = nil
				}
				o.event(obj.Name, revisionOf(o.t, obj), e.Type, next)
			case *metav1.Status:
				relist = obj.Code == 410
			}
		}
		stream.Stop()
	}
}

// follower follows the config maps as an agent on another node does.
type follower struct {
	client *remote.Client
	seen   *observer
}

func newFollower(t *testing.T, cfg *rest.Config) *follower {
	t.Helper()
	config, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := remote.New(remote.Config{
		Server: cfg.Host, TLS: config, Kinds: registry.New(), Log: slog.New(slog.DiscardHandler),
		Follow: []remote.Follow{{Kind: kind.ConfigMaps, Namespace: "default"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &follower{client: c, seen: &observer{t: t, who: "follower", state: map[string]*corev1.ConfigMap{}}}
}

func (f *follower) follow(ctx context.Context) {
	o := f.seen
	if f.client.Wait(ctx, 0) != nil {
		return
	}
	snap := f.client.Snapshot()
	o.replace(snap)
	for at := snap.Revision(); f.client.Wait(ctx, at) == nil; {
		changes, next, ok := f.client.Since(at)
		if !ok { // this goroutine was slower than the history is long: everything from the snapshot
			o.replace(next)
			at = next.Revision()
			continue
		}
		o.take(changes)
		if next.Revision() < at {
			o.t.Errorf("follower: the view goes from %d to %d", at, next.Revision())
		}
		at = next.Revision()
	}
}

// replace takes what a snapshot shows for what there is.
func (o *observer) replace(snap *view.Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.state)
	for m := range view.All[*corev1.ConfigMap](snap, kind.ConfigMaps, "default") {
		o.state[m.Name] = m
	}
	o.last = snap.Revision()
	o.wake()
}

// take takes changes, of which it shows all or none to whoever waits: those that a relist found are in no order.
func (o *observer) take(changes []view.Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, c := range changes {
		o.change(c, i > 0 && changes[i-1].Revision == c.Revision)
	}
	o.wake()
}

// change checks that a change begins where the last one of the object ended. sibling says that the change before it
// has the same revision, which only those have that a relist found. The caller holds mu.
func (o *observer) change(c view.Change, sibling bool) {
	o.events++
	if c.Revision < o.last || c.Revision == o.last && !sibling {
		o.t.Errorf("%s: revision %d of %s comes after %d", o.who, c.Revision, c.Key.Name, o.last)
	}
	o.last = c.Revision
	old := o.state[c.Key.Name]
	if (old == nil) != (c.Old == nil) || c.New != nil && old != nil && old.ResourceVersion != c.Old.GetResourceVersion() {
		o.t.Errorf("%s: %s changes from %v, last seen was %v", o.who, c.Key.Name, c.Old, old)
	}
	if c.New == nil {
		delete(o.state, c.Key.Name)
	} else {
		o.state[c.Key.Name] = c.New.(*corev1.ConfigMap)
	}
}
