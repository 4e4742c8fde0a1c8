// Package remote is the client of package client over HTTPS: for node agents on other machines and for tools.
//
// Requests are those of the Kubernetes API, in protobuf over HTTP/2, with a client certificate or a token. Errors
// are the server's own, *errors.StatusError of apimachinery; a request that got no answer ends in an error of
// another type, and its outcome is unknown.
//
// The view follows the kinds that the client was asked to follow ([Config].Follow) through one stream that the API
// server orders by revision. So a snapshot is what the server had at one revision, across all followed kinds, as
// with the in-process client; of other kinds it shows nothing. Its revision never goes back: after a broken
// connection the stream goes on where it ended, and when the server has forgotten that point the client takes the
// whole state and works out what changed. While nothing is wrong nobody polls; only a lost connection is retried,
// with a growing back-off.
//
// What a snapshot's revision does not promise: a write to a kind that is not followed, or to an object outside
// the selectors, moves the view only with the server's next mark, which comes within a minute.
//
// [New] makes a client that can send requests at once; its view is at revision 0 until [Client.Run] has received the
// state. All methods are safe for concurrent use.
package remote
