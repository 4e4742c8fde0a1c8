package patch

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ItemsMax is how many items all lists and large maps of a body may have together. Nothing that people write comes near
// it, and a body of three megabytes has room for a million empty items that take half a kilobyte each once they are
// decoded, and longer than any request may last to merge by their keys. What a map has costs more than in proportion too,
// when it is found out who has set what.
const ItemsMax = 100_000

// largeMap is from how many members on an object in JSON is a map whose members count. Structs have fewer fields.
const largeMap = 1000

// strategicMax is the same for a strategic merge patch, which looks through the whole list for each item of its own.
const strategicMax = maxOperations

// CheckItems refuses JSON whose lists have more items than max, or with its maps more than ItemsMax, without decoding it. What is no JSON gets any answer:
// it is refused anyway.
func CheckItems(data []byte, max int) error {
	if len(data) <= 2*max { // an item and its comma are two bytes at least
		return nil
	}
	lists, maps := items(data)
	if lists > max {
		return tooMany(lists, max)
	}
	return tooMany(lists+maps, ItemsMax)
}

func tooMany(n, max int) error {
	if n <= max {
		return nil
	}
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the lists and maps in it have %d items, at most %d are allowed", n, max))
}

// items returns how many commas stand directly in lists of JSON, and in its large maps: one less for each than it has
// items.
func items(data []byte) (lists, maps int) {
	var open []bracket // around the current byte
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			open = append(open, bracket{list: c == '['})
		case ']', '}':
			open = open[:max(len(open)-1, 0)]
		case ',':
			if len(open) == 0 {
				continue
			}
			switch in := &open[len(open)-1]; {
			case in.list:
				lists++
			default:
				if in.members++; in.members == largeMap {
					maps += largeMap
				} else if in.members > largeMap {
					maps++
				}
			}
		}
	}
	return lists, maps
}

// bracket is an open list, or an open object with as many commas so far.
type bracket struct {
	list    bool
	members int
}
