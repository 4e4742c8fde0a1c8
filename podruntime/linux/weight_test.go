package linux_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkIdlePodMemory reports what an idle pod weighs beside its own processes: the proportional set size
// of its pause process, with ten pods of one container each.
func BenchmarkIdlePodMemory(b *testing.B) {
	m := newMachine(b)
	s := m.suite()
	const pods = 10
	for range pods {
		s.RunPod(b).Run("c", "exec sleep 1000")
	}
	for b.Loop() {
	}
	var total, private int
	pauses := m.processes()
	for pid := range pauses {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			kb, _ := strconv.Atoi(f[1])
			switch f[0] {
			case "Pss:":
				total += kb
			case "Private_Dirty:":
				private += kb
			}
		}
	}
	b.ReportMetric(float64(total)/float64(len(pauses)), "PSS-KB/pod")
	b.ReportMetric(float64(private)/float64(len(pauses)), "private-KB/pod")
	b.ReportMetric(0, "ns/op")
}
