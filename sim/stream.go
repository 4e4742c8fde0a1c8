package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// stream is randomness for one purpose, so that adding a draw for one purpose does not change the others.
type stream struct{ *rand.Rand }

func newStream(seed uint64, purpose string) stream {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return stream{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// chance is true with a probability.
func (s stream) chance(p float64) bool { return s.Float64() < p }

// between returns a duration from lo up to hi.
func (s stream) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(s.Int64N(int64(hi-lo)+1))
}

// pick returns one of the choices.
func pick[T any](s stream, choices []T) T { return choices[s.IntN(len(choices))] }
