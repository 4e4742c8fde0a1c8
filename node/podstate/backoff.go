package podstate

import "time"

const (
	backOffFirst = 10 * time.Second
	backOffMax   = 5 * time.Minute
	// crashForget is how long a container must have run for its earlier crashes to be forgotten.
	crashForget = 10 * time.Minute
	// pullErrorShown is how long ErrImagePull is shown before it becomes ImagePullBackOff.
	pullErrorShown = time.Second
	// setupRetryFirst and setupRetryMax bound the delay between attempts at volumes and sandboxes.
	setupRetryFirst = 500 * time.Millisecond
	setupRetryMax   = 2*time.Minute + 2*time.Second
)

// double returns first·2^(n-1), at most limit; 0 for n < 1.
func double(first, limit time.Duration, n int) time.Duration {
	if n < 1 {
		return 0
	}
	for d := first; ; d *= 2 {
		if d >= limit {
			return limit
		}
		if n--; n == 0 {
			return d
		}
	}
}

// retry is a delay that grows with failures in a row.
type retry struct {
	failures int
	at       time.Time // not before
}

func (r *retry) fail(now time.Time, first, limit time.Duration) {
	r.failures++
	r.at = now.Add(double(first, limit, r.failures))
}
