package serviceaccount_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/serviceaccount"
	"sampan/kind"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func key() view.Key { return view.Key{Kind: kind.Namespaces, Name: "shop"} }

func shop(options ...func(*corev1.Namespace)) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}}
	for _, o := range options {
		o(ns)
	}
	return ns
}

func terminating(ns *corev1.Namespace) { ns.Status.Phase = corev1.NamespaceTerminating }

func TestNamespacesAreFurnished(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	ca := func(data string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: meta("kube-root-ca.crt"), Data: map[string]string{"ca.crt": data}}
	}
	for _, c := range []struct {
		name        string
		objects     []kind.Object
		account, ca string
	}{
		{"new", []kind.Object{shop()}, "create serviceaccounts/shop/default\n", "create configmaps/shop/kube-root-ca.crt\n"},
		{"furnished", []kind.Object{shop(), &corev1.ServiceAccount{ObjectMeta: meta("default")}, ca("PEM")}, "nothing\n", "nothing\n"},
		{"another authority", []kind.Object{shop(), ca("old")}, "create serviceaccounts/shop/default\n", "update configmaps/shop/kube-root-ca.crt\n"},
		{"terminating", []kind.Object{shop(terminating)}, "nothing\n", "nothing\n"},
		{"gone", nil, "nothing\n", "nothing\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			accounts, authorities := serviceaccount.New(), serviceaccount.NewRootCA([]byte("PEM"))
			plantest.Check(t, accounts, key(), now(), c.objects...)
			plantest.Check(t, authorities, key(), now(), c.objects...)
			snap := plantest.New(now(), c.objects...).Snapshot()
			p, _ := accounts.Decide(snap, key(), now(), nil)
			if got := plantest.Text(p, now()); got != c.account {
				t.Errorf("account: %s", got)
			}
			p, _ = authorities.Decide(snap, key(), now(), nil)
			if got := plantest.Text(p, now()); got != c.ca {
				t.Errorf("authority: %s", got)
			}
		})
	}
}
