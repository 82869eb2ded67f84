package capture

import (
	"fmt"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// fanout is a group of sockets among which the kernel divides the frames of an
// interface, by the addresses alone. By its own hash over the ports, too, the
// later fragments of a packet would come to another reader than the query that
// they answer.
type fanout struct {
	mu    sync.Mutex
	index int // of the interface that the group is for; an interface that comes back has another
	id    uint16
}

// join makes a bound socket a member, the first one of a group that nobody has.
func (g *fanout) join(s *packetSocket) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	mode := unix.PACKET_FANOUT_CBPF
	if g.index != s.index {
		g.id = 0
		mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, int(g.id)|mode<<16); err != nil {
		return fmt.Errorf("joining the readers of the interface: %w", err)
	}
	group, err := unix.GetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return fmt.Errorf("asking for the readers of the interface: %w", err)
	}
	g.index, g.id = s.index, uint16(group)
	code, err := dividing()
	if err != nil {
		return err
	}
	if err := setProgram(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, code); err != nil {
		return fmt.Errorf("dividing frames among readers: %w", err)
	}
	return nil
}

// fromNetwork is the offset at which a BPF program sees the network header
// (SKF_NET_OFF in linux/filter.h).
const fromNetwork = 1<<32 - 0x100000

// dividing returns a classic BPF program whose result, modulo the number of
// readers, is the reader of a packet: a hash of the sum of its addresses, which
// is the same in both directions. What is not IP goes to the first.
func dividing() ([]bpf.RawInstruction, error) {
	var a assembler
	a.emit(bpf.LoadConstant{Dst: bpf.RegX, Val: 0}, bpf.LoadExtension{Num: bpf.ExtProto})
	for tags := range maxFilterTags + 1 {
		at := uint32(tags * vlanTag)
		next := fmt.Sprintf("tag %d", tags)
		a.jumpIf(bpf.JumpEqual, etherIPv4, "ipv4")
		a.jumpIf(bpf.JumpEqual, etherIPv6, "ipv6")
		for _, kind := range []uint32{etherVLAN, etherQinQ, etherOldQ} {
			a.jumpIf(bpf.JumpEqual, kind, next)
		}
		a.jump("first")
		a.label(next)
		a.emit(bpf.LoadConstant{Dst: bpf.RegX, Val: at + vlanTag}, bpf.LoadAbsolute{Off: fromNetwork + at + 2, Size: 2})
	}
	a.jump("first")
	a.label("ipv6")
	a.sum(8, 8)
	a.jump("hash")
	a.label("ipv4")
	a.sum(12, 2)
	a.label("hash")
	a.emit(bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 0x9e3779b1}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16}, bpf.RetA{})
	a.label("first")
	a.emit(bpf.RetConstant{Val: 0})
	return a.assemble()
}

// sum adds up words of the IP header, which begins at X.
func (a *assembler) sum(offset, words int) {
	const total, place = 0, 1 // scratch cells
	a.emit(bpf.LoadConstant{Dst: bpf.RegA, Val: 0})
	for i := range words {
		a.emit(
			bpf.StoreScratch{Src: bpf.RegA, N: total},
			bpf.LoadIndirect{Off: fromNetwork + uint32(offset+4*i), Size: 4},
			bpf.StoreScratch{Src: bpf.RegX, N: place},
			bpf.LoadScratch{Dst: bpf.RegX, N: total},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.LoadScratch{Dst: bpf.RegX, N: place},
		)
	}
}
