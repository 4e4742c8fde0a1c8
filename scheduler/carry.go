package scheduler

import (
	"context"

	"sampan/view"
)

// CarryOut writes a decision, taken on a snapshot, and tells users. It is for those who drive a [Core]
// themselves: the error is for [Core.Done].
func (s *Scheduler) CarryOut(ctx context.Context, snap *view.Snapshot, d Decision) error {
	return s.carryOut(ctx, snap, d)
}
