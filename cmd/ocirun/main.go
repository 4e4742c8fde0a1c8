//go:build linux && cgo

// Command ocirun starts processes in containers, on runc's libcontainer, and ends. It is a helper of the
// pause process and of nobody else:
//
//	ocirun run [-tty] ID              creates and starts the container whose bundle is the working folder
//	ocirun exec [-tty] ID -- ARG...   runs a process in it
//
// The new process gets descriptors 0, 1 and 2; with -tty it gets a terminal instead, which is sent over the
// socket that is descriptor 0. Descriptor 3 takes the report: "pid N", or the text of an error. The process
// outlives ocirun and falls to pause, which is a subreaper.
//
// "run" is started in a mount namespace of its own: the container's overlay is mounted there and nowhere
// else, so that it is gone with the container and no crash can leave a mount behind.
//
// The Go runtime starts twice for a container (libcontainer executes its caller again as "ocirun init"), so
// this program is small, and never the server itself.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	_ "github.com/opencontainers/cgroups/devices" // lets the cgroup manager set device rules
	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // its C code runs before Go in "ocirun init"
	"github.com/sirupsen/logrus"
)

const reportFD = 3

func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		libcontainer.Init()
	}
}

func main() {
	// libcontainer logs to the global logger; what matters comes back as an error.
	logrus.SetOutput(io.Discard)
	report := os.NewFile(reportFD, "report")
	pid, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprint(report, err)
		os.Exit(1)
	}
	fmt.Fprintf(report, "pid %d", pid)
}

func run(args []string) (int, error) {
	if len(args) < 2 {
		return 0, fmt.Errorf("usage: ocirun run|exec [-tty] ID; it is started by pause")
	}
	verb, args := args[0], args[1:]
	tty := args[0] == "-tty"
	if tty {
		args = args[1:]
	}
	// No child but the container's may inherit the report: pause reads until it is closed.
	closeOnExec(reportFD)
	id, rest := args[0], args[1:]
	switch verb {
	case "run":
		return runContainer(id, tty)
	case "exec":
		if i := slices.Index(rest, "--"); i >= 0 {
			rest = rest[i+1:]
		}
		return execProcess(id, tty, rest)
	}
	return 0, fmt.Errorf("unknown verb %q", verb)
}
