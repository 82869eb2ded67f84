package worker

import (
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h), of the low half of arguments
// on our little-endian machines.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArg0   = 16
	argBytes     = 8
)

const (
	allow   = uint32(unix.SECCOMP_RET_ALLOW)
	refuse  = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	unknown = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	kill    = uint32(unix.SECCOMP_RET_KILL_PROCESS)
)

// freely is what Go's runtime and a connection need, whatever the arguments. No
// call in it opens, connects, executes or signals.
func freely() []uint32 {
	return append([]uint32{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
		unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
		unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME,
		unix.SYS_MUNMAP, unix.SYS_MADVISE,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM,
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		// What the threads of a program with C begin with: without, glibc aborts it.
		unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
	}, archSyscalls...)
}

// syscallFilter is the program, in classic BPF, that the kernel runs for each
// system call. Everything that is not named is refused.
func syscallFilter(pid uint32) []unix.SockFilter {
	f := []unix.SockFilter{
		loadWord(offsetArch),
		jumpEqual(auditArch, 1, 0),
		result(kill),
		loadWord(offsetNumber),
	}
	for _, n := range freely() {
		f = append(f, jumpEqual(n, 0, 1), result(allow))
	}
	// Threads, but no processes; clone3 hides its flags in memory, so that the
	// runtime must fall back to clone.
	f = append(f, jumpEqual(unix.SYS_CLONE3, 0, 1), result(unknown))
	f = append(f, onArgument(unix.SYS_CLONE, 0, jumpSet(unix.CLONE_THREAD, 0, 1))...)
	// Signals to itself: the runtime preempts its threads by them.
	f = append(f, onArgument(unix.SYS_TGKILL, 0, jumpEqual(pid, 0, 1))...)
	// Memory, but none that can be executed.
	f = append(f, onArgument(unix.SYS_MMAP, 2, jumpSet(unix.PROT_EXEC, 1, 0))...)
	f = append(f, onArgument(unix.SYS_MPROTECT, 2, jumpSet(unix.PROT_EXEC, 1, 0))...)
	return append(f, result(refuse))
}

// onArgument allows call n if test on its argument falls to the first of the two
// instructions behind it.
func onArgument(n uint32, arg uint32, test unix.SockFilter) []unix.SockFilter {
	return []unix.SockFilter{
		jumpEqual(n, 0, 4),
		loadWord(offsetArg0 + arg*argBytes),
		test,
		result(allow),
		result(refuse),
	}
}

func loadWord(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jumpEqual(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func jumpSet(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func result(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}
