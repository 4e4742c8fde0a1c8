package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Normalize returns the full form of a reference, as Docker reads it: "busybox" is
// "docker.io/library/busybox:latest". A reference with a tag and a digest loses its tag.
func Normalize(ref string) (string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("invalid image name %q: %w", ref, err)
	}
	return named.String(), nil
}

// isDigested says if a normalised reference is one by digest.
func isDigested(ref string) bool { return strings.Contains(ref, "@") }

// repository returns the name without its tag and digest, for example "docker.io/library/busybox".
func repository(normalized string) (string, error) {
	named, err := reference.ParseNormalizedNamed(normalized)
	if err != nil {
		return "", fmt.Errorf("invalid image name %q: %w", normalized, err)
	}
	return named.Name(), nil
}

// asID returns an image ID for "sha256:HEX" and for HEX alone, and "" for everything else.
func asID(ref string) string {
	hex := strings.TrimPrefix(ref, "sha256:")
	if isHex(hex, 64, 64) {
		return "sha256:" + hex
	}
	return ""
}

func isHex(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, "0123456789abcdef") == ""
}

// checkDigest returns the hexadecimal part of a digest, which becomes a file name.
func checkDigest(digest string) (hex string, err error) {
	id := asID(digest)
	if id == "" || !strings.HasPrefix(digest, "sha256:") {
		return "", fmt.Errorf("invalid digest %q: only sha256 is supported", digest)
	}
	return strings.TrimPrefix(id, "sha256:"), nil
}
