// Package serviceaccount decides what every namespace is furnished with: the ServiceAccount "default" and the
// ConfigMap kube-root-ca.crt with the certificate authority that clients in pods trust.
//
// [New] and [NewRootCA] are values for package controller (or package sim) to run; they are pure and keep no
// state. What a user deletes comes back, except in a namespace that is being deleted.
package serviceaccount
