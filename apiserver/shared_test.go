package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"sampan/apiserver"
	"sampan/apiserver/auth/satoken"
	"sampan/client"
	"sampan/kind"
	"sampan/store/etcdtest"
	"sampan/view"
)

// overHTTP returns clients of API servers that share an etcd.
func overHTTP(t *testing.T, server *etcdtest.Server, n int, change ...func(*apiserver.Config)) []*kubernetes.Clientset {
	t.Helper()
	clients := make([]*kubernetes.Clientset, n)
	for i, s := range sharing(t, server, n, change...) {
		clients[i] = clientset(t, listen(t, s))
	}
	return clients
}

func revision(t *testing.T, obj metav1.Object) int64 {
	t.Helper()
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What one server has acknowledged, every request to another one finds, and is decided on.
func TestWritesAreFoundThroughEveryServer(t *testing.T) {
	c := overHTTP(t, etcdtest.Start(t, "http"), 2)
	ctx := t.Context()
	for i := range 40 {
		a, b, name := c[i%2], c[1-i%2], fmt.Sprintf("n%d", i)
		check := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %s: %v", name, what, err)
			}
		}
		_, err := a.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		check("create the namespace", err)
		inA, inB := a.CoreV1().ConfigMaps(name), b.CoreV1().ConfigMaps(name)
		made, err := inB.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm"}}, metav1.CreateOptions{})
		check("create in the other's namespace", err)
		got, err := inA.Get(ctx, "cm", metav1.GetOptions{})
		check("get", err)
		if got.ResourceVersion != made.ResourceVersion {
			t.Errorf("%s: got version %s, want %s", name, got.ResourceVersion, made.ResourceVersion)
		}
		got.Data = map[string]string{"by": "a"}
		changed, err := inA.Update(ctx, got, metav1.UpdateOptions{})
		check("update", err)
		list, err := inB.List(ctx, metav1.ListOptions{})
		check("list", err)
		if len(list.Items) != 1 || list.Items[0].ResourceVersion != changed.ResourceVersion {
			t.Errorf("%s: listed %v, want version %s", name, list.Items, changed.ResourceVersion)
		}
		check("delete", inA.Delete(ctx, "cm", metav1.DeleteOptions{}))
		if _, err := inB.Get(ctx, "cm", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s: get of what the other has deleted: %v", name, err)
		}
		check("create again", func() error {
			_, err := inB.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm"}}, metav1.CreateOptions{})
			return err
		}())
		watch, err := inA.Watch(ctx, metav1.ListOptions{})
		check("watch", err)
		if e := <-watch.ResultChan(); e.Type != "ADDED" || revision(t, e.Object.(*corev1.ConfigMap)) <= revision(t, changed) {
			t.Errorf("%s: the watch begins with %v", name, e)
		}
		watch.Stop()
		check("delete the namespace", a.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
		_, err = inB.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}}, metav1.CreateOptions{})
		if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			t.Errorf("%s: create in a namespace that the other deletes: %v", name, err)
		}
	}
}

// A read that names a version waits for it, and one that takes any state takes what is there.
func TestReadsThatNameAVersion(t *testing.T) {
	server := etcdtest.Start(t, "http")
	c := overHTTP(t, server, 2)
	ctx := t.Context()
	for i := range 40 {
		name := fmt.Sprintf("cm-%d", i)
		made, err := c[0].CoreV1().ConfigMaps("default").Create(ctx, configMapNamed(name), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c[1].CoreV1().ConfigMaps("default").Get(ctx, name, metav1.GetOptions{ResourceVersion: made.ResourceVersion}); err != nil {
			t.Error(err)
		}
		exact, err := c[1].CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		if err != nil || exact.ResourceVersion != made.ResourceVersion || len(exact.Items) != i+1 {
			t.Errorf("list at %s: %d items at %s, %v", made.ResourceVersion, len(exact.Items), exact.ResourceVersion, err)
		}
	}
	if _, err := c[0].CoreV1().ConfigMaps("default").Get(ctx, "cm-0", metav1.GetOptions{ResourceVersion: "x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a version that is none: %v", err)
	}
	// Without etcd nobody can say what is the newest state.
	server.Kill()
	if _, err := c[0].CoreV1().ConfigMaps("default").Get(ctx, "cm-0", metav1.GetOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("get of the newest state: %v", err)
	}
	if _, err := c[0].CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("list of the newest state: %v", err)
	}
	if _, err := c[0].CoreV1().ConfigMaps("default").Get(ctx, "cm-0", metav1.GetOptions{ResourceVersion: "0"}); err != nil {
		t.Errorf("get of any state: %v", err)
	}
	if list, err := c[0].CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{ResourceVersion: "0"}); err != nil || len(list.Items) != 40 {
		t.Errorf("list of any state: %d items, %v", len(list.Items), err)
	}
}

func TestTokensBeginAndEndOnEveryServer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := satoken.New(apiserver.DefaultTokenIssuer, key)
	if err != nil {
		t.Fatal(err)
	}
	var clients []*kubernetes.Clientset
	var as []func(token string) *kubernetes.Clientset
	for _, s := range sharing(t, etcdtest.Start(t, "http"), 2, func(c *apiserver.Config) { c.Tokens = keys }) {
		cfg := listen(t, s)
		clients = append(clients, clientset(t, cfg))
		as = append(as, func(token string) *kubernetes.Clientset {
			with := *cfg
			with.BearerToken = token
			return clientset(t, &with)
		})
	}
	accounts := clients[0].CoreV1().ServiceAccounts("default")
	for i := range 20 {
		name := fmt.Sprintf("sa-%d", i)
		if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		token, err := clients[i%2].CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		user := as[1](token.Status.Token)
		if _, err := user.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); err != nil {
			t.Errorf("%s: its token is not known: %v", name, err)
		}
		if err := accounts.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := user.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s is deleted, but its token is good: %v", name, err)
		}
	}
}

// Two servers hand out every port that there is, each once.
func TestServersFillOneRangeOfPorts(t *testing.T) {
	const services = 200
	var c []client.Client
	for _, s := range sharing(t, etcdtest.Start(t, "http"), 2, func(c *apiserver.Config) {
		c.NodePorts = apiserver.PortRange{First: 30000, Last: 30000 + services - 1}
	}) {
		c = append(c, s.Client(masters()))
	}
	made := func(i int) (*corev1.Service, error) {
		obj, err := c[i%2].Create(t.Context(), service(fmt.Sprintf("s-%d", i), ofType(corev1.ServiceTypeNodePort)), metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		return obj.(*corev1.Service), nil
	}
	var mu sync.Mutex // guards the maps
	addresses, ports := map[string]string{}, map[int32]string{}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < services; i = int(next.Add(1)) - 1 {
				svc, err := made(i)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other := addresses[svc.Spec.ClusterIP]; other != "" {
					t.Errorf("%s is held by %s and %s", svc.Spec.ClusterIP, other, svc.Name)
				}
				port := svc.Spec.Ports[0].NodePort
				if other := ports[port]; other != "" {
					t.Errorf("port %d is held by %s and %s", port, other, svc.Name)
				}
				addresses[svc.Spec.ClusterIP], ports[port] = svc.Name, svc.Name
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(addresses) != services || len(ports) != services {
		t.Errorf("%d addresses and %d ports for %d Services", len(addresses), len(ports), services)
	}
	if _, err := made(services); !apierrors.IsInternalError(err) {
		t.Errorf("one Service more than ports: %v", err)
	}
	// What one server takes back, the other hands out.
	until(t, c[1], "the last Service", func(s *view.Snapshot) bool {
		_, ok := view.Get[*corev1.Service](s, kind.Services, "default", "s-0")
		return ok
	})
	if _, err := c[1].Delete(t.Context(), view.Key{Kind: kind.Services, Namespace: "default", Name: "s-0"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, c[0], "the deletion", func(s *view.Snapshot) bool {
		_, ok := view.Get[*corev1.Service](s, kind.Services, "default", "s-0")
		return !ok
	})
	if _, err := made(services); err != nil {
		t.Errorf("a port is free again: %v", err)
	}
}

func TestQuotaIsExactOnServersThatShareAnEtcd(t *testing.T) {
	const hard, writers, each = 20, 8, 6
	c := onEtcd(t, etcdtest.Start(t, "http"), 2)
	limited(t, c[0], map[corev1.ResourceName]string{"count/configmaps": fmt.Sprint(hard)})
	until(t, c[1], "the quota", func(s *view.Snapshot) bool {
		q, ok := view.Get[*corev1.ResourceQuota](s, kind.ResourceQuotas, "default", "q")
		return ok && len(q.Status.Used) > 0
	})
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for j := range each {
				switch _, err := c[i%2].Create(t.Context(), configMapNamed(fmt.Sprintf("m-%d-%d", i, j)), metav1.CreateOptions{}); {
				case err == nil:
					made.Add(1)
				case apierrors.IsForbidden(err):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if made.Load() != hard || refused.Load() != writers*each-hard {
		t.Errorf("%d were made and %d refused, want %d and %d", made.Load(), refused.Load(), hard, writers*each-hard)
	}
	if _, err := c[0].Get(t.Context(), view.Key{Kind: kind.ResourceQuotas, Namespace: "default", Name: "q"}); err != nil {
		t.Fatal(err)
	}
	if n := used(t, c[0], "count/configmaps"); n != hard {
		t.Errorf("used is %d", n)
	}
}

func TestBudgetHoldsOnServersThatShareAnEtcd(t *testing.T) {
	c := onEtcd(t, etcdtest.Start(t, "http"), 2)
	names := strings.Split("abcdefghij", "")
	guarded(t, c[0], 3, names...)
	if _, err := c[1].Get(t.Context(), podKey("j")); err != nil { // and with it all that was before
		t.Fatal(err)
	}
	if gone := evictAll(t, names, c...); gone != 3 {
		t.Errorf("%d pods were evicted, want 3", gone)
	}
}

// Of two that make a change to what they have both seen, one is told so, also when the other has deleted it.
func TestConflictsBetweenServers(t *testing.T) {
	c := onEtcd(t, etcdtest.Start(t, "http"), 2)
	for i := range 40 {
		name := fmt.Sprintf("cm-%d", i)
		key := view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: name}
		made, err := c[0].Create(t.Context(), configMapNamed(name), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c[1].Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := c[0].Delete(t.Context(), key, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		next := configMapNamed(name)
		next.Data, next.ResourceVersion = map[string]string{"k": "v"}, made.GetResourceVersion()
		if _, err := c[1].Update(t.Context(), next, "", metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s: update of what the other has deleted: %v", name, err)
		}
		if _, err := c[1].Get(t.Context(), key); !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
