package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// ContainerStats implements podruntime.Driver. The writable layer is not measured: that is a walk over files,
// which does not belong in a figure that is asked for every few seconds.
func (d *Driver) ContainerStats(_ context.Context, c podruntime.ContainerRef) (podruntime.Usage, error) {
	u := podruntime.Usage{At: time.Now()}
	if !d.cgroup.usable {
		return u, fmt.Errorf("no figures without cgroups: %s", d.facts.CgroupReason)
	}
	var r statReader
	if d.cgroup.v2 {
		dir := cgroupMount + c.CgroupPath + "/"
		u.CPUNanos = 1000 * r.fields(dir + "cpu.stat")["usage_usec"]
		m := r.fields(dir + "memory.stat")
		u.MemoryBytes, u.LimitBytes = r.number(dir+"memory.current"), r.number(dir+"memory.max")
		u.RSSBytes = m["anon"]
		u.WorkingSetBytes = less(u.MemoryBytes, m["inactive_file"])
		u.PageFaults, u.MajorPageFaults = m["pgfault"], m["pgmajfault"]
		u.Processes = r.number(dir + "pids.current")
	} else {
		at := func(controller, file string) string {
			return d.cgroup.hierarchies[controller] + c.CgroupPath + "/" + file
		}
		u.CPUNanos = r.number(at("cpuacct", "cpuacct.usage"))
		m := r.fields(at("memory", "memory.stat"))
		u.MemoryBytes, u.LimitBytes = r.number(at("memory", "memory.usage_in_bytes")), r.number(at("memory", "memory.limit_in_bytes"))
		u.RSSBytes = m["total_rss"]
		u.WorkingSetBytes = less(u.MemoryBytes, m["total_inactive_file"])
		u.PageFaults, u.MajorPageFaults = m["total_pgfault"], m["total_pgmajfault"]
		u.Processes = r.number(at("pids", "pids.current"))
	}
	if u.LimitBytes >= 1<<62 {
		u.LimitBytes = 0 // how v1 says "none"
	}
	if errors.Is(r.err, fs.ErrNotExist) || errors.Is(r.err, unix.ENODEV) {
		return u, podruntime.ErrGone
	}
	return u, r.err
}

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

// statReader keeps the first error of several reads.
type statReader struct{ err error }

func (r *statReader) read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil && r.err == nil {
		r.err = err
	}
	return string(data)
}

// number is a file's only number; "max" is 0.
func (r *statReader) number(path string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(r.read(path)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// fields reads lines of a name and a number.
func (r *statReader) fields(path string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(r.read(path)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}
