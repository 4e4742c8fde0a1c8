// Package certificates holds the kinds of the API group certificates.k8s.io/v1: CertificateSigningRequest. Everything is
// pure and safe for concurrent use.
package certificates
