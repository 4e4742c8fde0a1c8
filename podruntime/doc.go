// Package podruntime runs pods: it is a CRI v1 server (runtime.v1.RuntimeService of k8s.io/cri-api) over a
// pause process per pod.
package podruntime

import "errors"

// ErrImageNotPresent is returned by Images.Open for an image that has not been pulled or imported.
var ErrImageNotPresent = errors.New("image is not present")
