// Package podstate is the life of one pod on its node, as a state machine without an outside.
//
// [Step] takes the state, one event and the time, and returns the next state and the effects that the caller
// must carry out. Effects are carried out beside each other, in no particular order unless an effect's comment
// says so; their results come back as events. A state is a value: Step does not write to the one it is given.
//
// Step first notes what the event says and then decides from all facts together what is missing, so that a
// late, repeated or lost event changes when something happens and never what. It promises that
//   - of one container two instances never exist at a time,
//   - nothing is started for a pod that is being deleted, has failed or has succeeded,
//   - a pod that is being deleted reaches [Effect] FinishDeletion once its effects answer, and
//   - containers that [Recovered] reports are adopted as they are.
//
// The conditions, reasons, messages and delays are those that Kubernetes documents for the kubelet. Package node
// is the one caller in production; the simulator may be another. The package is pure: no clock, no I/O.
package podstate
