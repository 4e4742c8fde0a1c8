// Package podconfig translates a Pod into what the Container Runtime Interface understands: the sandbox's and
// the containers' configuration, their environment, /etc/hosts and resolv.conf.
//
// It is pure: everything that it must know comes in as a value, and the same pod gives the same configuration.
// Package node is its caller; it has the images, the mounts and the addresses. A pod whose specification cannot
// be translated gives an error in the words that Kubernetes uses (`configmap "x" not found`).
package podconfig
