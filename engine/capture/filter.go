package capture

import (
	"fmt"

	"golang.org/x/net/bpf"
)

const (
	// maxFilterTags is how many VLAN tags within the frame the kernel's filter
	// looks through; the outermost tag has usually been taken off before.
	maxFilterTags = 2
	// MaxPorts bounds the ports of a filter: a jump reaches 255 instructions.
	MaxPorts = 32
)

// filterFor says what a filter lets through.
type filterFor struct {
	// ethernet: the packets lie in Ethernet frames with or without VLAN tags,
	// otherwise they begin at once.
	ethernet bool
	// incoming: nothing that goes out. The loopback shows each packet twice.
	incoming bool
	ports    []uint16
}

// packetOutgoing is the kernel's PACKET_OUTGOING (linux/if_packet.h).
const packetOutgoing = 4

// kernelFilter returns a classic BPF program that accepts IP packets from and to
// the ports, all fragments of UDP and TCP, and IPv6 packets with extension
// headers, which the Decoder looks through.
func kernelFilter(want filterFor) ([]bpf.RawInstruction, error) {
	if len(want.ports) > MaxPorts {
		return nil, fmt.Errorf("got %d ports, want at most %d", len(want.ports), MaxPorts)
	}
	var a assembler
	if want.incoming {
		a.emit(bpf.LoadExtension{Num: bpf.ExtType})
		a.jumpIf(bpf.JumpEqual, packetOutgoing, "drop")
	}
	if want.ethernet {
		a.etherTypes()
	} else {
		a.emit(bpf.LoadConstant{Dst: bpf.RegX, Val: 0}, bpf.LoadAbsolute{Off: 0, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
		a.jumpIf(bpf.JumpEqual, 4, "ipv4")
		a.jumpIf(bpf.JumpEqual, 6, "ipv6")
		a.jump("drop")
	}
	a.ipv4()
	a.ipv6()
	a.transport(want.ports)
	return a.assemble()
}

// etherTypes sets X to the offset of the IP packet and goes to its version.
func (a *assembler) etherTypes() {
	for tags := range maxFilterTags + 1 {
		at := uint32(etherHeader + tags*vlanTag)
		a.emit(bpf.LoadConstant{Dst: bpf.RegX, Val: at}, bpf.LoadAbsolute{Off: at - 2, Size: 2})
		a.jumpIf(bpf.JumpEqual, etherIPv4, "ipv4")
		a.jumpIf(bpf.JumpEqual, etherIPv6, "ipv6")
		next := fmt.Sprintf("tag %d", tags)
		for _, kind := range []uint32{etherVLAN, etherQinQ, etherOldQ} {
			a.jumpIf(bpf.JumpEqual, kind, next)
		}
		a.jump("drop")
		a.label(next)
	}
	a.jump("drop")
}

func (a *assembler) ipv4() {
	a.label("ipv4")
	a.emit(bpf.LoadIndirect{Off: 9, Size: 1})
	a.jumpIf(bpf.JumpEqual, uint32(UDP), "ipv4 place")
	a.jumpIf(bpf.JumpEqual, uint32(TCP), "ipv4 place")
	a.jump("drop")
	a.label("ipv4 place")
	a.emit(bpf.LoadIndirect{Off: 6, Size: 2})
	a.jumpIf(bpf.JumpBitsSet, moreFragments|fragmentOffset, "accept")
	a.emit(
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
	)
	a.jump("transport")
}

func (a *assembler) ipv6() {
	a.label("ipv6")
	a.emit(bpf.LoadIndirect{Off: 6, Size: 1})
	for _, next := range []uint32{ipv6HopByHop, ipv6Routing, ipv6Fragment, ipv6Auth, ipv6Destination, ipv6Mobility, ipv6HIP, ipv6Shim6} {
		a.jumpIf(bpf.JumpEqual, next, "accept")
	}
	a.jumpIf(bpf.JumpEqual, uint32(UDP), "ipv6 ports")
	a.jumpIf(bpf.JumpEqual, uint32(TCP), "ipv6 ports")
	a.jump("drop")
	a.label("ipv6 ports")
	a.emit(bpf.TXA{}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: ipv6Header}, bpf.TAX{})
}

// transport compares the ports at X.
func (a *assembler) transport(ports []uint16) {
	a.label("transport")
	for _, side := range []uint32{0, 2} {
		a.emit(bpf.LoadIndirect{Off: side, Size: 2})
		for _, port := range ports {
			a.jumpIf(bpf.JumpEqual, uint32(port), "accept")
		}
	}
	a.label("drop")
	a.emit(bpf.RetConstant{Val: 0})
	a.label("accept")
	a.emit(bpf.RetConstant{Val: maxFrame})
}

// assembler resolves jumps forward to labels.
type assembler struct {
	code   []bpf.Instruction
	labels map[string]int
	jumps  map[int]string // by the place of the instruction
}

func (a *assembler) emit(code ...bpf.Instruction) { a.code = append(a.code, code...) }

func (a *assembler) label(name string) {
	if a.labels == nil {
		a.labels = map[string]int{}
	}
	a.labels[name] = len(a.code)
}

// jumpIf goes to the label if A passes the test, on otherwise.
func (a *assembler) jumpIf(cond bpf.JumpTest, val uint32, label string) {
	a.refer(label)
	a.emit(bpf.JumpIf{Cond: cond, Val: val})
}

func (a *assembler) jump(label string) {
	a.refer(label)
	a.emit(bpf.Jump{})
}

func (a *assembler) refer(label string) {
	if a.jumps == nil {
		a.jumps = map[int]string{}
	}
	a.jumps[len(a.code)] = label
}

func (a *assembler) assemble() ([]bpf.RawInstruction, error) {
	for at, label := range a.jumps {
		distance := a.labels[label] - at - 1
		switch code := a.code[at].(type) {
		case bpf.JumpIf:
			if distance > 255 {
				return nil, fmt.Errorf("filter: a jump over %d instructions", distance)
			}
			code.SkipTrue = uint8(distance)
			a.code[at] = code
		case bpf.Jump:
			a.code[at] = bpf.Jump{Skip: uint32(distance)}
		}
	}
	return bpf.Assemble(a.code)
}
