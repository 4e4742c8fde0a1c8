//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"sampan/podruntime/linux/bundle"
)

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

func runContainer(id string, tty bool) (pid int, err error) {
	b, err := bundle.Read(".")
	if err != nil {
		return 0, fmt.Errorf("read bundle: %w", err)
	}
	if err := mountRoot(b); err != nil {
		return 0, err
	}
	if err := hideControllers(b.Controllers); err != nil {
		return 0, err
	}
	root, err := os.OpenFile(bundle.Rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if err := resolveUser(b, root); err != nil {
		return 0, err
	}
	if err := addDevices(b); err != nil {
		return 0, err
	}
	degrade(b.OCI.Process)
	if err := loadSeccomp(b); err != nil {
		return 0, err
	}
	process, err := json.Marshal(b.OCI.Process)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(bundle.Process, process, 0o600); err != nil {
		return 0, err
	}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName: id, Spec: b.OCI, RootlessCgroups: b.NoCgroup, NoPivotRoot: rootIsInitramfs(),
	})
	if err != nil {
		return 0, fmt.Errorf("container configuration: %w", err)
	}
	container, err := libcontainer.Create(b.StateRoot, id, config)
	if errors.Is(err, libcontainer.ErrExist) {
		// Left by a start that was killed; pause has checked that the container does not run.
		if err = os.RemoveAll(filepath.Join(b.StateRoot, id)); err == nil {
			container, err = libcontainer.Create(b.StateRoot, id, config)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("create container: %w", err)
	}
	p, err := newProcess(b.OCI.Process, tty)
	if err != nil {
		return 0, err
	}
	p.Init = true
	if err := container.Run(p); err != nil {
		return 0, errors.Join(err, container.Destroy())
	}
	return p.Pid()
}

func execProcess(id string, tty bool, args []string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("command is empty")
	}
	b, err := bundle.Read(".")
	if err != nil {
		return 0, fmt.Errorf("read bundle: %w", err)
	}
	data, err := os.ReadFile(bundle.Process)
	if err != nil {
		return 0, err
	}
	var sp specs.Process
	if err := json.Unmarshal(data, &sp); err != nil {
		return 0, fmt.Errorf("decode process: %w", err)
	}
	sp.Args = args
	sp.Terminal = tty
	container, err := libcontainer.Load(b.StateRoot, id)
	if err != nil {
		return 0, fmt.Errorf("load container: %w", err)
	}
	p, err := newProcess(&sp, tty)
	if err != nil {
		return 0, err
	}
	if err := container.Run(p); err != nil {
		return 0, err // it says "unable to start container process" itself
	}
	return p.Pid()
}

func newProcess(sp *specs.Process, tty bool) (*libcontainer.Process, error) {
	p := &libcontainer.Process{
		Args: sp.Args, Env: sp.Env, UID: int(sp.User.UID), GID: int(sp.User.GID), Cwd: sp.Cwd,
		NoNewPrivileges: &sp.NoNewPrivileges, AppArmorProfile: sp.ApparmorProfile, Label: sp.SelinuxLabel,
	}
	for _, g := range sp.User.AdditionalGids {
		p.AdditionalGroups = append(p.AdditionalGroups, int(g))
	}
	if c := sp.Capabilities; c != nil {
		p.Capabilities = &configs.Capabilities{Bounding: c.Bounding, Effective: c.Effective, Inheritable: c.Inheritable,
			Permitted: c.Permitted, Ambient: c.Ambient}
	}
	if tty {
		p.ConsoleSocket = os.NewFile(0, "console")
		return p, nil
	}
	p.Stdin, p.Stdout, p.Stderr = os.Stdin, os.Stdout, os.Stderr
	return p, nil
}

func loadSeccomp(b *bundle.Bundle) error {
	if b.SeccompFile == "" {
		return nil
	}
	data, err := os.ReadFile(b.SeccompFile)
	if err != nil {
		return fmt.Errorf("seccomp profile: %w", err)
	}
	profile := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(data, profile); err != nil {
		return fmt.Errorf("seccomp profile %s: %w", b.SeccompFile, err)
	}
	b.OCI.Linux.Seccomp = profile
	return nil
}

// degrade asks for what this process may give: without CAP_SYS_RESOURCE a container keeps the score that
// it inherits instead of not starting.
func degrade(p *specs.Process) {
	if p.OOMScoreAdj == nil {
		return
	}
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		p.OOMScoreAdj = nil
		return
	}
	defer f.Close()
	if _, err := fmt.Fprint(f, *p.OOMScoreAdj); err != nil {
		p.OOMScoreAdj = nil
	}
}
