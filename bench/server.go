package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan/cluster"
)

// server is a bin/sampan server that the benchmark started.
type server struct {
	binary, dataDir string
	cmd             *exec.Cmd
	// api and node are the times from the start of the process to API ready and node Ready.
	api, node time.Duration
}

// start starts a server on a data directory and waits until it is ready.
func start(binary, dataDir string, extra ...string) (*server, error) {
	readable, writable, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readable.Close()
	s := &server{binary: binary, dataDir: dataDir}
	s.cmd = exec.Command(binary, append([]string{"server", "--data-dir", dataDir, "--ready-fd", "3"}, extra...)...)
	s.cmd.ExtraFiles = []*os.File{writable}
	s.cmd.Stderr = os.Stderr
	last := cluster.PartNode
	for _, arg := range extra {
		if arg == "--node=false" {
			last = cluster.PartAPI
		}
	}
	began := time.Now()
	err = s.cmd.Start()
	writable.Close()
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(readable)
	for lines.Scan() {
		var r cluster.Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		switch r.Part {
		case cluster.PartAPI:
			s.api = time.Since(began)
		case cluster.PartNode:
			s.node = time.Since(began)
		}
		if r.Part == last {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the server ended while it started: %v", s.cmd.Wait())
}

// kill ends the server process with a signal, and leaves the pods running.
func (s *server) kill(signal syscall.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	_ = s.cmd.Wait()
	return nil
}

// down ends everything and removes the data.
func (s *server) down() error {
	_ = s.kill(syscall.SIGTERM)
	out, err := exec.Command(s.binary, "down", "--purge", "--grace", "1s", "--data-dir", s.dataDir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("down: %w: %s", err, out)
	}
	return nil
}

// memory returns the resident memory of a process and its anonymous part, in MB.
func memory(pid int) (rss, anon float64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			rss = kb / 1024
		case "RssAnon:":
			anon = kb / 1024
		}
	}
	return rss, anon, nil
}

// cpu returns the processor time that a process has used: schedstat counts per thread.
func cpu(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, t := range tasks {
		data, err := os.ReadFile(t)
		if err != nil {
			continue // the thread ended meanwhile
		}
		ns, _, _ := strings.Cut(string(data), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		total += time.Duration(n)
	}
	return total, nil
}

func dataDir() (string, error) { return os.MkdirTemp("", "sampan-bench-") }

func measureStart(binary string) ([]figure, error) {
	var api, node, again []float64
	for range 7 {
		dir, err := dataDir()
		if err != nil {
			return nil, err
		}
		s, err := start(binary, dir)
		if err != nil {
			return nil, err
		}
		api, node = append(api, milliseconds(s.api)), append(node, milliseconds(s.node))
		if err := s.kill(syscall.SIGKILL); err != nil {
			return nil, err
		}
		if s, err = start(binary, dir); err != nil {
			return nil, err
		}
		again = append(again, milliseconds(s.api))
		if err := s.down(); err != nil {
			return nil, err
		}
	}
	return []figure{
		{Name: "server start, empty disk, to API ready", Value: median(api), Unit: "ms", Budget: 300},
		{Name: "server start, empty disk, to node Ready", Value: median(node), Unit: "ms", Budget: 500},
		{Name: "server start after SIGKILL to API ready", Value: median(again), Unit: "ms", Budget: 500},
	}, nil
}

func measureIdle(binary string) ([]figure, error) {
	dir, err := dataDir()
	if err != nil {
		return nil, err
	}
	s, err := start(binary, dir)
	if err != nil {
		return nil, err
	}
	pid := s.cmd.Process.Pid
	// Start-up garbage is collected within the first seconds.
	settle := time.NewTimer(15 * time.Second)
	<-settle.C
	before, err := cpu(pid)
	if err != nil {
		return nil, err
	}
	const span = 30 * time.Second
	idle := time.NewTimer(span)
	<-idle.C
	after, err := cpu(pid)
	if err != nil {
		return nil, err
	}
	rss, anon, err := memory(pid)
	if err != nil {
		return nil, err
	}
	names, err := residentNames(dir)
	if err != nil {
		return nil, err
	}
	if err := s.down(); err != nil {
		return nil, err
	}
	bare, err := dataDir()
	if err != nil {
		return nil, err
	}
	noNode, err := start(binary, bare, "--node=false")
	if err != nil {
		return nil, err
	}
	alone := time.NewTimer(5 * time.Second)
	<-alone.C
	rssNoNode, _, err := memory(noNode.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []figure{
		{Name: "resident memory of all of it, idle", Value: rss + names, Unit: "MB", Budget: 70},
		{Name: "  of that the server's anonymous memory", Value: anon, Unit: "MB"},
		{Name: "  of that the name server", Value: names, Unit: "MB"},
		{Name: "resident memory without node parts", Value: rssNoNode, Unit: "MB", Budget: 45},
		{Name: "idle CPU, of one core", Value: 100 * float64(after-before) / float64(span), Unit: "%", Budget: 0.3},
	}, noNode.down()
}

// residentNames returns the resident memory of the name server process of a data directory's instance, in MB.
func residentNames(dataDir string) (float64, error) {
	run := "/run/sampan/" + cluster.InstanceOf(dataDir)
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		command, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(command), run) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return 0, err
		}
		rss, _, err := memory(pid)
		return rss, err
	}
	return 0, fmt.Errorf("no name server of %s runs", run)
}

// background is a context for requests that have a time limit of their own.
func background() context.Context { return context.Background() }
