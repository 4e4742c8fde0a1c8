package patch

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ItemsMax is how many items all lists of a body may have together. Nothing that people write comes near it, and a
// body of three megabytes has room for a million empty items that take half a kilobyte each once they are decoded,
// and longer than any request may last to merge by their keys.
const ItemsMax = 100_000

// strategicMax is the same for a strategic merge patch, which looks through the whole list for each item of its own.
const strategicMax = maxOperations

// CheckItems refuses JSON whose lists have more items than max, without decoding it. What is no JSON gets any answer:
// it is refused anyway.
func CheckItems(data []byte, max int) error {
	if len(data) <= 2*max { // an item and its comma are two bytes at least
		return nil
	}
	return tooMany(items(data), max)
}

func tooMany(n, max int) error {
	if n <= max {
		return nil
	}
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the lists in it have %d items, at most %d are allowed", n, max))
}

// items returns how many commas stand directly in lists of JSON: one less for each list than it has items.
func items(data []byte) int {
	n := 0
	var open []byte // the brackets around the current byte
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			open = append(open, c)
		case ']', '}':
			open = open[:max(len(open)-1, 0)]
		case ',':
			if len(open) > 0 && open[len(open)-1] == '[' {
				n++
			}
		}
	}
	return n
}
