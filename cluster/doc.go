// Package cluster is the composition root: it builds the parts and joins them into one process, and has what
// the command line does around such a process: start it in the background, ask it, end it.
//
// [Run] is a server in the foreground. The parts start as soon as what they need is there: the store, then the
// API, then everything that follows the API, side by side; nothing sleeps and retries to find out. When the
// context ends, or a part fails, all parts stop; the pods run on, and the next Run takes them over.
//
// Only package cmd/sampan and tests call it.
package cluster

import (
	"runtime"

	apiversion "k8s.io/apimachinery/pkg/version"
)

// Version is the version of this build; the Makefile sets it.
var Version = "dev"

// APIVersion is what the API says of itself at /version.
func APIVersion() apiversion.Info {
	return apiversion.Info{
		Major: "1", Minor: "37", GitVersion: "v1.37.0+sampan-" + Version, GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}
