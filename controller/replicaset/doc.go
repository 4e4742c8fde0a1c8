// Package replicaset keeps as many pods as a ReplicaSet asks for.
package replicaset
