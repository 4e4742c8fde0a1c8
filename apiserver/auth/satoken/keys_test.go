package satoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan/apiserver/auth/satoken"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func lasting() satoken.Claims {
	return satoken.Claims{Lasting: true, Bound: satoken.Bound{Namespace: "shop", ServiceAccount: satoken.Ref{Name: "web", UID: "u"}, Secret: &satoken.Ref{Name: "s"}}}
}

func TestKeysFollowEachOther(t *testing.T) {
	first, second := newKey(t), newKey(t)
	make := func(signs *ecdsa.PrivateKey, others ...satoken.Key) *satoken.Keys {
		k, err := satoken.New("https://issuer", signs, others...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	published := func(k *satoken.Keys) int {
		data, err := k.JWKS()
		var set struct {
			Keys []struct{ Kid, Alg, Use string }
		}
		if err != nil || json.Unmarshal(data, &set) != nil {
			t.Fatalf("%s %v", data, err)
		}
		for _, k := range set.Keys {
			if k.Kid == "" || k.Alg != "ES256" || k.Use != "sig" {
				t.Errorf("published key %+v", k)
			}
		}
		return len(set.Keys)
	}
	key := func(k *ecdsa.PrivateKey, ended bool) satoken.Key {
		return satoken.Key{Public: &k.PublicKey, Ended: ended}
	}
	alone := make(first)
	token, err := alone.Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	forever, err := alone.Sign(lasting())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		keys          *satoken.Keys
		token, secret string // what is wrong
		published     int
	}{
		{"alone", alone, "", "", 1},
		{"a new one is shown", make(first, key(first, false), key(second, false)), "", "", 2},
		{"the new one signs", make(second, key(first, false), key(second, false)), "", "", 2},
		{"the old one has ended", make(second, key(first, true), key(second, false)), "a key that has ended", "", 1},
		{"the old one is forgotten", make(second), "failed to verify signature", "failed to verify signature", 1},
	} {
		for text, wrong := range map[string]string{token: c.token, forever: c.secret} {
			got, err := c.keys.Verify(text)
			if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %q", c.name, err, wrong)
			}
			if err == nil && got.Subject() != "system:serviceaccount:shop:web" {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
		if n := published(c.keys); n != c.published {
			t.Errorf("%s: %d keys are published", c.name, n)
		}
	}
}

func TestLastingTokensAreForTheAPIAndHaveNoEnd(t *testing.T) {
	k := keys(t, "https://issuer")
	token, err := k.Sign(lasting())
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(token)
	if err != nil || !got.Lasting || got.Bound.Secret.Name != "s" || got.Bound.ServiceAccount.UID != "u" || got.Bound.Pod != nil {
		t.Fatalf("%+v %v", got, err)
	}
	if ok, err := got.Check(now().Add(200*365*24*time.Hour), []string{"vault", "https://issuer"}); err != nil || !slices.Equal(ok, []string{"https://issuer"}) {
		t.Errorf("for the API: %v %v", ok, err)
	}
	if ok, err := got.Check(now(), []string{"vault"}); err == nil {
		t.Errorf("for others: %v", ok)
	}
	for name, spoil := range map[string]func(*satoken.Claims){
		"no Secret":  func(c *satoken.Claims) { c.Bound.Secret = &satoken.Ref{} },
		"no account": func(c *satoken.Claims) { c.Bound.ServiceAccount.UID = "" },
	} {
		c := lasting()
		spoil(&c)
		token, err := k.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Verify(token); err == nil {
			t.Errorf("%s is accepted: %+v", name, got)
		}
	}
}
