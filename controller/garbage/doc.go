// Package garbage decides what is deleted because nothing needs it any more.
//
// [New] follows owner references: an object whose owners are all gone is deleted; an object that waits with
// the finalizer foregroundDeletion is released when its blocking dependents are gone; one that waits with the
// finalizer orphan is released when no dependent refers to it. It is generic over the kinds it is given, and
// looks only at objects that a change can have affected: the changed object and its dependents by the
// snapshot's owner index.
// [NewPods] removes pods that no node agent will ever finish: on nodes that are gone, deleted before they were
// scheduled, and the oldest finished ones above a threshold.
//
// Both are values for package controller (or package sim) to run; they are pure and keep no state of their own.
// Deletes name the UID that was seen, so an object that was re-created meanwhile is safe.
package garbage
