// Package statefulset keeps pods that have an identity: an ordinal, a name, claims.
package statefulset
