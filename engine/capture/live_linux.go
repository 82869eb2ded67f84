package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"larkspur/engine"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// liveBuffer is the room that the kernel shall have for frames not yet read.
	liveBuffer = 8 << 20
	// pollMillis is how long a wait for a frame lasts before the context and the
	// interface are looked at again.
	pollMillis = 200
	// reopenEvery is how often an interface that went away is looked for.
	reopenEvery = time.Second
)

// Device types (linux/if_arp.h) that need no cooking.
const (
	deviceEthernet = 1
	deviceLoopback = 772
)

// Live captures from a network interface with an AF_PACKET socket, both
// directions, in promiscuous mode. When the interface goes away, Next waits until
// there is one of its name again.
type Live struct {
	name   string
	ports  []uint16
	counts sourceCounts
	recv   receiver
	down   bool // an outage was counted and no frame came since

	mu   sync.Mutex // guards sock, against Stats
	sock *packetSocket
}

// packetSocket is an open socket, bound to an interface.
type packetSocket struct {
	fd       int
	index    int // of the interface
	ethernet bool
	loopback bool
}

// OpenLive begins to capture from a network interface messages from and to these
// ports, by default those of DNS, mDNS and LLMNR. It needs root or CAP_NET_RAW,
// otherwise the error is of kind Denied; without such an interface it is NotFound.
func OpenLive(name string, ports ...uint16) (*Live, error) {
	if len(ports) == 0 {
		ports = defaultPorts
	}
	l := &Live{name: name, ports: ports}
	sock, err := l.open()
	if err != nil {
		return nil, l.explain(err)
	}
	l.sock = sock
	l.recv.init()
	return l, nil
}

var errNoInterface = errors.New("no such interface")

// explain says what to do about an error of opening.
func (l *Live) explain(err error) error {
	switch {
	case errors.Is(err, errNoInterface):
		return engine.Errorf(engine.NotFound, "interface %q: %w", l.name, err).WithHint("%s", knownInterfaces())
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return engine.Errorf(engine.Denied, "interface %q: %w", l.name, err).
			WithHint("run as root, or give the program CAP_NET_RAW: setcap cap_net_raw+ep on the file, AmbientCapabilities=CAP_NET_RAW in a systemd unit")
	}
	return engine.Errorf(engine.Unavailable, "interface %q: %w", l.name, err)
}

func knownInterfaces() string {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		return "see ip link for the names of the interfaces"
	}
	hint := "the interfaces are"
	for _, it := range list {
		hint += " " + it.Name
	}
	return hint
}

// open opens a socket that receives nothing until filter and options are set, and
// then binds it to the interface.
func (l *Live) open() (*packetSocket, error) {
	index, device, err := lookInterface(l.name)
	if err != nil {
		return nil, err
	}
	s := &packetSocket{index: index, loopback: device == deviceLoopback}
	s.ethernet = s.loopback || device == deviceEthernet
	kind := unix.SOCK_DGRAM // the kernel takes the link's own header off
	if s.ethernet {
		kind = unix.SOCK_RAW
	}
	if s.fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("opening a packet socket: %w", err)
	}
	if err := s.prepare(l.ports); err != nil {
		unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

// prepare sets filter and options and binds the socket.
func (s *packetSocket) prepare(ports []uint16) error {
	code, err := kernelFilter(s.ethernet, ports)
	if err != nil {
		return err
	}
	if err := attach(s.fd, code); err != nil {
		return fmt.Errorf("attaching the filter: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("asking for VLAN tags: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("asking for times: %w", err)
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, liveBuffer) != nil {
		// Without CAP_NET_ADMIN the system's limit holds; drops are counted.
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, liveBuffer)
	}
	promiscuous := unix.PacketMreq{Ifindex: int32(s.index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous); err != nil {
		return fmt.Errorf("setting promiscuous mode: %w", err)
	}
	address := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: s.index}
	if err := unix.Bind(s.fd, &address); err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	return nil
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 } // both our architectures are little endian

func attach(fd int, code []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(code))
	for i, c := range code {
		filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
}

// lookInterface returns the index and the device type of an interface.
func lookInterface(name string) (index int, device uint16, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, 0, errNoInterface // a name too long
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("looking for the interface: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		if err == unix.ENODEV {
			err = errNoInterface
		}
		return 0, 0, err
	}
	index = int(request.Uint32())
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, request); err != nil {
		return 0, 0, fmt.Errorf("asking for the device type: %w", err)
	}
	return index, request.Uint16(), nil // the family of the hardware address is the type
}

// Next waits for a frame. The wait ends when ctx does, and survives the interface.
func (l *Live) Next(ctx context.Context, f *Frame) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.sock == nil {
			if err := l.reopen(ctx); err != nil {
				return err
			}
		}
		err := l.recv.receive(l.sock, f)
		switch err {
		case nil:
			l.down = false
			l.counts.frame(len(f.Data))
			return nil
		case errSkip, unix.EINTR:
		case unix.EAGAIN:
			if !readable(l.sock.fd, pollMillis) && l.gone() {
				l.outage()
				l.closeSocket()
			}
		case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
			l.outage()
			if l.gone() {
				l.closeSocket()
			} // otherwise the socket goes on when the interface is up again
		default:
			return engine.Errorf(engine.Unavailable, "interface %q: receiving: %w", l.name, err)
		}
	}
}

// gone reports whether the interface that the socket is bound to is there no more.
func (l *Live) gone() bool {
	index, _, err := lookInterface(l.name)
	return errors.Is(err, errNoInterface) || (err == nil && index != l.sock.index)
}

// outage counts that the interface went down or away, once until it is back.
func (l *Live) outage() {
	if !l.down {
		l.down = true
		l.counts.outages.Add(1)
	}
}

// reopen waits for an interface of the name.
func (l *Live) reopen(ctx context.Context) error {
	tick := time.NewTicker(reopenEvery)
	defer tick.Stop()
	for {
		sock, err := l.open()
		if err == nil {
			l.mu.Lock()
			l.sock = sock
			l.mu.Unlock()
			return nil
		}
		if !errors.Is(err, errNoInterface) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) {
			return l.explain(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Stats returns what was captured so far.
func (l *Live) Stats() SourceStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.countDrops()
	return l.counts.snapshot()
}

// countDrops asks the kernel how many frames it dropped since it was last asked.
func (l *Live) countDrops() {
	if l.sock == nil {
		return
	}
	if stats, err := unix.GetsockoptTpacketStats(l.sock.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		l.counts.dropped.Add(uint64(stats.Drops))
	}
}

// Close ends the capture.
func (l *Live) Close() error {
	l.closeSocket()
	return nil
}

func (l *Live) closeSocket() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock != nil {
		l.countDrops()
		unix.Close(l.sock.fd)
		l.sock = nil
	}
}
