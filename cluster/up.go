package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Up starts a server in the background and waits until the API answers and, with a node, the node is Ready.
// args are the arguments of `sampan server`; report is told of each part as it becomes ready. If a server of
// the data directory is running already, Up changes nothing and returns started == false.
func Up(ctx context.Context, s Settings, args []string, report func(Report)) (started bool, err error) {
	if err := preflight(s); err != nil {
		return false, err
	}
	if err := CheckDataDir(s.DataDir); err != nil {
		return false, err
	}
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	end, err := takeTurn(ctx, s)
	if err != nil {
		return false, err
	}
	defer end()
	if pid, err := serverPID(s); err != nil || pid != 0 {
		return false, err
	}
	log, err := os.OpenFile(s.logFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return false, fmt.Errorf("log of the server: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, 2)
	if err != nil {
		return false, fmt.Errorf("log of the server: %w", err)
	}
	readable, writable, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("pipe to the server: %w", err)
	}
	defer readable.Close()

	self, err := os.Executable()
	if err != nil {
		writable.Close()
		return false, fmt.Errorf("find the program to start: %w", err)
	}
	cmd := exec.Command(self, append([]string{"server", "--ready-fd", "3"}, args...)...)
	cmd.Stderr, cmd.Stdout = log, log
	cmd.ExtraFiles = []*os.File{writable}
	// A session of its own: closing the terminal does not end the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	writable.Close()
	if err != nil {
		return false, fmt.Errorf("start the server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		// Ctrl-C while it starts: what was begun is ended in order.
		_ = cmd.Process.Signal(syscall.SIGTERM)
	})
	defer stop()

	last := PartAPI
	if s.Node {
		last = PartNode
	}
	lines := bufio.NewScanner(readable)
	for lines.Scan() {
		var r Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return true, fmt.Errorf("report of the server %q: %w", lines.Text(), err)
		}
		report(r)
		if r.Part == last {
			return true, cmd.Process.Release()
		}
	}
	// The pipe ended before the last part was ready: so did the server.
	err = cmd.Wait()
	if ctx.Err() != nil {
		return true, errors.New("interrupted; the server was stopped, and `sampan down` removes what it has set up")
	}
	return true, fmt.Errorf("the server ended while it started (%v): %s", err, lastLine(s.logFile(), from))
}

// lastLine returns the last line of a file behind an offset.
func lastLine(file string, from int64) string {
	data, err := os.ReadFile(file)
	if err != nil || int64(len(data)) <= from {
		return "its log says nothing"
	}
	lines := strings.Split(strings.TrimSpace(string(data[from:])), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "Error: ")
}

// rolledOut prints kind, namespace and name of what kubectl got, which is a list or, if it is one, the object.
const rolledOut = `jsonpath={range .items[*]}{.kind} {.metadata.namespace} {.metadata.name}{"\n"}{end}{.kind} {.metadata.namespace} {.metadata.name}`

// Apply hands manifests (a file, a folder, a kustomization or a URL) to the kubectl beside this program and
// waits until what they declare is rolled out. Output goes to out.
func Apply(ctx context.Context, s Settings, what string, timeout time.Duration, out *os.File) error {
	kubectl, err := Kubectl()
	if err != nil {
		return err
	}
	flag := []string{"-R", "-f", what}
	if _, err := os.Stat(filepath.Join(what, "kustomization.yaml")); err == nil {
		flag = []string{"-k", what}
	}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", s.Kubeconfig}, args...)...)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		return cmd
	}
	if err := run(append([]string{"apply"}, flag...)...).Run(); err != nil {
		return fmt.Errorf("apply %s: kubectl: %w", what, err)
	}
	list := run(append([]string{"get", "-o", rolledOut}, flag...)...)
	list.Stdout = nil
	objects, err := list.Output()
	if err != nil {
		return fmt.Errorf("list what %s declares: kubectl: %w", what, err)
	}
	for line := range strings.Lines(string(objects)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "Deployment" && f[0] != "StatefulSet" && f[0] != "DaemonSet" {
			continue
		}
		wait := run("rollout", "status", "-n", f[1], strings.ToLower(f[0])+"/"+f[2], "--timeout", timeout.String())
		if err := wait.Run(); err != nil {
			return fmt.Errorf("wait for %s %s/%s: kubectl: %w", f[0], f[1], f[2], err)
		}
	}
	return nil
}

// Kubectl returns the path of the kubectl that was built with this program, or that of the PATH.
func Kubectl() (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "kubectl")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := exec.LookPath("kubectl")
	if err != nil {
		return "", errors.New("kubectl is neither beside sampan nor on the PATH: run make")
	}
	return found, nil
}
