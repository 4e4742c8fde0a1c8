package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needRoot skips what only root can do, or fails where everything must run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("SAMPAN_E2E") == "require" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// Headers of entries. Owners are this process's, so that the tests run as any user.
func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}
func dir(name string) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}
func symlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}
func hardlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}, ""}
}

type entry struct {
	tar.Header
	content string
}

func (e entry) mode(m int64) entry { e.Mode = m; return e }

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if h.Uid == 0 && h.Gid == 0 {
			h.Uid, h.Gid = os.Getuid(), os.Getgid()
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_000_000_000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackTo unpacks entries into base/fs, which has a neighbour base/outside with a file.
func unpackTo(t *testing.T, entries ...entry) (base string, layer layerFile, err error) {
	t.Helper()
	base = t.TempDir()
	for _, d := range []string{"fs", "outside"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "outside", "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	layer, err = unpack(t.Context(), bytes.NewReader(archive(t, entries...)), filepath.Join(base, "fs"), os.Geteuid() == 0)
	return base, layer, err
}

// tree shows a directory: each path with its type, mode, and content or target.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", name, info.Mode())
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case info.IsDir():
			v := make([]byte, 10)
			if n, err := unix.Lgetxattr(path, overlayOpaque, v); err == nil {
				line += " opaque=" + string(v[:n])
			}
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLayerIsUnpacked(t *testing.T) {
	for _, c := range []struct {
		name    string
		root    bool
		entries []entry
		want    []string
	}{
		{"files and folders", false,
			[]entry{dir("./"), dir("etc/"), file("etc/passwd", "root"), file("/abs", "x"), file("./bin/sh", "sh").mode(0o755)},
			[]string{". drwxr-xr-x", "abs -rw-r--r-- x", "bin drwxr-xr-x", "bin/sh -rwxr-xr-x sh", "etc drwxr-xr-x", "etc/passwd -rw-r--r-- root"}},
		{"the mode of the root", false, []entry{dir("./").mode(0o750)}, []string{". drwxr-x---"}},
		{"setuid, setgid, sticky", false,
			[]entry{file("su", "").mode(0o4755), file("sg", "").mode(0o2755), dir("tmp").mode(0o1777)},
			[]string{". drwxr-xr-x", "sg grwxr-xr-x ", "su urwxr-xr-x ", "tmp dtrwxrwxrwx"}},
		{"links", false,
			[]entry{file("a", "1"), hardlink("b", "a"), hardlink("c", "./b"), symlink("d", "/a"), symlink("e", "../../x")},
			[]string{". drwxr-xr-x", "a -rw-r--r-- 1", "b -rw-r--r-- 1", "c -rw-r--r-- 1", "d Lrwxrwxrwx -> /a", "e Lrwxrwxrwx -> ../../x"}},
		{"the last entry of a name wins", false,
			[]entry{file("a", "1"), file("a", "2"), dir("d"), file("d/x", "x"), file("d", "now a file"), symlink("l", "a"), dir("l"), file("l/in", "y")},
			[]string{". drwxr-xr-x", "a -rw-r--r-- 2", "d -rw-r--r-- now a file", "l drwxr-xr-x", "l/in -rw-r--r-- y"}},
		{"a folder again changes its mode only", false,
			[]entry{dir("d"), file("d/x", "x"), dir("d").mode(0o700)},
			[]string{". drwxr-xr-x", "d drwx------", "d/x -rw-r--r-- x"}},
		{"through a link inside", false,
			[]entry{dir("usr/bin"), symlink("bin", "usr/bin"), file("bin/sh", "sh"), symlink("abs", "/usr"), file("abs/x", "x")},
			[]string{". drwxr-xr-x", "abs Lrwxrwxrwx -> /usr", "bin Lrwxrwxrwx -> usr/bin", "usr drwxr-xr-x", "usr/bin drwxr-xr-x", "usr/bin/sh -rw-r--r-- sh", "usr/x -rw-r--r-- x"}},
		{"aufs bookkeeping is left out", false,
			[]entry{dir(".wh..wh.plnk"), file(".wh..wh.aufs", ""), file("a", "")},
			[]string{". drwxr-xr-x", "a -rw-r--r-- "}},
		{"whiteout", true,
			[]entry{dir("d"), file("d/.wh.gone", ""), file(".wh.other", "")},
			[]string{". drwxr-xr-x", "d drwxr-xr-x", "d/gone Dc---------", "other Dc---------"}},
		{"opaque folder", true,
			[]entry{dir("d"), file("d/.wh..wh..opq", ""), file("d/x", "x")},
			[]string{". drwxr-xr-x", "d drwxr-xr-x opaque=y", "d/x -rw-r--r-- x"}},
		{"hidden and made anew", true,
			[]entry{file(".wh.d", ""), dir("d"), file("d/x", "x"), file(".wh.f", ""), file("f", "new")},
			[]string{". drwxr-xr-x", "d drwxr-xr-x opaque=y", "d/x -rw-r--r-- x", "f -rw-r--r-- new"}},
		{"made and hidden below", true,
			[]entry{dir("d"), file("d/x", "x"), file(".wh.d", ""), file("f", "new"), file(".wh.f", "")},
			[]string{". drwxr-xr-x", "d drwxr-xr-x opaque=y", "d/x -rw-r--r-- x", "f -rw-r--r-- new"}},
		{"hidden, and a file below without its folder", true,
			[]entry{file(".wh.d", ""), file("d/e/x", "x")},
			[]string{". drwxr-xr-x", "d drwxr-xr-x opaque=y", "d/e drwxr-xr-x", "d/e/x -rw-r--r-- x"}},
		{"devices and pipes", true,
			[]entry{
				{tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}, ""},
				{tar.Header{Typeflag: tar.TypeBlock, Name: "loop", Mode: 0o660, Devmajor: 7}, ""},
				{tar.Header{Typeflag: tar.TypeFifo, Name: "pipe", Mode: 0o600}, ""},
			},
			[]string{". drwxr-xr-x", "loop Drw-rw----", "null Dcrw-rw-rw-", "pipe prw-------"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			base, layer, err := unpackTo(t, c.entries...)
			if err != nil {
				t.Fatal(err)
			}
			got := tree(t, filepath.Join(base, "fs"))
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if c.name == "files and folders" && (layer.Size != 7 || layer.Inodes != 5) {
				t.Errorf("counted %+v", layer)
			}
		})
	}
}

func TestOwnersTimesAndAttributesAreKept(t *testing.T) {
	needRoot(t)
	when := time.Unix(1_234_567_890, 0)
	withXattr := file("ping", "x").mode(0o755)
	withXattr.PAXRecords = map[string]string{
		xattrRecord + "user.note": "kept", xattrRecord + "trusted.overlay.opaque": "y",
		// cap_net_raw+ep
		xattrRecord + "security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	d, f, l := dir("d"), file("d/f", "x").mode(0o4755), symlink("d/l", "f")
	for _, h := range []*tar.Header{&d.Header, &f.Header, &l.Header, &withXattr.Header} {
		h.Uid, h.Gid, h.ModTime = 1234, 70000, when
	}
	base, _, err := unpackTo(t, d, f, l, withXattr)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(base, "fs")
	for _, name := range []string{"d", "d/f", "d/l", "ping"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != 1234 || st.Gid != 70000 || st.Mtim.Sec != when.Unix() {
			t.Errorf("%s: owner %d:%d, time %d", name, st.Uid, st.Gid, st.Mtim.Sec)
		}
	}
	if info, _ := os.Stat(filepath.Join(root, "d/f")); info.Mode()&fs.ModeSetuid == 0 {
		t.Error("setuid is lost")
	}
	for name, want := range map[string]bool{"user.note": true, "security.capability": true, overlayOpaque: false} {
		n, err := unix.Lgetxattr(filepath.Join(root, "ping"), name, make([]byte, 64))
		if want != (err == nil && n > 0) && !errors.Is(err, unix.ENOTSUP) {
			t.Errorf("%s: %d bytes, %v, want it: %v", name, n, err, want)
		}
	}
}

// Every archive here tries to read, write or change something outside of its directory.
func TestHostileArchiveStaysInside(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused bool
		entries func(outside string) []entry
	}{
		{"a name that climbs", true, func(string) []entry { return []entry{file("../outside/secret", "evil")} }},
		{"a name that climbs later", true, func(string) []entry { return []entry{file("a/../../outside/secret", "evil")} }},
		{"only dots", true, func(string) []entry { return []entry{dir("..").mode(0o777)} }},
		{"an absolute name", false, func(outside string) []entry { return []entry{file(outside+"/secret", "evil")} }},
		{"through a link to the outside", true, func(outside string) []entry {
			return []entry{symlink("out", outside), file("out/secret", "evil")}
		}},
		{"through a link that climbs", true, func(string) []entry {
			return []entry{symlink("out", "../outside"), file("out/secret", "evil")}
		}},
		{"through links to links", true, func(outside string) []entry {
			return []entry{symlink("a", ".."), symlink("b", "a/outside"), file("b/secret", "evil")}
		}},
		{"over a link to a file outside", false, func(outside string) []entry {
			return []entry{symlink("f", outside+"/secret"), file("f", "evil")}
		}},
		{"a folder over a link to the outside", false, func(outside string) []entry {
			return []entry{symlink("d", outside), dir("d").mode(0o777), file("d/secret", "evil")}
		}},
		{"a hard link that climbs", true, func(string) []entry {
			return []entry{hardlink("f", "../outside/secret"), file("f", "evil")}
		}},
		{"an absolute hard link", true, func(outside string) []entry {
			return []entry{hardlink("f", outside+"/secret"), file("f", "evil")}
		}},
		{"a hard link through a link", true, func(outside string) []entry {
			return []entry{symlink("out", outside), hardlink("f", "out/secret"), file("f", "evil")}
		}},
		{"a hard link to a link, written over", false, func(outside string) []entry {
			return []entry{symlink("l", outside+"/secret"), hardlink("f", "l"), file("f", "evil")}
		}},
		{"removing a folder with a link in it", false, func(outside string) []entry {
			return []entry{dir("d"), symlink("d/out", outside), file("d", "now a file")}
		}},
		{"a loop of links", true, func(string) []entry {
			return []entry{symlink("a", "b"), symlink("b", "a"), file("a/x", "evil")}
		}},
		{"a whiteout that climbs", true, func(string) []entry { return []entry{file(".wh...", "")} }},
		{"a whiteout of nothing", true, func(string) []entry { return []entry{file(".wh.", "")} }},
		{"the root as a file", true, func(string) []entry { return []entry{file(".", "evil")} }},
		{"the root as a link", true, func(outside string) []entry { return []entry{symlink("./", outside)} }},
		{"overlayfs' mark as a device", true, func(string) []entry {
			return []entry{{tar.Header{Typeflag: tar.TypeChar, Name: "x"}, ""}}
		}},
		{"a type that nobody knows", true, func(string) []entry {
			return []entry{{tar.Header{Typeflag: 'Z', Name: "x"}, ""}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			outsideDir := t.TempDir()
			if err := os.WriteFile(filepath.Join(outsideDir, "secret"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			base, _, err := unpackTo(t, c.entries(outsideDir)...)
			if c.refused != (err != nil) {
				t.Errorf("error %v, want one: %v", err, c.refused)
			}
			for _, d := range []string{outsideDir, filepath.Join(base, "outside")} {
				want := []string{"secret -rw------- secret"}
				if got := tree(t, d)[1:]; !slices.Equal(got, want) {
					t.Errorf("%s was changed to %v", d, got)
				}
			}
			if got := tree(t, base); slices.ContainsFunc(got, func(l string) bool {
				return strings.Contains(l, "secret") && strings.Contains(l, "fs/") && strings.HasSuffix(l, " secret")
			}) {
				t.Errorf("the secret came in: %v", got)
			}
		})
	}
}

func FuzzUnpackStaysInside(f *testing.F) {
	f.Add("a", "..", "a/x", byte(tar.TypeSymlink))
	f.Add("a/b", "../../..", "a/b/outside/secret", byte(tar.TypeSymlink))
	f.Add("l", "/", "l/outside", byte(tar.TypeLink))
	f.Add(".wh.a", "", "a/b", byte(tar.TypeReg))
	f.Fuzz(func(t *testing.T, name, link, second string, kind byte) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []tar.Header{
			{Typeflag: kind, Name: name, Linkname: link, Mode: 0o755, Uid: os.Getuid(), Gid: os.Getgid()},
			{Typeflag: tar.TypeReg, Name: second, Size: 1, Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid()},
		} {
			if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || w.WriteHeader(&h) != nil {
				t.Skip()
			}
			w.Write([]byte("x")[:h.Size])
		}
		w.Close()
		base := t.TempDir()
		if err := os.Mkdir(filepath.Join(base, "fs"), 0o755); err != nil {
			t.Fatal(err)
		}
		unpack(t.Context(), &b, filepath.Join(base, "fs"), os.Geteuid() == 0)
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 1 {
			t.Fatalf("outside there is now %v, %v", entries, err)
		}
	})
}
