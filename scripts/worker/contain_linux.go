package worker

import (
	"fmt"
	"math"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Contain takes from this process everything but computing, memory and the
// descriptors that it has. It cannot be taken back. What a kernel does not offer
// is named in missing.
func Contain() (contained, missing []string) {
	steps := []struct {
		name string
		do   func() error
	}{
		{"memory", checkMemoryLimit},
		{"no_new_privs", forbidPrivileges},
		{"landlock", forbidFiles},
		{"seccomp", forbidSyscalls},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", s.name, err))
			continue
		}
		contained = append(contained, s.name)
	}
	return contained, missing
}

// checkMemoryLimit looks whether the launcher set the limit.
func checkMemoryLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &l); err != nil {
		return err
	}
	if l.Cur == math.MaxUint64 {
		return fmt.Errorf("there is no limit: the worker was not started by its launcher")
	}
	return nil
}

// forbidPrivileges is for every thread: executing a set-uid program would give
// nothing. The launcher does it before it executes a worker; a program with C
// could not do it here.
func forbidPrivileges() error {
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && on == 1 {
		return nil
	}
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	return errnoError(errno)
}

// landlockFiles are all rights of Landlock's first version (Linux 5.13), of which
// none is granted anywhere.
const landlockFiles = 1<<13 - 1

// forbidFiles closes the file system a second time, should a system call be
// allowed that should not.
func forbidFiles() error {
	attr := struct{ files uint64 }{landlockFiles}
	fd, _, errno := syscall.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	defer syscall.Close(int(fd))
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
	return errnoError(errno)
}

// forbidSyscalls installs the filter for all threads at once.
func forbidSyscalls() error {
	filter := syscallFilter(uint32(syscall.Getpid()))
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// With TSYNC a positive result is a thread that could not follow.
	thread, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno == 0 && thread != 0 {
		return fmt.Errorf("thread %d could not follow", thread)
	}
	return errnoError(errno)
}

func errnoError(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
