package capture

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Ethernet types.
const (
	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100 // IEEE 802.1Q
	etherQinQ   = 0x88a8 // IEEE 802.1ad
	etherOldQ   = 0x9100 // before 802.1ad
	etherHeader = 14
	vlanTag     = 4
	vlanIDMask  = 0x0fff
)

// defaultPorts are those of DNS, mDNS and LLMNR.
var defaultPorts = []uint16{53, 5353, 5355}

// DefaultPorts returns the ports of DNS, mDNS and LLMNR.
func DefaultPorts() []uint16 { return append([]uint16(nil), defaultPorts...) }

// A Decoder turns frames into messages. Frames go in by Decode, messages come out
// by Next, until it returns nil; then the next frame may go in. Time is that of
// the frames, never the machine's.
type Decoder struct {
	ports     [1 << 16 / 64]uint64 // bit set
	leases    func(Lease)          // nil: nobody wants them
	counts    counts
	packet    packet // of the frame under way
	fragments fragments
	streams   streams
	ready     []pending // messages of the frame under way
	done      int       // of ready
	message   Message   // what Next returns
	// alone makes the decoder leave frames to another whose meaning depends on
	// earlier ones; left says that the last frame was such a one.
	alone, left bool
}

// pending is the payload of a message and how it came.
type pending struct {
	packet   *packet
	proto    Proto
	src, dst uint16
	raw      []byte
}

// packet is what the lower layers say of a payload.
type packet struct {
	time           time.Time
	vlans          VLANs
	tags           int // how many of vlans were met
	srcMAC, dstMAC MAC
	src, dst       netip.Addr
	cut            bool // the capture lacks the end of the packet
}

// NewDecoder returns a Decoder for messages from or to these ports, by default
// those of DNS, mDNS and LLMNR.
func NewDecoder(ports ...uint16) *Decoder {
	if len(ports) == 0 {
		ports = defaultPorts
	}
	d := new(Decoder)
	for _, port := range ports {
		d.ports[port/64] |= 1 << (port % 64)
	}
	d.fragments.init(&d.counts)
	d.streams.init(d)
	return d
}

func (d *Decoder) wants(src, dst uint16) bool {
	low, high := min(src, dst), max(src, dst) // the lower one mostly decides
	return d.ports[low/64]>>(low%64)&1 != 0 || d.ports[high/64]>>(high%64)&1 != 0
}

// Decode takes in a frame; f.Data must stay as it is until Next has returned nil.
func (d *Decoder) Decode(f *Frame) {
	d.reset()
	p := &d.packet // src and dst are set before they are read
	p.time, p.vlans, p.tags, p.cut = f.Time, f.VLANs, 0, f.Length > len(f.Data)
	p.srcMAC, p.dstMAC = MAC{}, MAC{}
	for p.tags < maxVLANs && p.vlans[p.tags] != 0 {
		p.tags++
	}
	switch f.Link {
	case LinkEthernet:
		d.ethernet(p, f.Data)
	case LinkRaw, LinkRawBSD, LinkRawOpen, LinkIPv4, LinkIPv6:
		d.rawIP(p, f.Data)
	case LinkLinuxSLL:
		d.cooked(p, f.Data)
	case LinkLinuxSLL2:
		d.cooked2(p, f.Data)
	case LinkNull, LinkLoop:
		d.loopback(p, f.Data)
	default:
		d.counts.drop(BadLink)
	}
}

// Flush gives up waiting for what is missing from fragments and streams, and
// makes ready the messages that can be read without it. Call it at the end of a
// capture.
func (d *Decoder) Flush() {
	d.reset()
	d.fragments.flush()
	d.streams.flush()
}

func (d *Decoder) reset() {
	if len(d.ready) > 1 { // a lone one is written over
		clear(d.ready)
	}
	d.ready, d.done, d.left = d.ready[:0], 0, false
}

// Next returns the next message of the frame taken in, or nil. The message is
// valid until the next call of a method.
func (d *Decoder) Next() *Message {
	m := d.next()
	if m != nil {
		d.counts.message(m, 1)
	}
	return m
}

// next is Next without counting the message.
func (d *Decoder) next() *Message {
	for d.done < len(d.ready) {
		p := &d.ready[d.done]
		d.done++
		m := &d.message
		m.Raw = p.raw
		if err := m.parse(); err != nil {
			d.counts.drop(undecodable(p, err))
			continue
		}
		m.route(p.packet, p.proto, p.src, p.dst)
		return m
	}
	return nil
}

// reject takes back the message that Next returned last, as undecodable.
func (d *Decoder) reject() {
	d.counts.message(&d.message, ^uint64(0))
	if d.message.Cut {
		d.counts.drop(CutByCapture)
		return
	}
	d.counts.drop(BadAnswer)
}

// undecodable says why a message could not be parsed.
func undecodable(p *pending, err error) Reason {
	switch {
	case p.packet.cut && err == errCut:
		return CutByCapture
	case len(p.raw) < headerSize:
		return BadHeader
	}
	return BadQuestion
}

// Stats returns what was decoded and what was not; its Source is empty.
func (d *Decoder) Stats() Stats { return d.counts.snapshot() }

func (d *Decoder) ethernet(p *packet, data []byte) {
	if len(data) < etherHeader {
		d.counts.drop(BadLink)
		return
	}
	p.dstMAC, p.srcMAC = MAC(data[:6]), MAC(data[6:12])
	d.etherType(p, binary.BigEndian.Uint16(data[12:]), data[etherHeader:])
}

// cooked strips the header of a Linux cooked capture:
// https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
func (d *Decoder) cooked(p *packet, data []byte) {
	if len(data) < 16 {
		d.counts.drop(BadLink)
		return
	}
	p.srcMAC = cookedMAC(data[2:4], binary.BigEndian.Uint16(data[4:]), data[6:14])
	d.etherType(p, binary.BigEndian.Uint16(data[14:]), data[16:])
}

// cooked2 strips the header of version 2:
// https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html
func (d *Decoder) cooked2(p *packet, data []byte) {
	if len(data) < 20 {
		d.counts.drop(BadLink)
		return
	}
	p.srcMAC = cookedMAC(data[8:10], uint16(data[11]), data[12:20])
	d.etherType(p, binary.BigEndian.Uint16(data), data[20:])
}

// cookedMAC returns the sender's address where the device is an Ethernet one.
func cookedMAC(device []byte, length uint16, address []byte) MAC {
	const arphrdEther = 1
	if binary.BigEndian.Uint16(device) != arphrdEther || length != 6 {
		return MAC{}
	}
	return MAC(address[:6])
}

// loopback strips an address family, in either byte order: 2 is IPv4 everywhere,
// IPv6 has a number of its own on each BSD. What follows says it again.
func (d *Decoder) loopback(p *packet, data []byte) {
	if len(data) < 4 {
		d.counts.drop(BadLink)
		return
	}
	family := binary.LittleEndian.Uint32(data)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(data)
	}
	switch family {
	case 2, 10, 24, 28, 30:
		d.rawIP(p, data[4:])
	default:
		d.counts.drop(NotIP)
	}
}

// etherType looks through VLAN tags to the IP packet.
func (d *Decoder) etherType(p *packet, kind uint16, data []byte) {
	for {
		switch kind {
		case etherIPv4:
			d.ipv4(p, data)
			return
		case etherIPv6:
			d.ipv6(p, data)
			return
		case etherVLAN, etherQinQ, etherOldQ:
			if p.tags == maxVLANs || len(data) < vlanTag {
				d.counts.drop(BadVLAN)
				return
			}
			if id := binary.BigEndian.Uint16(data) & vlanIDMask; id != 0 {
				p.vlans[p.tags] = id
				p.tags++
			}
			kind, data = binary.BigEndian.Uint16(data[2:]), data[vlanTag:]
		default:
			d.counts.drop(NotIP)
			return
		}
	}
}

func (d *Decoder) rawIP(p *packet, data []byte) {
	if len(data) == 0 {
		d.counts.drop(BadIP)
		return
	}
	switch data[0] >> 4 {
	case 4:
		d.ipv4(p, data)
	case 6:
		d.ipv6(p, data)
	default:
		d.counts.drop(NotIP)
	}
}

// transport takes in the payload of an IP packet, whole again if it was
// fragmented.
func (d *Decoder) transport(p *packet, proto Proto, data []byte) {
	switch proto {
	case UDP:
		d.udp(p, data)
	case TCP:
		d.streams.segment(p, data)
	default:
		d.counts.drop(NotUDPTCP)
	}
}

const udpHeader = 8

func (d *Decoder) udp(p *packet, data []byte) {
	if len(data) < udpHeader {
		d.counts.drop(tooShort(p, BadUDP))
		return
	}
	src, dst := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	if !d.wants(src, dst) {
		d.counts.drop(OtherPort)
		d.lease(p, src, dst, data[udpHeader:])
		return
	}
	length := int(binary.BigEndian.Uint16(data[4:]))
	switch {
	case length == 0 && len(data) > 1<<16-1: // a jumbogram (RFC 2675)
		length = len(data)
	case length < udpHeader || (length > len(data) && !p.cut):
		d.counts.drop(BadUDP)
		return
	}
	raw := data[udpHeader:min(length, len(data))]
	d.ready = append(d.ready, pending{packet: p, proto: UDP, src: src, dst: dst, raw: raw})
}

// lease tells of a DHCP message, where somebody listens.
func (d *Decoder) lease(p *packet, src, dst uint16, data []byte) {
	if d.leases == nil || p.cut || (src != DHCPServerPort && src != DHCPClientPort) || (dst != DHCPServerPort && dst != DHCPClientPort) {
		return
	}
	if l, ok := ParseLease(data); ok {
		l.Time = p.time
		d.leases(l)
	}
}

// tooShort returns the reason for a header that is not all there.
func tooShort(p *packet, otherwise Reason) Reason {
	if p.cut {
		return CutByCapture
	}
	return otherwise
}

// add makes a message ready that did not come by the frame at hand alone.
func (d *Decoder) add(p *packet, proto Proto, src, dst uint16, raw []byte) {
	copied := *p // what it says of a stream changes
	d.ready = append(d.ready, pending{packet: &copied, proto: proto, src: src, dst: dst, raw: raw})
}

// leave reports whether a frame is left to another decoder, because what it means
// depends on earlier ones. Nothing of it was counted yet.
func (d *Decoder) leave() bool {
	d.left = d.alone
	return d.left
}
