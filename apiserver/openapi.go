package apiserver

import "strings"

// The media types of OpenAPI v2 in protobuf; kubectl asks for the first, older ones for the second.
const openAPIv2Proto = "application/com.github.proto-openapi.spec.v2"

// openAPIv2Key returns the key of the form of the v2 document that is accepted.
func openAPIv2Key(accept string) string {
	if strings.Contains(accept, openAPIv2Proto) {
		return "/openapi/v2#proto"
	}
	return "/openapi/v2"
}

func (d *documents) addOpenAPI() {}
