package cluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan/store"
	"sampan/store/backup"
	"sampan/store/embedded"
)

func TestStoreSettingsAreCheckedBeforeAnythingIsDone(t *testing.T) {
	for _, c := range []struct {
		name         string
		cfg          Config
		members      []string
		store, wrong string
	}{
		{name: "embedded", cfg: Config{Store: "embedded"}},
		{name: "one member", cfg: Config{Store: "etcd://10.0.0.1:2379"}, members: []string{"10.0.0.1:2379"}, store: "default"},
		{name: "several, with a name", cfg: Config{Store: "etcd://a:1,b:2,[::1]:3/prod"}, members: []string{"a:1", "b:2", "[::1]:3"}, store: "prod"},
		{name: "with certificates", cfg: Config{Store: "etcd://a:1", EtcdCA: "ca", EtcdCert: "c", EtcdKey: "k"}, members: []string{"a:1"}, store: "default"},
		{name: "something else", cfg: Config{Store: "mysql://"}, wrong: "want embedded, or etcd://"},
		{name: "nothing", cfg: Config{}, wrong: "want embedded"},
		{name: "no member", cfg: Config{Store: "etcd://"}, wrong: "want HOST:PORT"},
		{name: "no port", cfg: Config{Store: "etcd://a:1,b"}, wrong: `member "b"`},
		{name: "an empty member", cfg: Config{Store: "etcd://a:1,"}, wrong: `member ""`},
		{name: "a bad name", cfg: Config{Store: "etcd://a:1/x/y"}, wrong: `name "x/y"`},
		{name: "an empty name", cfg: Config{Store: "etcd://a:1/"}, wrong: `name ""`},
		{name: "half a certificate", cfg: Config{Store: "etcd://a:1", EtcdCert: "c"}, wrong: "both --etcd-cert and --etcd-key"},
		{name: "certificates for no etcd", cfg: Config{Store: "embedded", EtcdCA: "ca"}, wrong: "the store is embedded"},
	} {
		got, err := c.cfg.parseStore()
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want it to say %q", c.name, err, c.wrong)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.members == nil:
			if got != nil {
				t.Errorf("%s: %+v", c.name, got)
			}
		case !slices.Equal(got.Endpoints, c.members) || got.Name != c.store:
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestUnreadableCertificatesForEtcdAreNamed(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.pem")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]EtcdSettings{
		"no such CA":             {CA: filepath.Join(dir, "none.pem")},
		"a CA that is none":      {CA: garbage},
		"no such certificate":    {Cert: filepath.Join(dir, "none.pem"), Key: garbage},
		"a certificate of waste": {Cert: garbage, Key: garbage},
	} {
		if _, err := e.options(nil); err == nil || !strings.Contains(err.Error(), "etcd") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// instance returns settings of a server's data directory whose path is longer than that of a socket may be.
func instance(t *testing.T) Settings {
	t.Helper()
	s := Settings{DataDir: filepath.Join(t.TempDir(), strings.Repeat("long/", 25), "data")}
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := takeLock(s)
	if err != nil {
		t.Fatal(err)
	}
	lock.release()
	return s
}

func fillStore(t *testing.T, s Settings) store.Store {
	t.Helper()
	st, err := embedded.Open(s.storeFile(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"/a/x/1", "/a/x/2", "/b//3"} {
		if _, err := st.Apply(t.Context(), store.Write{Key: key, Value: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestRunningServerMakesTheBackup(t *testing.T) {
	s := instance(t)
	lock, err := takeLock(s)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release()
	st := fillStore(t, s)
	defer st.Close()
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), s, file); err == nil || !strings.Contains(err.Error(), "still starting") {
		t.Errorf("before the server listens: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serveAdmin(ctx, s, st, slog.New(slog.DiscardHandler)) }()
	var sum backup.Summary
	for { // until it listens
		if sum, err = Backup(t.Context(), s, file); err == nil || !strings.Contains(err.Error(), "still starting") {
			break
		}
	}
	if err != nil || sum.Keys != 3 || sum.Revision != 3 {
		t.Errorf("backup: %+v, %v", sum, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(s.DataDir, ".backup-*"))
	if _, statErr := os.Lstat(filepath.Join(s.DataDir, adminSocketName)); err != nil || len(left) > 0 || !errors.Is(statErr, os.ErrNotExist) {
		t.Errorf("left: %v, %v, socket %v", left, err, statErr)
	}
}

func TestBackupAndRestoreWithoutAServer(t *testing.T) {
	s, file := instance(t), filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), s, file); err == nil || !strings.Contains(err.Error(), "there is no cluster in "+s.DataDir) {
		t.Errorf("backup of nothing: %v", err)
	}
	empty, err := openStore(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := empty.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), s, file); err == nil || !strings.Contains(err.Error(), "the store is empty") {
		t.Errorf("backup of an empty store: %v", err)
	}
	if err := fillStore(t, s).Close(); err != nil {
		t.Fatal(err)
	}
	if sum, err := Backup(t.Context(), s, file); err != nil || sum.Keys != 3 {
		t.Fatalf("backup: %+v, %v", sum, err)
	}
	if _, err := Restore(t.Context(), s, file); !errors.Is(err, store.ErrNotEmpty) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("restore over a cluster: %v", err)
	}
	other := Settings{DataDir: filepath.Join(t.TempDir(), "new")}
	if sum, err := Restore(t.Context(), other, file); err != nil || sum.Keys != 3 {
		t.Fatalf("restore: %+v, %v", sum, err)
	}
	st, err := openStore(t.Context(), other, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if list, err := st.List(t.Context(), "/", store.ListOptions{}); err != nil || len(list.Records) != 3 || list.Revision <= 3 {
		t.Errorf("restored: %+v, %v", list, err)
	}
}

func TestDamagedBackupLeavesTheTargetAlone(t *testing.T) {
	s, file := instance(t), filepath.Join(t.TempDir(), "backup")
	if err := fillStore(t, s).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), s, file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	other := Settings{DataDir: filepath.Join(t.TempDir(), "new")}
	if _, err := Restore(t.Context(), other, file); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), file) {
		t.Errorf("restore: %v", err)
	}
	if _, err := os.Stat(other.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target was begun: %v", err)
	}
}
