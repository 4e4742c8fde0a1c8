// Package e2e drives the built binaries as a user would: bin/sampan, bin/kubectl, real containers, real
// networks. Its tests need root and the build tag e2e; `make e2e` runs them.
//
// Each test's machine is a network namespace of its own ("the node"), with a cable to a second one ("outside"),
// so that nothing of the real machine's network is touched and the outside is really outside. Every test ends
// with `sampan down --purge` and fails if an interface, rule, mount, cgroup, process or socket is left.
package e2e
