package podruntime

import (
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seccomp returns the container's system call filter; nil for none. A profile in a file is the driver's to read.
func seccomp(in SpecInput) (*specs.LinuxSeccomp, error) {
	sec := in.Container.GetLinux().GetSecurityContext()
	if sec.GetPrivileged() || !in.Facts.Seccomp {
		return nil, nil
	}
	// CRI: no profile means unconfined; RuntimeDefault is asked for by name, and is the zero value of the type.
	p := sec.GetSeccomp()
	if p == nil || p.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault {
		return nil, nil
	}
	caps, err := capabilities(sec, in.Facts.Capabilities)
	if err != nil {
		return nil, err
	}
	return defaultSeccomp(caps.Bounding), nil
}

// defaultSeccomp is the RuntimeDefault profile: what is not listed fails with EPERM. As in the profile that
// Docker documents, some system calls are there only with the capability that they need anyway.
func defaultSeccomp(caps []string) *specs.LinuxSeccomp {
	eperm, enosys := uint(1), uint(38)
	allow := func(names string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: strings.Fields(names), Action: specs.ActAllow, Args: args}
	}
	rules := []specs.LinuxSyscall{
		allow(seccompFiles), allow(seccompMemory), allow(seccompProcesses), allow(seccompSignalsAndTime),
		allow(seccompSockets), allow(seccompIPC), allow(seccompSystem),
	}
	// personality(2) with the values that change nothing of security: the default, "tell", 32-bit, and both.
	for _, v := range []uint64{0x0, 0x8, 0x20000, 0x20008, 0xffffffff} {
		rules = append(rules, allow("personality", specs.LinuxSeccompArg{Index: 0, Value: v, Op: specs.OpEqualTo}))
	}
	// Sockets of every family but AF_VSOCK (40), which reaches the hypervisor.
	rules = append(rules, allow("socket", specs.LinuxSeccompArg{Index: 0, Value: 40, Op: specs.OpNotEqual}))
	admin := slices.Contains(caps, "CAP_SYS_ADMIN")
	if !admin {
		// clone without any namespace flag. clone3 hides its flags from the filter: "not implemented" makes
		// the C library use clone.
		rules = append(rules,
			allow("clone", specs.LinuxSeccompArg{Index: 0, Value: 0x7e020000, ValueTwo: 0, Op: specs.OpMaskedEqual}),
			specs.LinuxSyscall{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys})
	}
	for _, g := range []struct{ capability, names string }{
		{"CAP_SYS_ADMIN", "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree " +
			"perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
		{"CAP_SYS_BOOT", "reboot"},
		{"CAP_SYS_CHROOT", "chroot"},
		{"CAP_SYS_MODULE", "delete_module init_module finit_module"},
		{"CAP_SYS_PACCT", "acct"},
		{"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
		{"CAP_SYS_RAWIO", "iopl ioperm"},
		{"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
		{"CAP_SYS_TTY_CONFIG", "vhangup"},
		{"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node move_pages migrate_pages"},
		{"CAP_SYSLOG", "syslog"},
		{"CAP_BPF", "bpf"},
		{"CAP_PERFMON", "perf_event_open"},
		{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
	} {
		if slices.Contains(caps, g.capability) {
			rules = append(rules, allow(g.names))
		}
	}
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm, Architectures: seccompArchitectures(), Syscalls: rules}
}

// seccompArchitectures are the native one and the 32-bit one of the same processors. Each more costs
// milliseconds at every start of a container, so x32, which nothing uses, is left out.
func seccompArchitectures() []specs.Arch {
	switch runtime.GOARCH {
	case "amd64":
		return []specs.Arch{specs.ArchX86_64, specs.ArchX86}
	case "arm64":
		return []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
	}
	return nil // libseccomp takes the native one
}

// The system calls that any container may use, by what they are about. Left out are those that reach beyond
// the container (mounts, modules, clocks, keys, io_uring, userfaultfd, kexec, swap).
const (
	seccompFiles = `access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
		fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
		fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
		getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
		io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl lchown lchown32 lgetxattr link linkat listmount listxattr
		listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat
		open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
		removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs
		statfs64 statmount statx symlink symlinkat sync sync_file_range arm_sync_file_range sync_file_range2 syncfs tee truncate truncate64 umask
		unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev landlock_add_rule landlock_create_ruleset
		landlock_restrict_self`
	seccompMemory = `brk cacheflush madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
		mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages`
	seccompProcesses = `arch_prctl arm_fadvise64_64 breakpoint capget capset execve execveat exit exit_group fork futex futex_requeue
		futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32
		getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
		getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set membarrier modify_ldt pidfd_open prctl prlimit64
		restart_syscall riscv_flush_icache riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
		sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
		sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address set_tls setfsgid setfsgid32
		setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32
		setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 ugetrlimit uretprobe uprobe vfork wait4 waitid waitpid`
	seccompSignalsAndTime = `adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
		clock_nanosleep clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
		epoll_wait_old eventfd eventfd2 getitimer gettimeofday kill nanosleep _newselect pause pidfd_send_signal poll ppoll ppoll_time64
		pselect6 pselect6_time64 rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
		rt_sigtimedwait_time64 rt_tgsigqueueinfo select setitimer sigaltstack signal signalfd signalfd4 sigprocmask sigreturn tgkill time
		timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
		timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill`
	seccompSockets = `accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
		send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair`
	seccompIPC = `ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
		msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`
	seccompSystem = `getrandom lsm_get_self_attr lsm_list_modules lsm_set_self_attr sysinfo uname`
)
