//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"sampan/cluster"
)

// nothingIsLeft fails the test for each trace of the instance on the machine.
func (m *machine) nothingIsLeft() {
	m.t.Helper()
	instance := cluster.InstanceOf(m.dataDir)

	links, err := netlink.NewHandleAt(m.node)
	if err != nil {
		m.t.Fatal(err)
	}
	defer links.Close()
	all, err := links.LinkList()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, l := range all {
		if name := l.Attrs().Name; name != "lo" && name != "cable" {
			m.t.Errorf("left: interface %s", name)
		}
	}
	nft, err := nftables.New(nftables.WithNetNSFd(int(m.node)))
	if err != nil {
		m.t.Fatal(err)
	}
	tables, err := nft.ListTables()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, table := range tables {
		m.t.Errorf("left: nftables table %s", table.Name)
	}

	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.dataDir) || strings.Contains(line, "/run/sampan/"+instance) {
			m.t.Errorf("left: mount %s", line)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), instance) {
			m.t.Errorf("left: cgroup %s", path)
			return fs.SkipDir
		}
		return nil
	})
	for _, pid := range processes(m.dataDir, instance) {
		m.t.Errorf("left: process %s", pid)
	}
	for _, path := range []string{m.dataDir, "/run/sampan/" + instance} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			m.t.Errorf("left: %s (%v)", path, err)
		}
	}
}

// processes returns those whose command line or cgroup names the data directory or the instance.
func processes(dataDir, instance string) (found []string) {
	pids, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range pids {
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		cgroup, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		command := strings.ReplaceAll(string(cmdline), "\x00", " ")
		if strings.Contains(command, dataDir) || strings.Contains(command, instance) || strings.Contains(string(cgroup), instance) {
			found = append(found, filepath.Base(dir)+": "+command)
		}
	}
	return found
}
