package capture

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// interruptMillis is how long a read of a pipe may go on after its context ended.
const interruptMillis = 200

// interruptible reads from r such that a context can end the wait for a pipe or
// a terminal; a regular file is never waited for.
type interruptible struct {
	r    io.Reader
	wait func(func(fd uintptr)) error // nil: r does not block, or cannot be polled
}

func (i *interruptible) prepare(r io.Reader) {
	i.r = r
	f, ok := r.(*os.File)
	if !ok {
		return
	}
	if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
		return
	}
	if conn, err := f.SyscallConn(); err == nil {
		i.wait = conn.Control
	}
}

func (i *interruptible) read(ctx context.Context, p []byte) (int, error) {
	for ready := i.wait == nil; !ready; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err := i.wait(func(fd uintptr) { ready = readable(int(fd), interruptMillis) })
		if err != nil {
			return 0, err
		}
	}
	return i.r.Read(p)
}

// readable waits until fd can be read, has ended or failed.
func readable(fd, millis int) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], millis)
	return n > 0 || (err != nil && err != unix.EINTR)
}
