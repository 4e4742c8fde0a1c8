package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func rules() Rules { return Rules{AuthorityName: "ca", TokenLife: tokenKeyPeriod} }

func begin() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// advanced returns what follows an identity, after it was stored and read.
func advanced(t testing.TB, i Identity, now time.Time) Identity {
	t.Helper()
	next, _, err := i.Advance(rules(), now)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := ParseIdentity(next.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := stored.Advance(rules(), now); again || err != nil {
		t.Fatalf("at %s it follows itself again: %v", now, err)
	}
	return stored
}

// words says what an identity is at a time, in years.
func words(i Identity, now time.Time) string {
	var parts []string
	life := func(what string, l Life, signs bool, ended bool) {
		text := what + fmt.Sprintf(" of %.2f", l.Made.Sub(begin()).Hours()/24/365)
		if signs {
			text += " can sign"
		}
		if ended {
			text += " ended"
		}
		parts = append(parts, text)
	}
	for _, a := range i.Authorities {
		life("authority", a.Life, a.Key != "", a.ended(now))
	}
	for _, k := range i.TokenKeys {
		life("key", k.Life, k.Private != "", k.ended(now))
	}
	return strings.Join(parts, ", ")
}

func TestWhatFollowsIsAMatterOfTime(t *testing.T) {
	at := func(years float64) time.Time { return begin().Add(time.Duration(years * float64(year))) }
	authority := func(made, signs, until float64, key string) Authority {
		return Authority{Life: Life{at(made), at(signs), at(until)}, Key: key}
	}
	key := func(made, signs, until float64, private string) TokenKey {
		k := TokenKey{Life: Life{Made: at(made), SignsFrom: at(signs)}, Private: private}
		if until > 0 {
			k.Until = at(until)
		}
		return k
	}
	fresh := []TokenKey{key(7.9, 7.9, 0, "k")}
	only := []Authority{authority(0, 0, 10, "a")}
	for _, c := range []struct {
		name      string
		have      Identity
		now       float64
		want      string
		authority string // wanted: from when it signs, until when
		key       string
	}{
		{"nothing yet", Identity{}, 0, "", "0.00 10.00", "0.00"},
		{"young", Identity{only, fresh}, 7.99, "authority of 0.00 can sign, key of 7.90 can sign", "", ""},
		{"the last fifth", Identity{only, fresh}, 8, "authority of 0.00 can sign, key of 7.90 can sign", "9.00 18.00", ""},
		{"late in the last fifth", Identity{only, []TokenKey{key(9, 9, 0, "k")}}, 9.8, "authority of 0.00 can sign, key of 9.00 can sign", "9.90 19.80", ""},
		{"a new one is known", Identity{append(slices.Clone(only), authority(8, 9, 18, "b")), fresh}, 8.5, "authority of 0.00 can sign, authority of 8.00 can sign, key of 7.90 can sign", "", ""},
		{"the new one signs", Identity{append(slices.Clone(only), authority(8, 9, 18, "b")), []TokenKey{key(8.5, 8.5, 0, "k")}}, 9, "authority of 0.00 can sign, authority of 8.00 can sign, key of 8.50 can sign", "", ""},
		{"the new one has signed for a month", Identity{append(slices.Clone(only), authority(8, 9, 18, "b")), []TokenKey{key(8.5, 8.5, 0, "k")}}, 9.09, "authority of 0.00, authority of 8.00 can sign, key of 8.50 can sign", "", ""},
		{"the old one has ended", Identity{[]Authority{authority(0, 0, 10, ""), authority(8, 9, 18, "b")}, []TokenKey{key(9.5, 9.5, 0, "k")}}, 10, "authority of 0.00 ended, authority of 8.00 can sign, key of 9.50 can sign", "", ""},
		{"the one behind it has ended too", Identity{[]Authority{authority(0, 0, 10, ""), authority(8, 9, 18, ""), authority(16, 17, 26, "c")}, []TokenKey{key(17.5, 17.5, 0, "k")}}, 18, "authority of 8.00 ended, authority of 16.00 can sign, key of 17.50 can sign", "", ""},
		{"nobody looked for too long", Identity{only, fresh}, 11, "authority of 0.00 can sign ended, key of 7.90 can sign", "11.00 21.00", "11.08"},
		{"the clock was ahead", Identity{append(slices.Clone(only), authority(11, 11, 21, "b")), append(slices.Clone(fresh), key(11, 11.08, 0, "l"))}, 7.99, "authority of 0.00 can sign, key of 7.90 can sign", "", ""},
		{"the clock is behind", Identity{only, fresh}, -20, "authority of 0.00 can sign, key of 7.90 can sign", "", ""},
		{"a key of a year", Identity{only, []TokenKey{key(1, 1, 0, "k")}}, 2, "authority of 0.00 can sign, key of 1.00 can sign", "", "2.08"},
		{"a new key signs", Identity{only, []TokenKey{key(1, 1, 3.08, "k"), key(2, 2.08, 0, "l")}}, 2.1, "authority of 0.00 can sign, key of 1.00 can sign, key of 2.00 can sign", "", ""},
		{"a new key has signed for a month", Identity{only, []TokenKey{key(1, 1, 3.08, "k"), key(2, 2.08, 0, "l")}}, 2.17, "authority of 0.00 can sign, key of 1.00, key of 2.00 can sign", "", ""},
		{"an old key has ended", Identity{only, []TokenKey{key(1, 1, 3.08, ""), key(2.5, 2.5, 0, "l")}}, 3.1, "authority of 0.00 can sign, key of 1.00 ended, key of 2.50 can sign", "", ""},
	} {
		before := c.have.Encode()
		next, want := c.have.Next(rules(), at(c.now))
		years := func(times ...time.Time) string {
			var s []string
			for _, t := range times {
				s = append(s, fmt.Sprintf("%.2f", t.Sub(begin()).Hours()/24/365))
			}
			return strings.Join(s, " ")
		}
		var gotAuthority, gotKey string
		if l := want.Authority; l != nil {
			gotAuthority = years(l.SignsFrom, l.Until)
		}
		if l := want.TokenKey; l != nil {
			gotKey = years(l.SignsFrom)
			if n := len(next.TokenKeys); n > 0 && !next.TokenKeys[n-1].Until.Equal(l.SignsFrom.Add(year+clockSlack)) {
				t.Errorf("%s: the key before it ends at %s", c.name, next.TokenKeys[n-1].Until)
			}
		}
		if got := words(next, at(c.now)); got != c.want || gotAuthority != c.authority || gotKey != c.key {
			t.Errorf("%s: %s; authority %q, key %q", c.name, got, gotAuthority, gotKey)
		}
		if !reflect.DeepEqual(c.have.Encode(), before) {
			t.Errorf("%s: what was there is written to", c.name)
		}
	}
}

// given is what somebody was given at some time, and knows nothing newer than.
type given struct {
	bundle []byte
	until  time.Time        // of the last authority in it
	signer *ecdsa.PublicKey // of the tokens made then
	keys   []VerifyKey
	at     time.Time
}

// TestAnIdentityLivesOn looks at an identity whenever it says so, for thirty years, with the eyes of those who got to
// know it at different times.
func TestAnIdentityLivesOn(t *testing.T) {
	var i Identity
	var known []given
	now, looks := begin(), 0
	for now.Before(begin().Add(30 * year)) {
		i = advanced(t, i, now)
		looks++
		signer, keys, err := i.Keys(now)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, given{i.Bundle(), i.Authorities[len(i.Authorities)-1].Until, &signer.PublicKey, keys, now})
		ca, err := i.CA(now)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Issue(serverRequest(), now)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range known {
			if now.Before(g.until) {
				if err := verify(pair.CertPEM, g.bundle, now); err != nil {
					t.Errorf("at %s, who knows what was at %s: %v", now, g.at, err)
				}
			}
			// Who has fetched the keys less than four weeks ago knows the one that signs.
			if now.Sub(g.at) < 28*day && !verifies(g.keys, &signer.PublicKey) {
				t.Errorf("at %s the key that signs is not among those of %s", now, g.at)
			}
			// What was signed then, with the longest life, is still verified.
			if now.Sub(g.at) < year && !verifies(keys, g.signer) {
				t.Errorf("at %s the key of %s is forgotten", now, g.at)
			}
		}
		if n := len(i.Authorities); n > 3 {
			t.Errorf("at %s there are %d authorities", now, n)
		}
		next := i.WakeAt(now)
		if !next.After(now) {
			t.Fatalf("at %s it wants to be looked at at %s", now, next)
		}
		now = next
	}
	if looks < 30 || looks > 200 {
		t.Errorf("looked at %d times", looks)
	}
	if got := words(i, now); strings.Count(got, "authority") > 3 || strings.Count(got, "key") < 30 || strings.Count(got, "can sign") > 4 {
		t.Errorf("in the end: %s", got)
	}
}

func verifies(keys []VerifyKey, key *ecdsa.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k VerifyKey) bool { return !k.Ended && k.Key.Equal(key) })
}

// verify looks at a server's certificate as who trusts a bundle.
func verify(chainPEM, bundle []byte, now time.Time) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, DNSName: "api"}
	opts.Roots.AppendCertsFromPEM(bundle)
	leaf, rest := pem.Decode(chainPEM)
	opts.Intermediates.AppendCertsFromPEM(rest)
	cert, err := x509.ParseCertificate(leaf.Bytes)
	if err != nil {
		return err
	}
	_, err = cert.Verify(opts)
	return err
}

func TestWhoComesLateFindsAnIdentityThatGoesOn(t *testing.T) {
	first := advanced(t, Identity{}, begin())
	for _, after := range []time.Duration{day, year, 8*year - day, 9 * year, 10*year - time.Minute, 10 * year, 35 * year} {
		now := begin().Add(after)
		i := advanced(t, first, now)
		ca, err := i.CA(now)
		if err != nil {
			t.Fatalf("after %s: %v", after, err)
		}
		pair, err := ca.Issue(serverRequest(), now)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(pair.CertPEM, i.Bundle(), now); err != nil {
			t.Errorf("after %s: %v", after, err)
		}
		if err := verify(pair.CertPEM, first.Bundle(), now); (err == nil) != (after < 10*year) {
			t.Errorf("after %s, who knows the first authority: %v", after, err)
		}
		// Another one, whose clock is a minute behind, finds who signs too.
		if _, err := i.CA(now.Add(-time.Minute)); err != nil {
			t.Errorf("after %s, a clock behind: %v", after, err)
		}
		if _, _, err := i.Keys(now.Add(-time.Minute)); err != nil {
			t.Errorf("after %s, a clock behind: %v", after, err)
		}
	}
}

// A clock that is years ahead for a while, and is set right, takes nothing from anybody, nor does what was made
// meanwhile stand in the way later.
func TestAClockThatIsAheadForAWhileTakesNothing(t *testing.T) {
	for _, age := range []time.Duration{0, year + 7*day, 2 * year, 7 * year, 8*year + 180*day, 9*year + 7*day, 9*year + 180*day} {
		before := advanced(t, Identity{}, begin())
		for at := begin(); at.Before(begin().Add(age)); {
			before = advanced(t, before, at)
			at = before.WakeAt(at)
		}
		now := begin().Add(age)
		before = advanced(t, before, now)
		signer, keys, err := before.Keys(now)
		if err != nil {
			t.Fatal(err)
		}
		old, err := before.CA(now)
		if err != nil {
			t.Fatal(err)
		}
		held, err := old.Issue(serverRequest(), now)
		if err != nil {
			t.Fatal(err)
		}
		for _, jump := range []time.Duration{day, year, 3 * year, 11 * year, 25 * year} {
			i := advanced(t, before, now.Add(jump))
			i = advanced(t, i, now.Add(jump+time.Minute))
			for at := now.Add(2 * time.Minute); at.Before(now.Add(350 * day)); at = i.WakeAt(at) {
				i = advanced(t, i, at)
				ca, err := i.CA(at)
				if err != nil {
					t.Fatal(err)
				}
				pair, err := ca.Issue(serverRequest(), at)
				if err != nil {
					t.Fatal(err)
				}
				for who, bundle := range map[string][]byte{"who knows the newest": i.Bundle(), "who knows what was before": before.Bundle()} {
					if err := verify(pair.CertPEM, bundle, at); err != nil {
						t.Errorf("age %s, %s ahead, at %s: %s: %v", age, jump, at, who, err)
					}
				}
				if err := verify(held.CertPEM, i.Bundle(), at); err != nil && at.Before(old.Certificate.NotAfter) {
					t.Errorf("age %s, %s ahead, at %s: what was signed before: %v", age, jump, at, err)
				}
				signs, verifying, err := i.Keys(at)
				if err != nil {
					t.Fatal(err)
				}
				if !verifies(verifying, &signer.PublicKey) {
					t.Errorf("age %s, %s ahead, at %s: tokens of before are good no more", age, jump, at)
				}
				if at.Before(now.Add(28*day)) && !verifies(keys, &signs.PublicKey) {
					t.Errorf("age %s, %s ahead, at %s: the key that signs was not known before", age, jump, at)
				}
			}
		}
	}
}

func TestBrokenIdentitiesAreErrors(t *testing.T) {
	good := advanced(t, Identity{}, begin())
	other := advanced(t, Identity{}, begin())
	for _, c := range []struct {
		name  string
		spoil func(*Identity)
		want  string
	}{
		{"certificate", func(i *Identity) { i.Authorities[0].Certificate = "garbage" }, "no PEM certificate"},
		{"key", func(i *Identity) { i.Authorities[0].Key = "garbage" }, "no PEM key"},
		{"another's key", func(i *Identity) { i.Authorities[0].Key = other.Authorities[0].Key }, "does not fit"},
		{"public key", func(i *Identity) { i.TokenKeys[0].Public = "garbage" }, "key for tokens made on 2026-01-01"},
		{"private key", func(i *Identity) { i.TokenKeys[0].Private = "garbage" }, "key for tokens made on 2026-01-01"},
	} {
		i := Identity{slices.Clone(good.Authorities), slices.Clone(good.TokenKeys)}
		c.spoil(&i)
		if _, err := ParseIdentity(i.Encode()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ParseIdentity([]byte("{")); err == nil {
		t.Error("half of it is taken")
	}
}

func TestIdentitiesInFilesAreTakenOver(t *testing.T) {
	i := advanced(t, Identity{}, begin())
	files := map[string]string{"ca.crt": i.Authorities[0].Certificate, "ca.key": i.Authorities[0].Key, "tokens.key": i.TokenKeys[0].Private}
	for _, c := range []struct {
		name   string
		change map[string]string
		want   string // what it holds; "" for an error
		wrong  string
	}{
		{"all there", nil, "authority of -0.00 can sign, key of 0.00 can sign", ""},
		{"nothing there", map[string]string{"ca.crt": "", "ca.key": "", "tokens.key": ""}, "", ""},
		{"a key only, of half a first start", map[string]string{"ca.crt": "", "tokens.key": ""}, "", ""},
		{"no key for tokens", map[string]string{"tokens.key": ""}, "authority of -0.00 can sign", ""},
		{"a broken certificate", map[string]string{"ca.crt": "garbage"}, "", "no PEM certificate"},
		{"a broken key", map[string]string{"ca.key": "garbage"}, "", "no PEM key"},
		{"another's key", map[string]string{"ca.key": i.TokenKeys[0].Private}, "", "does not fit"},
		{"a broken key for tokens", map[string]string{"tokens.key": "garbage"}, "", "no PEM key"},
	} {
		dir := t.TempDir()
		for name, content := range files {
			if changed, ok := c.change[name]; ok {
				content = changed
			}
			if content == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ReadIdentity(dir, "ca", "tokens", begin())
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		default:
			if w := words(got, begin()); w != c.want {
				t.Errorf("%s: %s", c.name, w)
			}
			advanced(t, got, begin())
		}
	}
}
