// Command kubectl is the ordinary kubectl, built from the k8s.io/kubectl library, so that one build gives a
// user every tool. It is a binary of its own because kubectl's package initialisation costs 24 ms and 12 MB,
// which the server must not pay.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
