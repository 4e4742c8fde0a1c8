//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// vmModules are the kernel's modules that the virtual machine may load, as folders or files below the kernel's
// module folder.
var vmModules = []string{
	"kernel/net/netfilter", "kernel/net/ipv4/netfilter", "kernel/net/ipv6/netfilter", "kernel/net/bridge",
	"kernel/net/802", "kernel/net/llc", "kernel/drivers/net/veth.ko", "kernel/drivers/net/dummy.ko",
	"kernel/fs/overlayfs", "kernel/lib/libcrc32c.ko", "kernel/arch/x86/crypto", "kernel/crypto/crc32c_generic.ko",
	"kernel/net/ipv6/udp_tunnel", "kernel/drivers/net/vxlan",
}

// TestSmokeUnderCgroupV2 boots Debian's own kernel in a virtual machine, with every controller on the unified
// hierarchy as most users have it, and runs e2e/vm/smoke there.
func TestSmokeUnderCgroupV2(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatalf("qemu is needed: %v", err)
		}
		t.Skipf("qemu is needed: %v", err)
	}
	kernel, modules := debianKernel(t)
	initramfs := filepath.Join(t.TempDir(), "initramfs")
	buildInitramfs(t, initramfs, modules)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	// KVM hangs on some hosts; plain emulation works everywhere.
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048",
		"-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all")
	out, err := qemu.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("SMOKE: passed")) {
		t.Fatalf("qemu: %v\n%s", err, tail(out, 150))
	}
	t.Logf("%s", tail(out, 40))
}

// debianKernel downloads and unpacks the cloud kernel of Debian's archive, once, and returns the kernel and its
// module folder.
func debianKernel(t *testing.T) (kernel, modules string) {
	t.Helper()
	cache := "/var/cache/sampan-e2e/kernel"
	find := func() bool {
		kernels, _ := filepath.Glob(cache + "/boot/vmlinuz-*")
		folders, _ := filepath.Glob(cache + "/lib/modules/*")
		if len(kernels) == 0 || len(folders) == 0 {
			return false
		}
		kernel, modules = kernels[0], folders[0]
		return true
	}
	if find() {
		return kernel, modules
	}
	fresh := cache + ".new"
	script := `set -e
rm -rf "$1"; mkdir -p "$1"; cd "$1"
apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt-get update -qq
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
apt-get download -qq "$package"
dpkg-deb -x "$package"*.deb .
rm "$package"*.deb
rm -rf "$2"; mkdir -p "$(dirname "$2")"; mv "$1" "$2"`
	if out, err := exec.Command("sh", "-c", script, "sh", fresh, cache).CombinedOutput(); err != nil {
		t.Fatalf("fetch Debian's kernel: %v\n%s", err, out)
	}
	if !find() {
		t.Fatalf("no kernel in %s", cache)
	}
	return kernel, modules
}

// buildInitramfs packs busybox, the binaries, the modules and the smoke test.
func buildInitramfs(t *testing.T, file, modules string) {
	t.Helper()
	dir := t.TempDir()
	buildRootfs(t, filepath.Join(dir, "image"))
	version := filepath.Base(modules)
	script := fmt.Sprintf(`set -e
dir=$1 modules=$2 root=$3 version=%s
mkdir -p $dir/bin $dir/sbin $dir/lib/modules/$version $dir/etc
cp /bin/busybox $dir/bin/busybox
cp $root/bin/sampan $root/bin/kubectl $dir/bin/
ln -s ../bin/busybox $dir/sbin/modprobe
echo 'root:x:0:0:root:/root:/bin/sh' > $dir/etc/passwd
cp $root/e2e/vm/init $root/e2e/vm/smoke $root/e2e/vm/smoke.yaml $dir/
chmod 0755 $dir/init $dir/smoke
cp $modules/modules.builtin $modules/modules.order $dir/lib/modules/$version/
for m in %s; do
  [ -e $modules/$m ] || continue
  mkdir -p $dir/lib/modules/$version/$(dirname $m)
  cp -r $modules/$m $dir/lib/modules/$version/$m
done
depmod -b $dir $version
cd $dir && find . | cpio -o -H newc --quiet > $4`, version, strings.Join(vmModules, " "))
	if out, err := exec.Command("sh", "-c", script, "sh", dir, modules, root, file).CombinedOutput(); err != nil {
		t.Fatalf("build the initramfs: %v\n%s", err, out)
	}
}
