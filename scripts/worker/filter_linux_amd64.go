package worker

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// archSyscalls are calls that only this architecture has.
var archSyscalls = []uint32{unix.SYS_EPOLL_WAIT}
