package nft

import "strconv"

// buckets is the number of maps that backends are spread over.
const buckets = 256

// slotRun is a run of slots of one map.
type slotRun struct{ bucket, offset, size int }

// slotSpace gives out runs of slots. Sizes are powers of two, and a run that is given back is used again for
// the same size. The zero value is all free.
type slotSpace struct {
	next int // bucket of the next new run
	ends [buckets]int
	free map[int][]slotRun // by size
}

// take returns a run of at least n slots, none for 0.
func (s *slotSpace) take(n int) slotRun {
	if n == 0 {
		return slotRun{}
	}
	size := 1
	for size < n {
		size *= 2
	}
	if list := s.free[size]; len(list) > 0 {
		run := list[len(list)-1]
		s.free[size] = list[:len(list)-1]
		return run
	}
	run := slotRun{bucket: s.next, offset: s.ends[s.next], size: size}
	s.ends[s.next] += size
	s.next = (s.next + 1) % buckets
	return run
}

func (s *slotSpace) give(run slotRun) {
	if s.free == nil {
		s.free = map[int][]slotRun{}
	}
	s.free[run.size] = append(s.free[run.size], run)
}

func bucketName(i int) string { return "eps-" + strconv.Itoa(i) }
