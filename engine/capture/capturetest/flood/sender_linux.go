package flood

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many frames go out with one system call.
	batch = 32
	// rest is the shortest pause of a paced sender: it would rather be a little
	// late than hold a processor for waiting.
	rest = 200 * time.Microsecond
	// arrears is how far behind its pace a sender catches up: what it could not send
	// for longer is not sent in one burst, which no network would carry.
	arrears = 20 * time.Millisecond
)

// Sender sends frames at an interface, past its queue: what is sent was sent.
type Sender struct {
	fd      int
	frames  [][]byte // referred to by vectors
	vectors []unix.Iovec
	headers []header
	next    int
}

// header is the kernel's mmsghdr.
type header struct {
	message unix.Msghdr
	sent    uint32
	_       [4]byte
}

// Open makes a sender at an interface of the thread's network namespace. The
// frames go out in their order, again and again.
func Open(device string, frames [][]byte) (*Sender, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Sender{fd: fd, frames: frames}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	s.vectors, s.headers = make([]unix.Iovec, len(frames)), make([]header, len(frames))
	for i, f := range frames {
		s.vectors[i].Base = &f[0]
		s.vectors[i].SetLen(len(f))
		s.headers[i].message.Iov = &s.vectors[i]
		s.headers[i].message.SetIovlen(1)
	}
	return s, nil
}

// Send sends n frames at so many a second, or, with a rate of 0, as fast as it
// can. A sender that the machine holds up is late. Send returns how many went out,
// and in what time.
func (s *Sender) Send(ctx context.Context, rate, n int) (sent int, took time.Duration, err error) {
	begun := time.Now()
	for due := begun; sent < n && ctx.Err() == nil && err == nil; {
		want := min(n-sent, batch)
		if rate > 0 {
			now := time.Now()
			if due.After(now) {
				time.Sleep(max(rest, due.Sub(now)))
				continue
			}
			if now.Sub(due) > arrears {
				due = now.Add(-arrears)
			}
		}
		var out int
		out, err = s.burst(want)
		sent += out
		if rate > 0 {
			due = due.Add(time.Duration(out) * time.Second / time.Duration(rate))
		}
	}
	return sent, time.Since(begun), err
}

// burst sends the next frames with one system call.
func (s *Sender) burst(n int) (int, error) {
	n = min(n, len(s.headers)-s.next)
	out, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.headers[s.next])), uintptr(n), 0, 0, 0)
	switch errno {
	case 0:
	case unix.EINTR, unix.ENOBUFS, unix.EAGAIN: // the interface has no room for more just now
		return 0, nil
	default:
		return 0, fmt.Errorf("sending frame %d: %w", s.next, errno)
	}
	s.next = (s.next + int(out)) % len(s.headers)
	return int(out), nil
}

// Close ends it.
func (s *Sender) Close() error { return unix.Close(s.fd) }
