package term_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/election/term"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func rules(identity string) term.Rules {
	return term.Rules{Identity: identity, Duration: 15 * time.Second, Deadline: 10 * time.Second, Retry: 2 * time.Second}
}

// lease is a Lease as somebody has left it; transitions below 0 is not set.
func lease(version int, holder string, transitions int32) *coordinationv1.Lease {
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "l", UID: "u", ResourceVersion: strconv.Itoa(version)}}
	renewed := metav1.NewMicroTime(at(-3600)) // a clock that goes wrong
	l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: &renewed, AcquireTime: &renewed}
	if transitions >= 0 {
		l.Spec.LeaseTransitions = &transitions
	}
	return l
}

// told is a step in words.
func told(s term.Step) string {
	text := "stands by"
	if s.Lead {
		text = "leads"
	}
	if s.Write == nil {
		return text + fmt.Sprintf(", next at %v", s.WakeAt.Sub(noon))
	}
	w := s.Write.Spec
	return text + fmt.Sprintf(", writes %q over %q: %s, renewed at %v, acquired at %v, %d transitions", s.Write.Name, s.Write.ResourceVersion,
		*w.HolderIdentity, w.RenewTime.Sub(noon), w.AcquireTime.Sub(noon), *w.LeaseTransitions)
}

func TestSteps(t *testing.T) {
	type look struct {
		at    float64
		lease *coordinationv1.Lease
		write string // what becomes of a write: "" succeeds
		want  string
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"nobody has ever held it", []look{
			{0, nil, "", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{0, lease(1, "me", 0), "", `leads, next at 2s`},
			{2, lease(1, "me", 0), "", `leads, writes "l" over "1": me, renewed at 2s, acquired at -1h0m0s, 0 transitions`},
		}},
		{"another one was faster", []look{
			{0, nil, "conflict", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{0, lease(1, "you", 0), "", `stands by, next at 15s`},
		}},
		{"a holder that renews is left alone", []look{
			{0, lease(1, "you", 0), "", `stands by, next at 15s`},
			{14, lease(2, "you", 0), "", `stands by, next at 29s`},
			{28, lease(2, "you", 0), "", `stands by, next at 29s`},
		}},
		{"a holder that is silent is followed", []look{
			{0, lease(1, "you", 4), "", `stands by, next at 15s`},
			{15, lease(1, "you", 4), "", `stands by, writes "l" over "1": me, renewed at 15s, acquired at 15s, 5 transitions`},
			{15, lease(2, "me", 5), "", `leads, next at 17s`},
		}},
		{"a lease that was given back is taken at once", []look{
			{0, lease(1, "you", 0), "", `stands by, next at 15s`},
			{3, lease(2, "", 0), "", `stands by, writes "l" over "2": me, renewed at 3s, acquired at 3s, 1 transitions`},
		}},
		{"a lease without a count of transitions", []look{
			{0, lease(1, "", -1), "", `stands by, writes "l" over "1": me, renewed at 0s, acquired at 0s, 0 transitions`},
		}},
		{"a removed lease is not taken before its holder has given up", []look{
			{0, lease(1, "you", 0), "", `stands by, next at 15s`},
			{5, nil, "", `stands by, next at 20s`},
			{20, nil, "", `stands by, writes "l" over "": me, renewed at 20s, acquired at 20s, 0 transitions`},
		}},
		{"the holder makes a removed lease anew at once", []look{
			{0, nil, "", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{1, nil, "", `leads, writes "l" over "": me, renewed at 1s, acquired at 1s, 0 transitions`},
		}},
		{"the former life of this one is followed at once", []look{
			{0, lease(7, "me", 3), "", `stands by, writes "l" over "7": me, renewed at 0s, acquired at -1h0m0s, 3 transitions`},
		}},
		{"a leader that cannot renew gives up, and tries on", []look{
			{0, nil, "", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{2, lease(1, "me", 0), "down", `leads, writes "l" over "1": me, renewed at 2s, acquired at -1h0m0s, 0 transitions`},
			{2.1, lease(1, "me", 0), "", `leads, next at 4s`},
			{9, lease(1, "me", 0), "down", `leads, writes "l" over "1": me, renewed at 9s, acquired at -1h0m0s, 0 transitions`},
			{9, lease(1, "me", 0), "", `leads, next at 10s`},
			{10, lease(1, "me", 0), "", `stands by, next at 11s`},
			{11, lease(1, "me", 0), "", `stands by, writes "l" over "1": me, renewed at 11s, acquired at -1h0m0s, 0 transitions`},
			{11, lease(2, "me", 0), "", `leads, next at 13s`},
		}},
		{"a leader that stood still is none when it wakes", []look{
			{0, nil, "", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{60, lease(1, "me", 0), "down", `stands by, writes "l" over "1": me, renewed at 1m0s, acquired at -1h0m0s, 0 transitions`},
			{60, lease(9, "you", 1), "", `stands by, next at 1m15s`},
		}},
		{"a leader whose lease another one has leads no more", []look{
			{0, nil, "", `stands by, writes "l" over "": me, renewed at 0s, acquired at 0s, 0 transitions`},
			{1, lease(2, "you", 1), "", `stands by, next at 16s`},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m term.Mem
			for _, l := range c.looks {
				before := l.lease.DeepCopy()
				var step term.Step
				step, m = rules("me").Decide("ns", "l", l.lease, at(l.at), m)
				if got := told(step); got != l.want {
					t.Errorf("at %vs it %s\nwant it %s", l.at, got, l.want)
				}
				if step.Lead != m.Leading {
					t.Error("it does not remember whether it leads")
				}
				if d := cmp.Diff(before, l.lease); d != "" {
					t.Errorf("it writes to what it sees: %s", d)
				}
				switch {
				case step.Write == nil:
				case l.write == "":
					m = m.Wrote(at(l.at))
				default:
					m = m.Failed(at(l.at))
				}
			}
		})
	}
}

func TestRelease(t *testing.T) {
	got := rules("me").Released(lease(3, "me", 2), at(1))
	if *got.Spec.HolderIdentity != "" || *got.Spec.LeaseDurationSeconds != 1 || *got.Spec.LeaseTransitions != 2 || got.ResourceVersion != "3" {
		t.Errorf("it leaves %+v", got)
	}
	if got := rules("me").Released(lease(3, "you", 2), at(1)); got != nil {
		t.Errorf("it gives back another's: %+v", got)
	}
	if got := rules("me").Released(nil, at(1)); got != nil {
		t.Errorf("it gives back nothing: %+v", got)
	}
}

// candidate is one of many on a Lease that each sees late, and writes to with a delay.
type candidate struct {
	rules   term.Rules
	mem     term.Mem
	clock   time.Duration // how wrong it is
	cut     bool          // it sees nothing new, and its writes fail
	version int           // of the Lease that it sees
	seen    *coordinationv1.Lease
	writing *coordinationv1.Lease
	began   time.Time
	due     time.Duration
}

// leads is what guards its writes.
func (c *candidate) leads(now time.Time) bool {
	return c.mem.Leading && now.Before(c.mem.Renewed.Add(c.rules.Deadline))
}

// Candidates have wrong clocks, late views, lost answers and cuts, and the Lease is once removed under them: two never
// lead at the same time, and when all is well again, one does.
func TestNeverTwoLeadAndSomebodyDoes(t *testing.T) {
	changes := 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 7))
		chance := func(one int) bool { return random.IntN(one) == 0 }
		var all []*candidate
		for i := range 3 {
			all = append(all, &candidate{rules: rules(fmt.Sprint("c", i)), clock: time.Duration(random.IntN(7200)-3600) * time.Second})
		}
		var history []*coordinationv1.Lease // by version, nil where it was removed
		const tick, faults, end = 250 * time.Millisecond, 10 * time.Minute, 11 * time.Minute
		removal := time.Minute + tick*time.Duration(random.IntN(1200))
		led := map[string]bool{}
		for t0 := time.Duration(0); t0 < end; t0 += tick {
			healthy := t0 > faults
			for _, c := range all {
				now := noon.Add(t0 + c.clock)
				if chance(200) || healthy {
					c.cut = !healthy && !c.cut
				}
				if c.version < len(history) && !c.cut && (healthy || chance(3)) {
					c.version = len(history)
					c.seen = history[c.version-1]
				}
				if c.writing != nil && t0 >= c.due {
					var newest *coordinationv1.Lease
					if len(history) > 0 {
						newest = history[len(history)-1]
					}
					ok := !c.cut && (newest == nil && c.writing.ResourceVersion == "" || newest != nil && newest.ResourceVersion == c.writing.ResourceVersion)
					if ok {
						written := c.writing.DeepCopy()
						written.UID, written.ResourceVersion = "u", strconv.Itoa(len(history)+1)
						history = append(history, written)
					}
					if ok && (healthy || !chance(10)) { // else the answer is lost
						c.version, c.seen = len(history), history[len(history)-1]
						c.mem = c.mem.Wrote(c.began)
					} else {
						c.mem = c.mem.Failed(c.began)
					}
					c.writing = nil
				}
				if c.writing == nil && (healthy || !chance(20)) { // else it stands still for a moment
					var step term.Step
					step, c.mem = c.rules.Decide("ns", "l", c.seen, now, c.mem)
					if step.Write != nil {
						c.writing, c.began = step.Write, now
						if !healthy {
							c.due = t0 + time.Duration(random.IntN(8))*tick
						}
					}
				}
			}
			if t0 == removal && len(history) > 0 {
				history = append(history, nil)
			}
			var leaders []string
			for _, c := range all {
				if c.leads(noon.Add(t0 + c.clock)) {
					leaders = append(leaders, c.rules.Identity)
					led[c.rules.Identity] = true
				}
			}
			if len(leaders) > 1 {
				t.Fatalf("seed %d: at %v %v lead", seed, t0, leaders)
			}
			if t0 > faults+30*time.Second && len(leaders) == 0 {
				t.Fatalf("seed %d: at %v nobody leads", seed, t0)
			}
		}
		if len(led) > 1 {
			changes++
		}
	}
	if changes < 80 {
		t.Errorf("only in %d lives more than one ever led: the test tests nothing", changes)
	}
}
