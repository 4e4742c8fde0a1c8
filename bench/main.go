// Command bench measures the figures that Sampan claims, on whole processes, beside the budgets of
// docs/design/budgets.md, and prints them as a table. It asserts nothing: machines differ.
//
//	sudo go run ./bench [-only REGEXP] [-json FILE]
//
// It needs root and bin/sampan, and runs in a network namespace of its own. Times are medians over a few runs.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/vishvananda/netlink"
)

// figure is one line of the table.
type figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Budget float64 `json:"budget,omitempty"` // 0: none
	// AtLeast says that the budget is a lower bound.
	AtLeast bool `json:"atLeast,omitempty"`
}

// verdict says how the figure stands to its budget.
func (f figure) verdict() string {
	if f.Budget == 0 {
		return ""
	}
	ratio := f.Value / f.Budget
	if f.AtLeast {
		ratio = f.Budget / f.Value
	}
	if ratio <= 1 {
		return "met"
	}
	return fmt.Sprintf("missed by %.1f×", ratio)
}

func main() {
	only := flag.String("only", ".", "measure what matches the regular expression: start, idle, api, store, watch, pods")
	jsonFile := flag.String("json", "", "also write the figures to a file")
	flag.Parse()
	if err := run(*only, *jsonFile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const inNamespace = "SAMPAN_BENCH_IN_NAMESPACE"

func run(only, jsonFile string) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: run it with sudo")
	}
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if os.Getenv(inNamespace) == "" {
		return again()
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	binary := filepath.Join(root, "bin/sampan")
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w: run make first", err)
	}
	var figures []figure
	for _, part := range []struct {
		name    string
		measure func(binary string) ([]figure, error)
	}{
		{"start", measureStart},
		{"idle", measureIdle},
		{"api", measureAPI},
		{"store", measureStore},
		{"watch", measureWatch},
		{"pods", measurePods},
	} {
		if !match.MatchString(part.name) {
			continue
		}
		began := time.Now()
		fs, err := part.measure(binary)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "measured %s in %s\n", part.name, time.Since(began).Round(time.Second))
		figures = append(figures, fs...)
	}
	print(figures)
	if jsonFile == "" {
		return nil
	}
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonFile, append(data, '\n'), 0o644)
}

// again runs this program once more in a network namespace of its own.
func again() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return cmd.Run()
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func print(figures []figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tbudget\t")
	for _, f := range figures {
		budget := ""
		if f.Budget != 0 {
			budget = fmt.Sprintf("%g %s", f.Budget, f.Unit)
		}
		fmt.Fprintf(w, "%s\t%.4g %s\t%s\t%s\n", f.Name, f.Value, f.Unit, budget, f.verdict())
	}
	w.Flush()
}

// percentile returns the p-th percentile (0..1) of values, which it sorts.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(float64(len(values))*p), len(values)-1)]
}

func median(values []float64) float64 { return percentile(values, 0.5) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
