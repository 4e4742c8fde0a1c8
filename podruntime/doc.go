// Package podruntime runs pods: it is a CRI v1 server (runtime.v1.RuntimeService of k8s.io/cri-api) over a
// pause process per pod.
//
// [Server] holds the rules of CRI: names, states, grace periods, events, what is kept across a restart. What
// touches the machine is behind [Driver], which package podruntime/linux implements with namespaces and
// cgroups and package podruntimetest in memory. [Spec] turns CRI and image configuration into an OCI runtime
// specification; it is a pure function.
//
// Promises:
//   - Crash-only. A record is written before anything is made in the kernel, and removed after the last of it
//     is gone, so that the next [New] finishes or undoes whatever a killed server had begun.
//   - A restart of the server restarts no container: pods are held by their pause processes, which keep
//     copying output to the log files and keep exit codes until the server is back.
//   - Exits are events of the driver, never polled. An idle server does nothing.
//
// Who calls it: the node agent through [Server.Client], crictl and others through [Server.Serve]. All methods
// are safe for concurrent use. Errors are gRPC status errors; codes.NotFound means that the runtime does not
// know the ID.
package podruntime

import "errors"

// ErrImageNotPresent is returned by Images.Open for an image that has not been pulled or imported.
var ErrImageNotPresent = errors.New("image is not present")
