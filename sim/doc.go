// Package sim runs a whole cluster's life in one goroutine, on virtual time, from one seed: the API server over
// a store in memory, every controller, the scheduler, and node agents that play the part of real ones. The
// same seed gives the same life, event by event.
//
// The parts are the raw types of production (controller.Loop, scheduler.Core, the API server's in-process
// client); what is simulated is what lies between them: views arrive late and several changes at once, writes
// take time, get lost, or lose their answers, processes crash with writes in flight. Checkers (package
// sim/check) look at every committed change. After the faults stop the cluster must come to rest in the state
// that was asked for, and write no more.
//
// It reaches no operating system.
package sim
