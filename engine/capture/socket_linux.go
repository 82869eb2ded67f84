package capture

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// plainBuffer is the room that the kernel shall have for frames not yet read from
// a socket without a ring.
const plainBuffer = 8 << 20

// Device types (linux/if_arp.h) that need no cooking.
const (
	deviceEthernet = 1
	deviceLoopback = 772
)

// packetSocket is an open AF_PACKET socket, bound to an interface.
type packetSocket struct {
	fd       int
	index    int   // of the interface
	ring     *ring // nil: a plain socket
	ethernet bool
	loopback bool
}

// openSocket opens a socket with a ring. Where there can be none, it is a plain
// one, and noRing says why.
func (l *Live) openSocket() (s *packetSocket, noRing string, err error) {
	if !l.cfg.Plain {
		s, err = l.openPrepared(func(s *packetSocket) error {
			s.ring, err = l.ring(s.fd, l.cfg.RingBytes, s.link())
			if err != nil {
				noRing = err.Error()
			}
			return err
		})
		if err == nil || noRing == "" {
			return s, "", err
		}
	}
	s, err = l.openPrepared((*packetSocket).preparePlain)
	return s, noRing, err
}

// openPrepared opens a socket that receives nothing until filter and options are
// set, and then binds it to the interface.
func (l *Live) openPrepared(prepare func(*packetSocket) error) (*packetSocket, error) {
	index, device, err := lookInterface(l.cfg.Interface)
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
	if err = prepare(s); err == nil {
		err = s.bind(l.cfg.Ports, l.group)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// link is the link type of the frames.
func (s *packetSocket) link() LinkType {
	if s.ethernet {
		return LinkEthernet
	}
	return LinkRaw
}

// preparePlain sets what a socket without a ring needs.
func (s *packetSocket) preparePlain() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("asking for VLAN tags: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("asking for times: %w", err)
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, plainBuffer) != nil {
		// Without CAP_NET_ADMIN the system's limit holds; drops are counted.
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, plainBuffer)
	}
	return nil
}

// bind sets the filter, promiscuous mode and the interface. A socket of a group
// lets nothing through until it has joined: what came before would be seen by
// two.
func (s *packetSocket) bind(ports []uint16, group *fanout) error {
	code, err := kernelFilter(filterFor{ethernet: s.ethernet, incoming: s.loopback, ports: ports})
	if err != nil {
		return err
	}
	first := code
	if group != nil {
		first = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}}
	}
	if err := s.attach(first); err != nil {
		return err
	}
	promiscuous := unix.PacketMreq{Ifindex: int32(s.index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous); err != nil {
		return fmt.Errorf("setting promiscuous mode: %w", err)
	}
	address := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: s.index}
	if err := unix.Bind(s.fd, &address); err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	if group == nil {
		return nil
	}
	if err := group.join(s); err != nil {
		return err
	}
	return s.attach(code)
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 } // both our architectures are little endian

func (s *packetSocket) attach(code []bpf.RawInstruction) error {
	if err := setProgram(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, code); err != nil {
		return fmt.Errorf("attaching the filter: %w", err)
	}
	return nil
}

// setProgram hands a BPF program to the kernel.
func setProgram(fd, level, option int, code []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(code))
	for i, c := range code {
		filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(fd, level, option, &program)
}

// drops returns how many frames the kernel dropped, and how often it found the
// ring full, since it was last asked.
func (s *packetSocket) drops() (dropped, frozen uint64) {
	if s.ring == nil {
		if stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			dropped = uint64(stats.Drops)
		}
		return dropped, 0
	}
	if stats, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		dropped, frozen = uint64(stats.Drops), uint64(stats.Freeze_q_cnt)
	}
	return dropped, frozen
}

// interfaceFlags returns the flags of an interface in the socket's own network
// namespace.
func (s *packetSocket) interfaceFlags(name string) (uint16, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(s.fd, unix.SIOCGIFFLAGS, request)
	return request.Uint16(), err
}

func (s *packetSocket) close() {
	if s.ring != nil {
		s.ring.close()
	}
	unix.Close(s.fd)
}

// lookInterface returns the index and the device type of an interface.
func lookInterface(name string) (index int, device uint16, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("looking for the interface: %w", err)
	}
	defer unix.Close(fd)
	if index, err = interfaceIndex(fd, name); err != nil {
		return 0, 0, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, request)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the device type: %w", err)
	}
	return index, request.Uint16(), nil // the family of the hardware address is the type
}

// interfaceIndex returns the index of an interface in a socket's network namespace.
func interfaceIndex(fd int, name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, errNoInterface // a name too long
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	if err == unix.ENODEV {
		err = errNoInterface
	}
	return int(request.Uint32()), err
}
