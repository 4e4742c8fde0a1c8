package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/auth/satoken"
	"sampan/internal/pki"
	"sampan/store"
	"sampan/store/etcdtest"
	"sampan/store/memory"
)

func prepared(t *testing.T, s Settings, st store.Store, now time.Time) *identities {
	t.Helper()
	i := new(identities)
	if err := i.prepare(t.Context(), s, st, slog.New(slog.DiscardHandler), now); err != nil {
		t.Fatal(err)
	}
	return i
}

// fits reports why a server's certificate, the kubeconfig and ca.crt do not go together at a time.
func (i *identities) fits(now time.Time) error {
	data, err := os.ReadFile(i.settings.Kubeconfig)
	if err != nil {
		return err
	}
	var file clientcmd.Config
	if err := yaml.Unmarshal(data, &file); err != nil {
		return err
	}
	user := file.AuthInfos[0].AuthInfo
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return err
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: i.current.Load().pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the administrator's certificate: %w", err)
	}
	ca, err := os.ReadFile(i.bundleFile())
	if err != nil {
		return err
	}
	served, err := i.serving.GetCertificate(nil)
	if err != nil {
		return err
	}
	for name, bundle := range map[string][]byte{"kubeconfig": file.Clusters[0].Cluster.CertificateAuthorityData, "ca.crt": ca} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(bundle)
		if _, err := served.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: "kubernetes"}); err != nil {
			return fmt.Errorf("the server's certificate, to the reader of %s: %w", name, err)
		}
	}
	return nil
}

func TestAnIdentityInFilesIsTakenIntoTheStore(t *testing.T) {
	write := func(s Settings) pki.Identity {
		t.Helper()
		id, _, err := pki.Identity{}.Advance(pki.Rules{AuthorityName: "sampan-ca"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string]string{"sampan-ca.crt": id.Authorities[0].Certificate, "sampan-ca.key": id.Authorities[0].Key, "service-account.key": id.TokenKeys[0].Private} {
			if err := pki.WriteFile(filepath.Join(s.pkiDir(), name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return id
	}
	left := func(s Settings) int {
		files, err := filepath.Glob(filepath.Join(s.pkiDir(), "s*")) // sampan-ca, service-account
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	st := memory.New()
	first, second := settingsOf(t), settingsOf(t)
	id := write(first)
	i := prepared(t, first, st, time.Now())
	if !bytes.Equal(i.current.Load().bundle, id.Bundle()) || left(first) != 0 {
		t.Errorf("the authority is another one, or %d files are left", left(first))
	}
	if again := prepared(t, first, st, time.Now()); !bytes.Equal(again.current.Load().bundle, id.Bundle()) {
		t.Error("the second start has another authority")
	}
	// Who comes later takes what is in the store, and leaves what may be the only copy of something else alone.
	write(second)
	if later := prepared(t, second, st, time.Now()); !bytes.Equal(later.current.Load().bundle, id.Bundle()) || left(second) != 3 {
		t.Errorf("the second server has another authority, or %d files are left", left(second))
	}
	broken := settingsOf(t)
	write(broken)
	if err := os.WriteFile(filepath.Join(broken.pkiDir(), "sampan-ca.key"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := memory.New()
	err := new(identities).prepare(t.Context(), broken, empty, slog.New(slog.DiscardHandler), time.Now())
	if err == nil || !strings.Contains(err.Error(), broken.pkiDir()) || empty.Revision() != 0 {
		t.Errorf("a broken authority: %v", err)
	}
}

// unsure is a store whose n-th write fails, before or after it was done.
type unsure struct {
	store.Store
	n    int
	done bool
}

func (u *unsure) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if u.n--; u.n != 0 {
		return u.Store.Apply(ctx, writes...)
	}
	if u.done {
		if _, err := u.Store.Apply(ctx, writes...); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the disk is gone")
}

func TestAWriteThatFailsLeavesAnIdentityThatGoesOn(t *testing.T) {
	for _, done := range []bool{false, true} {
		below, s, now := memory.New(), settingsOf(t), time.Now()
		st := &unsure{Store: below, n: 1, done: done}
		if err := new(identities).prepare(t.Context(), s, st, slog.New(slog.DiscardHandler), now); err == nil {
			t.Error("the first write did not matter")
		}
		i := prepared(t, s, st, now)
		for range 40 {
			now = i.current.Load().until.Add(time.Minute)
			st.n = 1
			if err := i.refresh(t.Context(), now, func(*x509.CertPool, *satoken.Keys) {}); err == nil && st.n <= 0 {
				t.Error("a write that failed was not reported")
			}
			if err := i.refresh(t.Context(), now, func(*x509.CertPool, *satoken.Keys) {}); err != nil {
				t.Error(err)
			}
			if err := i.fits(now); err != nil {
				t.Fatalf("at %s: %v", now, err)
			}
		}
	}
}

// TestACrashBetweenFilesIsMended starts on every mixture of the files before and after all of them were renewed.
func TestACrashBetweenFilesIsMended(t *testing.T) {
	s, st, now := settingsOf(t), memory.New(), time.Now()
	names := []string{"pki/ca.crt", "pki/apiserver.key", "pki/apiserver.crt", "pki/admin.key", "pki/admin.crt", "kubeconfig"}
	read := func() (files [][]byte) {
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(s.DataDir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, data)
		}
		return files
	}
	i := prepared(t, s, st, now)
	old := read()
	for end := now.Add(9 * 365 * 24 * time.Hour); now.Before(end); { // the second authority signs
		now = i.current.Load().until.Add(time.Second)
		if err := i.refresh(t.Context(), now, func(*x509.CertPool, *satoken.Keys) {}); err != nil {
			t.Fatal(err)
		}
	}
	renewed := read()
	for mixture := range 1 << len(names) {
		for n, name := range names {
			data := old[n]
			if mixture>>n&1 == 1 {
				data = renewed[n]
			}
			if mixture == 0 && bytes.Equal(old[n], renewed[n]) {
				t.Errorf("%s is as it was", name)
			}
			if err := os.WriteFile(filepath.Join(s.DataDir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := prepared(t, s, st, now).fits(now); err != nil {
			t.Errorf("mixture %06b: %v", mixture, err)
		}
	}
}

func TestAnIdentityMovesWithABackup(t *testing.T) {
	from, to := settingsOf(t), settingsOf(t)
	lock, err := takeLock(from)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStore(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	bundle := prepared(t, from, st, time.Now()).current.Load().bundle
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	lock.release()
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), from, file); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), to, file); err != nil {
		t.Fatal(err)
	}
	if st, err = openStore(t.Context(), to, nil); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if moved := prepared(t, to, st, time.Now()).current.Load().bundle; !bytes.Equal(moved, bundle) {
		t.Error("the restored cluster has another authority")
	}
}

func TestServersThatStartTogetherOnOneEtcdHaveOneIdentity(t *testing.T) {
	server := etcdtest.Start(t, "http")
	var together sync.WaitGroup
	bundles := make([]string, 5)
	for n := range bundles {
		s := settingsOf(t)
		s.Etcd = &EtcdSettings{Endpoints: []string{server.Endpoint}, Name: "together"}
		st, err := openStore(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		together.Go(func() {
			i := new(identities)
			if err := i.prepare(t.Context(), s, st, slog.New(slog.DiscardHandler), time.Now()); err != nil {
				t.Error(err)
				return
			}
			bundles[n] = string(i.current.Load().bundle)
		})
	}
	together.Wait()
	for _, b := range bundles {
		if b == "" || b != bundles[0] {
			t.Fatal("they have different authorities")
		}
	}
}

func TestServersWithDifferentKeysForEncryptionSaySo(t *testing.T) {
	st := memory.New()
	start := func(keys ...string) error {
		s := settingsOf(t)
		if len(keys) > 0 {
			s.EncryptionKeyFile = filepath.Join(t.TempDir(), "keys")
			var text strings.Builder
			for _, k := range keys {
				fmt.Fprintf(&text, "%s:%s\n", k[:1], base64.StdEncoding.EncodeToString([]byte(strings.Repeat(k[1:], 16))))
			}
			if err := os.WriteFile(s.EncryptionKeyFile, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := encrypted(t.Context(), s, st, nil)
		if err != nil {
			return err
		}
		return new(identities).prepare(t.Context(), s, sealed, slog.New(slog.DiscardHandler), time.Now())
	}
	for _, c := range []struct {
		keys []string
		want string
	}{
		{nil, ""},            // before there are keys
		{[]string{"a1"}, ""}, // what is there is encrypted
		{[]string{"a1"}, ""}, // another server with the same
		{nil, "start the server with --encryption-key-file"},
		{[]string{"b2"}, `encrypted with the key "a", which is not among those that were given`},
		{[]string{"a2"}, `cannot be decrypted with the key "a": another key had that name`},
		{[]string{"b2", "a1"}, ""}, // a new key
		{[]string{"a1"}, `encrypted with the key "b"`},
	} {
		err := start(c.keys...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("with keys %v: %v, want %q", c.keys, err, c.want)
		}
	}
	r, err := st.Get(t.Context(), identityKey)
	if err != nil || bytes.Contains(r.Value, []byte("PRIVATE KEY")) {
		t.Errorf("the identity is not encrypted, or not there: %v", err)
	}
}
