// Package apiserver is the Kubernetes API: the one door through which the cluster's state is read and changed.
//
// A [Server] has two layers. The core is synchronous functions from a request to a response, one file per verb,
// that know nothing of HTTP: they default, admit, validate, commit to the store and return the object as it was
// published. Around it are two thin wrappers: [Server.Handler], the HTTP API with its encodings, streams, discovery
// and documentation; and [Server.Client], a direct call for the parts that live in the same process, where objects
// travel by pointer. Both have the same admission, validation and errors (*errors.StatusError of apimachinery).
//
// The server keeps one cache of everything, the view that it serves lists and watches from and that in-process
// clients read. A write is committed to the store first, then published in the cache, then acknowledged: whoever
// reads after an acknowledgement sees at least that write. The store's revision is the resourceVersion; it is not
// part of the stored bytes, which are the protobuf form of the external version.
//
// What an object uses of a ResourceQuota is charged in the transaction that writes the object, on condition that the
// quota is as admission saw it; so quotas are exact for any number of writers and servers. An eviction takes from its
// disruption budget first and deletes then, so a budget is never overdrawn.
//
// The store's keys are "/<group resource>/<namespace>/<name>", and claims to unique things, written in the same
// transaction as the object that holds them:
//
//	/alloc/clusterips/<ip>               a Service's cluster address; the value is the Service's "namespace/name"
//	/alloc/nodeports/<protocol>-<port>   a Service's node port
//
// Only the composition root and the simulator make a Server. A Server has no goroutine of its own but what
// [Server.Run] and the HTTP handlers use; under a simulator it is called from one goroutine. When the store
// fails, requests end in an error and nothing is published; the server stays usable.
package apiserver
