package batch

import (
	"fmt"
	"strconv"
	"strings"
)

// interval is a part of a list of indexes: from first to last.
type interval struct{ first, last int64 }

// countIndexes returns how many indexes a list such as "0-3,5" names. The list is in order, and its indexes are below
// the number of completions.
func countIndexes(list string, completions int32) (int64, error) {
	if list == "" {
		return 0, nil
	}
	var total int64
	var before *interval
	for part := range strings.SplitSeq(list, ",") {
		v, err := parseInterval(part, completions)
		if err != nil {
			return 0, err
		}
		if before != nil && v.first <= before.last {
			return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", before.last, v.first)
		}
		total += v.last - v.first + 1
		before = &v
	}
	return total, nil
}

// sharedIndex returns the first index that is in both lists. What cannot be read is left out: it is an error elsewhere.
func sharedIndex(a, b string, completions int32) (index int64, ok bool) {
	x, y := readable(a, completions), readable(b, completions)
	for len(x) > 0 && len(y) > 0 {
		p, q := x[0], y[0]
		switch {
		case p.first <= q.last && q.first <= p.last:
			return max(p.first, q.first), true
		case p.first <= q.first:
			x = x[1:]
		default:
			y = y[1:]
		}
	}
	return 0, false
}

func readable(list string, completions int32) []interval {
	var out []interval
	for part := range strings.SplitSeq(list, ",") {
		if v, err := parseInterval(part, completions); err == nil {
			out = append(out, v)
		}
	}
	return out
}

func parseInterval(text string, completions int32) (interval, error) {
	parts := strings.Split(text, "-")
	if len(parts) > 2 {
		return interval{}, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", text)
	}
	first, err := parseIndex(parts[0], completions)
	if err != nil || len(parts) == 1 {
		return interval{first, first}, err
	}
	last, err := parseIndex(parts[1], completions)
	if err == nil && last <= first {
		err = fmt.Errorf("non-increasing order, previous: %d, current: %d", first, last)
	}
	return interval{first, last}, err
}

func parseIndex(text string, completions int32) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", text)
	case n >= int64(completions):
		return 0, fmt.Errorf("too large index: %q", text)
	}
	return n, nil
}
