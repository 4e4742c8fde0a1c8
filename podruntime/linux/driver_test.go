package linux

import (
	"os"
	"strings"
	"testing"
)

func TestFileSystemThatTheKernelLacksIsAProblem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if got := fileSystemProblem("overlay"); got != "" {
		t.Errorf("overlay: %s", got)
	}
	if got := fileSystemProblem("no-such-fs"); !strings.Contains(got, "modprobe no-such-fs") {
		t.Errorf("a file system that is not there: %q, want what to do", got)
	}
}
