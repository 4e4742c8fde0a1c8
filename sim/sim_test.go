package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"sampan/kind"
)

// go test ./sim -seeds=5000 runs more seeds; -seed=7 -v runs one, with its trace in the log.
func flags() (seeds *int, seed *int) {
	return flag.Int("seeds", 50, "how many seeds to run"), flag.Int("seed", 0, "run only this seed, and print its trace")
}

var seeds, seed = flags()

func TestShopSurvivesABadDay(t *testing.T) { badDay(t, Shop) }

func TestCornersSurviveABadDay(t *testing.T) { badDay(t, Corners) }

// badDay runs a scenario with faults and users for each seed.
func badDay(t *testing.T, scenario func() []kind.Object) {
	run := func(t *testing.T, n int) {
		cfg := Config{Seed: uint64(n), Faults: DefaultFaults(), Users: true, Objects: scenario()}
		if *seed != 0 {
			cfg.Trace = os.Stdout
		}
		name, _, _ := strings.Cut(t.Name(), "/")
		if r := Run(cfg); r.Err != nil {
			t.Errorf("%v\nreplay: go test ./sim -run %s -seed=%d -v", r.Err, name, n)
		} else if *seed != 0 {
			t.Logf("%+v", r)
		}
	}
	if *seed != 0 {
		run(t, *seed)
		return
	}
	for n := 1; n <= *seeds; n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) { run(t, n) })
	}
}

func TestQuietDay(t *testing.T) {
	r := Run(Config{Seed: 1})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	t.Logf("%+v", r)
}

func TestSameSeedSameLife(t *testing.T) {
	cfg := Config{Seed: 3, Faults: DefaultFaults(), Users: true}
	a, b := Run(cfg), Run(cfg)
	if a.Hash != b.Hash || a.Writes != b.Writes {
		t.Errorf("two runs of one seed differ: %+v and %+v", a, b)
	}
	cfg.Seed = 4
	if c := Run(cfg); c.Hash == a.Hash {
		t.Error("two seeds live the same life")
	}
}
