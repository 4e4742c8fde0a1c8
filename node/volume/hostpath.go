package volume

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// checkHostPath makes sure that a path is of the type that the pod asks for, and creates it where the type says so.
func checkHostPath(src *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if src.Type != nil {
		kind = *src.Type
	}
	st, err := os.Stat(src.Path)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	missing := err != nil
	is := func(ok bool, what string) error {
		if missing || !ok {
			return fmt.Errorf("hostPath type check failed: %s is not %s", src.Path, what)
		}
		return nil
	}
	switch kind {
	case corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate:
		if missing {
			if err := os.MkdirAll(src.Path, 0o755); err != nil {
				return fmt.Errorf("make hostPath directory: %w", err)
			}
			return nil
		}
		if kind == corev1.HostPathUnset {
			return nil
		}
		return is(st.IsDir(), "a directory")
	case corev1.HostPathFileOrCreate:
		if missing {
			if _, err := os.Stat(filepath.Dir(src.Path)); err != nil {
				return fmt.Errorf("make hostPath file: %w", err)
			}
			f, err := os.OpenFile(src.Path, os.O_CREATE|os.O_RDONLY, 0o644)
			if err != nil {
				return fmt.Errorf("make hostPath file: %w", err)
			}
			return f.Close()
		}
		return is(st.Mode().IsRegular(), "a file")
	case corev1.HostPathDirectory:
		return is(!missing && st.IsDir(), "a directory")
	case corev1.HostPathFile:
		return is(!missing && st.Mode().IsRegular(), "a file")
	case corev1.HostPathSocket:
		return is(!missing && st.Mode()&os.ModeSocket != 0, "a socket file")
	case corev1.HostPathCharDev:
		return is(!missing && st.Mode()&os.ModeCharDevice != 0, "a character device")
	case corev1.HostPathBlockDev:
		return is(!missing && st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0, "a block device")
	}
	return fmt.Errorf("hostPath type %q is unknown", kind)
}
