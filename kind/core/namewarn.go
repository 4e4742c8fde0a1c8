package core

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
)

// HostNameWarnings tells who names an object so that the host names made of it are not what he may expect.
func HostNameWarnings(name string) []string {
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
		return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs)}
	}
	return nil
}
