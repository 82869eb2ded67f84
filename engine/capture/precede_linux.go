package capture

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// readerNice is the nice value of a thread that reads a live capture: little work
// that must not wait.
const readerNice = -10

// Precede gives the calling goroutine precedence over the machine's other work, if
// the system allows it: to root and to who has CAP_SYS_NICE. The goroutine keeps
// its thread for good, and the thread ends with it.
func Precede() {
	runtime.LockOSThread()
	if unix.Setpriority(unix.PRIO_PROCESS, 0, readerNice) != nil { // 0: this thread
		runtime.UnlockOSThread()
	}
}
