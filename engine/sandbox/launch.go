package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// self is this very program, even after its file was replaced by an update.
const self = "/proc/self/exe"

// maxWorkerFiles bounds the descriptors of a worker: the standard three, the
// socket, and what the runtime needs.
const maxWorkerFiles = 32

// Launch is the body of the command worker-launch: it limits its own process and
// executes the worker in its place. Limits set inside a running worker come too
// late (see DESIGN section 3). args: the limit of data memory in bytes. Launch
// returns only when it fails.
func Launch(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: got %d arguments, want the limit of data memory in bytes", LaunchCommand, len(args))
	}
	data, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%s: limit of data memory: %w", LaunchCommand, err)
	}
	limits := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core", syscall.RLIMIT_CORE, 0},
		{"nofile", syscall.RLIMIT_NOFILE, maxWorkerFiles},
		{"fsize", syscall.RLIMIT_FSIZE, 0},
		{"data", syscall.RLIMIT_DATA, data},
	}
	for _, l := range limits {
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("%s: setting the limit %s to %d: %w", LaunchCommand, l.name, l.value, err)
		}
	}
	// Of this thread, whose attributes the worker inherits; without it an ordinary
	// user may not filter the worker's system calls.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("%s: giving up new privileges: %w", LaunchCommand, err)
	}
	err = syscall.Exec(self, []string{os.Args[0], WorkerCommand}, os.Environ())
	return fmt.Errorf("%s: executing the worker: %w", LaunchCommand, err)
}
