package serviceaccount_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/serviceaccount"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func TestSecretsForTokensFollowTheirAccount(t *testing.T) {
	secret := func(uid string, data map[string]string, change ...func(*corev1.Secret)) *corev1.Secret {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "s", Annotations: map[string]string{"kubernetes.io/service-account.name": "web"}},
			Type:       corev1.SecretTypeServiceAccountToken,
		}
		if uid != "" {
			s.Annotations["kubernetes.io/service-account.uid"] = uid
		}
		for key, value := range data {
			if s.Data == nil {
				s.Data = map[string][]byte{}
			}
			s.Data[key] = []byte(value)
		}
		for _, c := range change {
			c(s)
		}
		return s
	}
	account := func(namespace, name string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u1"}}
	}
	full := map[string]string{"ca.crt": "PEM", "namespace": "shop", "token": "t"}
	const update, remove, nothing = "update secrets/shop/s\n", "delete secrets/shop/s\n", "nothing\n"
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"new", []kind.Object{secret("", nil), account("shop", "web")}, update},
		{"with data of somebody's own", []kind.Object{secret("", map[string]string{"extra": "x"}), account("shop", "web")}, update},
		{"filled in", []kind.Object{secret("u1", full), account("shop", "web")}, nothing},
		{"other authorities", []kind.Object{secret("u1", map[string]string{"ca.crt": "old", "namespace": "shop", "token": "t"}), account("shop", "web")}, update},
		{"another namespace in it", []kind.Object{secret("u1", map[string]string{"ca.crt": "PEM", "namespace": "x", "token": "t"}), account("shop", "web")}, update},
		{"immutable", []kind.Object{secret("", nil, func(s *corev1.Secret) { s.Immutable = new(true) }), account("shop", "web")}, nothing},
		{"no account", []kind.Object{secret("", nil)}, remove},
		{"the account of another namespace", []kind.Object{secret("", nil), account("home", "web")}, remove},
		{"another account", []kind.Object{secret("u1", full), account("shop", "other")}, remove},
		{"the account is another one of the name", []kind.Object{secret("u0", full), account("shop", "web")}, remove},
		{"going", []kind.Object{secret("u1", nil, func(s *corev1.Secret) {
			s.DeletionTimestamp, s.Finalizers = new(metav1.NewTime(now())), []string{"a/b"}
		})}, nothing},
		{"another type", []kind.Object{secret("", nil, func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque })}, nothing},
		{"gone", []kind.Object{account("shop", "web")}, nothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens, key := serviceaccount.NewTokens([]byte("PEM")), view.Key{Kind: kind.Secrets, Namespace: "shop", Name: "s"}
			plantest.Check(t, tokens, key, now(), c.objects...)
			p, _ := tokens.Decide(plantest.New(now(), c.objects...).Snapshot(), key, now(), nil)
			if got := plantest.Text(p, now()); got != c.want {
				t.Fatalf("%s", got)
			}
			for _, a := range p.Actions {
				u, ok := a.(plan.Update)
				if !ok {
					continue
				}
				s := u.Object.(*corev1.Secret)
				if s.Annotations["kubernetes.io/service-account.uid"] != "u1" || string(s.Data["ca.crt"]) != "PEM" || string(s.Data["namespace"]) != "shop" {
					t.Errorf("%v %q", s.Annotations, s.Data)
				}
			}
		})
	}
}

func TestAChangeOfAnAccountWakesItsSecrets(t *testing.T) {
	secret := func(name, account string, of corev1.SecretType) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: map[string]string{"kubernetes.io/service-account.name": account}}, Type: of}
	}
	snap := plantest.New(now(), secret("a", "web", corev1.SecretTypeServiceAccountToken), secret("b", "other", corev1.SecretTypeServiceAccountToken), secret("c", "web", corev1.SecretTypeOpaque)).Snapshot()
	var keys []view.Key
	for _, w := range serviceaccount.NewTokens(nil).Watches {
		if w.Kind == kind.ServiceAccounts {
			keys = w.Keys(snap, view.Change{Key: view.Key{Kind: kind.ServiceAccounts, Namespace: "shop", Name: "web"}})
		}
	}
	if len(keys) != 1 || keys[0].Name != "a" {
		t.Errorf("woken: %v", keys)
	}
}
