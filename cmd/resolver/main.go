// Command resolver is the name server process of a node. It answers the names of the cluster's Services and
// pods, forwards all others, and outlives the server that feeds it, so that pods find each other while that is
// restarted, upgraded, or dead.
//
// There is one per node; sampan starts it, feeds it and ends it (dns/feed). It imports little and keeps little: what
// counts is its private memory. Package dns says how it behaves.
package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"sampan/dns"
)

func main() {
	// Huge pages would make a heap of a megabyte weigh two.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	// A thread and a heap area for each of many cores would weigh more than the names.
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 4))
	debug.SetGCPercent(50)
	// Every pod of the node needs it; without the privilege the default has to do.
	if f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("-998")
		f.Close()
	}
	if err := dns.Main(os.Args[1:], slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		os.Stderr.WriteString("resolver: " + err.Error() + "\n")
		os.Exit(1)
	}
}
