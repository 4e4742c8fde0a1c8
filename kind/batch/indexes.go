package batch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// countIndexes returns how many indexes a list such as "0-3,5" names. The list is in order, and its indexes are below
// the number of completions.
func countIndexes(list string, completions int32) (int64, error) {
	if list == "" {
		return 0, nil
	}
	var total int64
	last := int64(-1)
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := index(from, completions)
		if err != nil {
			return 0, err
		}
		end := first
		if ranged {
			if end, err = index(to, completions); err != nil {
				return 0, err
			}
			if end <= first {
				return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", first, end)
			}
		}
		if first <= last {
			return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", last, first)
		}
		total += end - first + 1
		last = end
	}
	return total, nil
}

func index(text string, completions int32) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", text)
	case n < 0:
		return 0, errors.New("too small index: must not be negative")
	case n >= int64(completions):
		return 0, fmt.Errorf("too large index: %q", text)
	}
	return n, nil
}
