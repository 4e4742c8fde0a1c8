// Package serviceaccount decides what every namespace is furnished with: the ServiceAccount "default" and the
// ConfigMap kube-root-ca.crt with the certificate authorities that clients in pods trust. It also decides what becomes of
// the Secrets for tokens that people make.
//
// [New], [NewRootCA] and [NewTokens] are values for package controller (or package sim) to run; they are pure and keep no
// state. What a user deletes comes back, except in a namespace that is being deleted.
package serviceaccount
