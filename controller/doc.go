// Package controller is the one loop that runs every controller: wake, fence, decide, carry out.
//
// A controller itself is a pure value ([plan.Controller]). The shell gives it what it must not have: a
// queue, a clock, and the API server. [Loop] is that shell without goroutine and clock, which the simulator
// drives step by step; [Runner] is the thin goroutine wrapper of production. Both carry plans out with
// [Carry].
//
// What the shell promises a decision:
//
//  1. One plan per key is in flight. A wake meanwhile only marks the key.
//  2. Fence: after a write at revision W the key is not decided again until the view is at W or later, so no
//     decision is taken on a view that lacks the key's own writes.
//  3. The first failure ends the plan; the next view decides anew. After a conflict the next newer view is
//     enough; after other failures the key backs off exponentially up to a minute, and back to nothing
//     after a plan that was carried out.
//  4. A create that meets "already exists" and a delete that meets "not found" are done.
//  5. At the start, and whenever the history of changes was lost, every watched object wakes its keys.
//
// A killed process loses nothing but back-offs and Mem: everything that matters is in the API.
package controller
