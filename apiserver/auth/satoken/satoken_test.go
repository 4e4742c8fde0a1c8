package satoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan/apiserver/auth/satoken"
)

func keys(t testing.TB, issuer string) *satoken.Keys {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := satoken.New(issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func claims() satoken.Claims {
	return satoken.Claims{
		ID: "id", Audiences: []string{"api", "vault"}, IssuedAt: now(), NotBefore: now(), ExpiresAt: now().Add(time.Hour),
		Bound: satoken.Bound{Namespace: "shop", ServiceAccount: satoken.Ref{Name: "web", UID: "u"}, Pod: &satoken.Ref{Name: "p", UID: "v"}},
	}
}

func TestTokensSayWhatWasSigned(t *testing.T) {
	k := keys(t, "https://issuer")
	token, err := k.Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject() != "system:serviceaccount:shop:web" || got.Bound.Pod.UID != "v" || got.ID != "id" || !got.ExpiresAt.Equal(now().Add(time.Hour)) {
		t.Errorf("claims %+v", got)
	}
	for _, c := range []struct {
		at        time.Time
		audiences []string
		accepted  []string
		err       string
	}{
		{now(), []string{"api"}, []string{"api"}, ""},
		{now(), []string{"x", "vault"}, []string{"vault"}, ""},
		{now(), []string{"x"}, nil, "invalid for the target audiences"},
		{now().Add(-2 * time.Minute), []string{"api"}, nil, "not valid yet"},
		{now().Add(time.Hour + 30*time.Second), []string{"api"}, []string{"api"}, ""},
		{now().Add(time.Hour + 2*time.Minute), []string{"api"}, nil, "service account token has expired"},
	} {
		accepted, err := got.Check(c.at, c.audiences)
		if !slices.Equal(accepted, c.accepted) || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("at %s for %v: %v %v", c.at, c.audiences, accepted, err)
		}
	}
}

func TestAudiencesAreAListEvenOfOne(t *testing.T) {
	one := claims()
	one.Audiences = []string{"vault"}
	token, err := keys(t, "https://issuer").Sign(one)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := `"aud":["vault"]`; !strings.Contains(string(payload), want) {
		t.Errorf("want %s in %s", want, payload)
	}
}

func TestForeignAndForgedTokensAreRefused(t *testing.T) {
	ours, theirs, other := keys(t, "https://issuer"), keys(t, "https://issuer"), keys(t, "https://other")
	foreign, _ := theirs.Sign(claims())
	good, _ := ours.Sign(claims())
	parts := strings.Split(good, ".")
	elsewhere, _ := other.Sign(claims())
	for name, token := range map[string]string{
		"another key":      foreign,
		"another issuer":   elsewhere,
		"no signature":     parts[0] + "." + parts[1] + ".",
		"other claims":     parts[0] + "." + strings.Split(foreign, ".")[1] + "x." + parts[2],
		"algorithm none":   "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"not a token":      "hello",
		"nothing":          "",
		"an encrypted one": "a.b.c.d.e",
	} {
		if c, err := ours.Verify(token); err == nil {
			t.Errorf("%s is accepted: %+v", name, c)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := keys(f, "https://issuer")
	good, _ := k.Sign(claims())
	f.Add(good)
	f.Add("")
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := k.Verify(token); err == nil && c.Subject() != "system:serviceaccount:shop:web" {
			t.Errorf("%q is accepted as %+v", token, c)
		}
	})
}
