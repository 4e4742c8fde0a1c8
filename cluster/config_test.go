package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan/store/memory"
)

func TestConfigSaysWhichValueIsWrong(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		says   string // "" means that the configuration is good
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.DataDir = "" }, `data directory ""`},
		{func(c *Config) { c.Listen = "6443" }, `listen address "6443": want ADDRESS:PORT`},
		{func(c *Config) { c.Listen = "0.0.0.0:6443" }, ""},
		{func(c *Config) { c.Store = "sqlite" }, `store "sqlite"`},
		{func(c *Config) { c.PodCIDR = "10.244.0.0" }, `pod-cidr "10.244.0.0": want an IPv4 range`},
		{func(c *Config) { c.PodCIDR = "fd00::/64" }, "want an IPv4 range"},
		{func(c *Config) { c.PodCIDR = "10.244.0.1/24" }, "the range begins at 10.244.0.0/24"},
		{func(c *Config) { c.ServiceCIDR = "10.96.0.0/28" }, "at least 256 addresses"},
		{func(c *Config) { c.ServiceCIDR = "10.244.0.0/16" }, "overlap"},
		{func(c *Config) { c.NodeName = "under_score" }, `node name "under_score"`},
		{func(c *Config) { c.NodeName = "Node-1" }, ""},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		_, err := cfg.Check()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", cfg, err, c.says)
		}
	}
}

func TestSettingsAreDerivedFromTheDataDirectory(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir, cfg.NodeName = "/srv/one", "Node-1"
	one, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = "/srv/two"
	two, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	if one.Instance == two.Instance || len(one.Instance) != 6 || one.RunDir == two.RunDir {
		t.Errorf("instances %q and %q, run directories %s and %s", one.Instance, two.Instance, one.RunDir, two.RunDir)
	}
	if one.Kubeconfig != "/srv/one/kubeconfig" || one.NodeName != "node-1" || !one.Node {
		t.Errorf("%+v", one)
	}
	if one.gateway() != netip.MustParseAddr("10.244.0.1") {
		t.Errorf("gateway %s", one.gateway())
	}
}

func TestConfigFileIsReadOverTheDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	read := func(text string) (Config, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadConfig(DefaultConfig(), file)
	}
	cfg, err := read("listen: 127.0.0.1:7443\nnode: false\n")
	if err != nil || cfg.Listen != "127.0.0.1:7443" || *cfg.Node || cfg.PodCIDR != DefaultConfig().PodCIDR {
		t.Errorf("%+v %v", cfg, err)
	}
	if _, err := read("lisen: 127.0.0.1:7443\n"); err == nil || !strings.Contains(err.Error(), `unknown field "lisen"`) {
		t.Errorf("an unknown field: %v", err)
	}
	if cfg, err := read("\n"); err != nil || cfg.Listen != DefaultConfig().Listen {
		t.Errorf("an empty file: %+v %v", cfg, err)
	}
	if _, err := ReadConfig(DefaultConfig(), file+".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLockIsHeldByOneServer(t *testing.T) {
	s := Settings{DataDir: t.TempDir()}
	if pid, err := serverPID(s); pid != 0 || err != nil {
		t.Errorf("before the first server: %d %v", pid, err)
	}
	first, err := takeLock(s)
	if err != nil {
		t.Fatal(err)
	}
	var running *runningError
	if _, err := takeLock(s); !errors.As(err, &running) || running.pid != os.Getpid() {
		t.Errorf("the second lock: %v", err)
	}
	if pid, err := serverPID(s); pid != os.Getpid() || err != nil {
		t.Errorf("while it runs: %d %v", pid, err)
	}
	first.release()
	if pid, err := serverPID(s); pid != 0 || err != nil {
		t.Errorf("after it: %d %v", pid, err)
	}
	again, err := takeLock(s)
	if err != nil {
		t.Fatal(err)
	}
	again.release()
}

func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	cluster := instance(t)
	if err := fillStore(t, cluster).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cluster.backup")
	if _, err := Backup(t.Context(), cluster, file); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		files []string
		ok    bool
	}{
		{"empty", nil, true},
		{"a file system of its own", []string{"lost+found"}, true},
		{"images before the first start", []string{"images/lock", "images/refs", "server.log"}, true},
		{"somebody's images", []string{"images/holiday.jpg"}, false},
		{"a server's", []string{"server.lock", "store.db", "anything"}, true},
		{"somebody's", []string{"passwd"}, false},
		{"somebody's, with a folder of our name", []string{"images", "letters"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Settings{DataDir: t.TempDir(), RunDir: t.TempDir()}
			for _, name := range c.files {
				file := filepath.Join(s.DataDir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := CheckDataDir(s.DataDir); (err == nil) != c.ok {
				t.Fatalf("%v, want it allowed: %v", err, c.ok)
			}
			if c.ok {
				return
			}
			for name, try := range map[string]func() error{
				"down --purge": func() error { return Down(t.Context(), s, 0, true) },
				"up":           func() error { _, err := Up(t.Context(), s, nil, nil); return err },
				"server":       func() error { return Run(t.Context(), s, slog.New(slog.DiscardHandler), nil) },
				"restore":      func() error { _, err := Restore(t.Context(), s, file); return err },
				"backup":       func() error { _, err := Backup(t.Context(), s, file+".new"); return err },
			} {
				if try() == nil {
					t.Errorf("%s accepted it", name)
				}
			}
			entries, err := os.ReadDir(s.DataDir)
			if err != nil || len(entries) != len(c.files) {
				t.Errorf("afterwards it holds %v, %v", entries, err)
			}
		})
	}
	if err := CheckDataDir(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Error(err)
	}
}

func TestSecondUpWaitsForTheFirst(t *testing.T) {
	s := Settings{DataDir: t.TempDir()}
	end, err := takeTurn(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		end, err := takeTurn(t.Context(), s)
		if err == nil {
			end()
		}
		second <- err
	}()
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := takeTurn(interrupted, s); err == nil {
		t.Error("a turn was taken twice")
	}
	select {
	case err := <-second:
		t.Errorf("the second did not wait: %v", err)
	default:
	}
	end()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestKubeconfigIsPrivateAndReadBack(t *testing.T) {
	s := Settings{DataDir: t.TempDir(), Listen: netip.MustParseAddrPort("0.0.0.0:6443"), NodeName: "n", PodCIDR: netip.MustParsePrefix("10.244.0.0/24"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16")}
	s.Kubeconfig = filepath.Join(s.DataDir, "kubeconfig")
	var first, second identities
	st := memory.New()
	defer st.Close()
	if err := first.prepare(t.Context(), s, st, slog.New(slog.DiscardHandler), time.Now()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Kubeconfig)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("kubeconfig: %v %v", info.Mode(), err)
	}
	c, err := newAPIClient(s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if c.base != "https://127.0.0.1:6443" {
		t.Errorf("the kubeconfig leads to %s", c.base)
	}
	if err := second.prepare(t.Context(), s, st, slog.New(slog.DiscardHandler), time.Now()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.serving.Pair().CertPEM, second.serving.Pair().CertPEM) {
		t.Error("the second start made a new certificate")
	}
}

func TestProcessStartIsInThePast(t *testing.T) {
	if age := time.Since(processStart()); age < 0 || age > time.Hour {
		t.Errorf("this process began %s ago", age)
	}
}
