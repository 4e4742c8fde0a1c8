package kindtest

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"sampan/kind"
)

// Table prints objects as kubectl -o wide does, for comparison with a golden text.
func Table(t *testing.T, k *kind.Kind, objects ...kind.Object) string {
	t.Helper()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 8, 3, ' ', 0)
	var names []string
	for _, c := range k.Columns {
		name := strings.ToUpper(c.Name)
		if c.Priority > 0 {
			name = "[" + name + "]" // shown with -o wide only
		}
		names = append(names, name)
	}
	fmt.Fprintln(w, strings.Join(names, "\t"))
	for _, obj := range objects {
		var cells []string
		for _, cell := range k.Row(obj, Now()) {
			cells = append(cells, fmt.Sprint(cell))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
