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

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

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
	if got.Subject() != "system:serviceaccount:shop:web" || got.Bound.Pod.UID != "v" || got.ID != "id" || !got.IssuedAt.Equal(now()) || !got.NotBefore.Equal(now()) || !got.ExpiresAt.Equal(now().Add(time.Hour)) {
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

// What is signed with the right key must still say what this issuer's tokens say.
func TestTokensOfTheRightKeyMustSayWhatTokensSay(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := satoken.New("https://issuer", key)
	if err != nil {
		t.Fatal(err)
	}
	bound := func(namespace, account string) map[string]any {
		return map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": "u"}}
	}
	old := func(field string) string { return "kubernetes.io/serviceaccount/" + field }
	for name, c := range map[string]struct {
		change map[string]any // nil takes a claim away
		kid    string
		err    string
	}{
		"a token":             {nil, "", ""},
		"another issuer":      {map[string]any{"iss": "https://other"}, "", "service account token has an invalid issuer"},
		"another account":     {map[string]any{"sub": "system:serviceaccount:shop:admin"}, "", "service account token has an invalid subject"},
		"no subject":          {map[string]any{"sub": nil}, "", "service account token has an invalid subject"},
		"no namespace":        {map[string]any{"sub": "system:serviceaccount::web", "kubernetes.io": bound("", "web")}, "", "service account token has an invalid subject"},
		"no account":          {map[string]any{"sub": "system:serviceaccount:shop:", "kubernetes.io": bound("shop", "")}, "", "service account token has an invalid subject"},
		"nothing private":     {map[string]any{"kubernetes.io": nil}, "", "service account token has an invalid subject"},
		"no end":              {map[string]any{"exp": nil}, "", "service account token has no expiry"},
		"the id of a key":     {nil, "another", "failed to verify signature"},
		"a lasting one":       {map[string]any{"iss": "kubernetes/serviceaccount"}, "", ""},
		"lasting for another": {map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:admin"}, "", "service account token has an invalid subject"},
		"lasting nowhere":     {map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount::web", old("namespace"): nil}, "", "service account token has an invalid subject"},
		"lasting for nobody":  {map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:", old("service-account.name"): nil}, "", "service account token has an invalid subject"},
	} {
		says := map[string]any{
			"iss": "https://issuer", "sub": "system:serviceaccount:shop:web", "aud": []string{"api"}, "exp": now().Add(time.Hour).Unix(), "kubernetes.io": bound("shop", "web"),
			old("namespace"): "shop", old("secret.name"): "s", old("service-account.name"): "web", old("service-account.uid"): "u",
		}
		for claim, value := range c.change {
			if says[claim] = value; value == nil {
				delete(says, claim)
			}
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: c.kid}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(says).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Verify(token); (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v %v, want %q", name, got, err, c.err)
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
