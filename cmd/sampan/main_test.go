package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWrongUsageEndsWithCode2(t *testing.T) {
	for _, args := range [][]string{
		{"sail"},
		{"image", "paint"},
		{"status", "now"},
		{"backup"},
		{"restore", "one", "two"},
		{"image", "rm"},
		{"image", "export", "boat:v1"},
		{"server", "--sails", "3"},
		{"server", "--max-requests-inflight", "many"},
		{"backup", "file", "--listen", "nowhere"},
	} {
		if code := run(t.Context(), args); code != 2 {
			t.Errorf("sampan %q ends with code %d, want 2", args, code)
		}
	}
}

// parsed returns the flags of a server as a command line with these arguments has them.
func parsed(t *testing.T, args ...string) *configFlags {
	t.Helper()
	cmd := &cobra.Command{Use: "server"}
	flags := addConfigFlags(cmd)
	cmd.Flags().Bool("debug", false, "")
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestFlagsWinOverTheFileAndTheFileOverTheDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "listen: 127.0.0.1:7001\nnode: false\nnodeName: file\nkubeconfig: /from/the/file\nmaxRequestsInFlight: 7\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parsed(t, "--config", file, "--node-name", "flag", "--max-requests-inflight=8").settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.NodeName != "flag" || s.MaxRequests != 8 {
		t.Errorf("flags: node name %q, %d requests, want flag, 8", s.NodeName, s.MaxRequests)
	}
	if s.Node || s.Listen.String() != "127.0.0.1:7001" || s.Kubeconfig != "/from/the/file" {
		t.Errorf("file: node %v, listen %s, kubeconfig %s", s.Node, s.Listen, s.Kubeconfig)
	}
	if s.MaxMutatingRequests != 200 {
		t.Errorf("default: %d writes, want 200", s.MaxMutatingRequests)
	}
	if s, err = parsed(t, "--config", file, "--node").settings(); err != nil || !s.Node {
		t.Errorf("--node over a file without: %v, %v", s.Node, err)
	}
}

func TestCommandsThatServeNothingTakeTheFlagsOfServingButDoNotShowThem(t *testing.T) {
	for _, cmd := range []*cobra.Command{downCommand(), statusCommand(), backupCommand(), restoreCommand()} {
		if help := cmd.Flags().FlagUsages(); strings.Contains(help, "--max-requests-inflight") || !strings.Contains(help, "--data-dir") {
			t.Errorf("the flags of %s are\n%s", cmd.Name(), help)
		}
		if err := cmd.ParseFlags([]string{"--max-requests-inflight=8", "--audit-log-path=-"}); err != nil {
			t.Errorf("%s: %v", cmd.Name(), err)
		}
	}
	if help := serverCommand().Flags().FlagUsages(); !strings.Contains(help, "--max-requests-inflight") {
		t.Errorf("the flags of a server are\n%s", help)
	}
}

func TestServerInTheBackgroundGetsTheFlagsThatWereGiven(t *testing.T) {
	got := parsed(t, "--node=false", "--debug", "--config", "c.yaml", "--listen", "127.0.0.1:6443").arguments()
	slices.Sort(got)
	if want := []string{"--config=c.yaml", "--listen=127.0.0.1:6443", "--node=false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
