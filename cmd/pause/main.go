// Command pause is the one process that Sampan keeps beside a pod's own: it holds the pod's network, IPC and
// UTS namespaces (it is started in new ones) and supervises the pod's containers.
//
// It starts containers with the helper ocirun, inherits them (it is a subreaper), copies their output to log
// files in CRI's format, and writes how each ended to a file before it tells anybody. So the server may be
// killed, upgraded and started again: nothing of a pod depends on it. When pause itself dies, the server
// kills the pod.
//
// It is asked for things over a unix socket that the server bound and left open as file descriptor 3; see
// protocol.go. Arguments: the folder for exit records, the host name ("" to keep it), then sysctls as
// name=value. With the single argument "init" it is instead the first process of a pod's shared PID
// namespace, and only reaps.
//
// There may be hundreds of it, so it imports little and keeps little: what counts is its private memory.
package main

import (
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

const listenFD = 3

func main() {
	// Huge pages would make a heap of a few hundred kilobytes weigh two megabytes.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	if len(os.Args) == 2 && os.Args[1] == "init" {
		reapForever()
	}
	if len(os.Args) < 3 {
		die("usage: pause EXITS HOSTNAME [SYSCTL=VALUE...]; it is started by sampan")
	}
	// A pod must not die before the processes that it holds; without the privilege the default has to do.
	if f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("-998")
		f.Close()
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		die("become a subreaper: " + err.Error())
	}
	p := newPod(os.Args[1])
	p.problem = prepare(os.Args[2], os.Args[3:])
	unix.CloseOnExec(listenFD)
	if err := unix.SetNonblock(listenFD, true); err != nil {
		die("control socket: " + err.Error())
	}
	p.serve(os.NewFile(listenFD, "control"))
}

// prepare sets what belongs to the pod's namespaces. Its error is told to the first who asks.
func prepare(hostname string, sysctls []string) string {
	if hostname != "" {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return "set host name " + hostname + ": " + err.Error()
		}
	}
	for _, s := range sysctls {
		name, value, _ := strings.Cut(s, "=")
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(value)
			f.Close()
		}
		if err != nil {
			return "set sysctl " + name + ": " + err.Error()
		}
	}
	return ""
}

// reapForever is the whole of the first process of a shared PID namespace.
func reapForever() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for range ended {
		for {
			var ws unix.WaitStatus
			pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid == 0 {
				break
			}
		}
	}
}

func die(message string) {
	os.Stderr.WriteString("pause: " + message + "\n")
	os.Exit(1)
}
