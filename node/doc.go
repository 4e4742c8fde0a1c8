// Package node is the agent: it makes a machine run the pods that are bound to it.
//
// An [Agent] registers the Node object, renews its Lease, and runs one worker per pod. A worker is a thin
// shell around podstate.Step: changes of the pod (client.Source) and of its containers (CRI's event stream)
// go in as events, effects come out, are carried out beside the worker, and come back as events. Nothing
// polls and nothing relists; what a restart of the agent has to know is read from the CRI once, so running
// containers are adopted and never restarted.
//
// The agent talks to the pod runtime through CRI only, so a foreign runtime can be put in its place, and to
// the API server through package client only.
//
// On failure: a call that fails becomes an event of the pod (FailedMount, Failed, FailedCreatePodSandBox, …)
// and is tried again with a growing delay; the pod's status says what is waited for. [Agent.Run] returns an
// error only when the node cannot work at all (no runtime, no registration).
package node
