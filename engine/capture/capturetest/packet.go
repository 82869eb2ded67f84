package capturetest

import (
	"encoding/binary"
	"net/netip"
)

// Link types, in the numbers of capture files.
const (
	linkNull = 0
	linkLoop = 108
	linkSLL  = 113
	linkIPv4 = 228
	linkIPv6 = 229
	linkSLL2 = 276
)

// packets builds frames of one link type, each in the memory of the one before.
type packets struct {
	link  uint16
	order binary.AppendByteOrder // of the machine that captures
	frame []byte
	ipID  uint16
}

// hasMAC reports whether frames name the sender, and the receiver too.
func (b *packets) hasMAC() (sender, receiver bool) {
	ethernet := b.link == LinkEthernet
	return ethernet || b.link == linkSLL || b.link == linkSLL2, ethernet
}

// tags reports whether frames of this link type can carry VLAN tags.
func (b *packets) tags() bool { return b.link == LinkEthernet || b.link == linkSLL }

// open begins a frame with what goes before the packet of an Ethernet type.
func (b *packets) open(from, to *Endpoint, vlans []uint16, kind uint16) {
	b.frame = b.frame[:0]
	switch b.link {
	case LinkEthernet:
		b.frame = append(append(b.frame, to.MAC[:]...), from.MAC[:]...)
		b.tagged(vlans, kind)
	case linkSLL:
		b.frame = append(b.frame, 0, 0, 0, 1, 0, 6)
		b.frame = append(append(b.frame, from.MAC[:]...), 0, 0)
		b.tagged(vlans, kind)
	case linkSLL2:
		b.frame = binary.BigEndian.AppendUint16(b.frame, kind)
		b.frame = append(b.frame, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6)
		b.frame = append(append(b.frame, from.MAC[:]...), 0, 0)
	case linkNull:
		b.frame = b.order.AppendUint32(b.frame, family(kind))
	case linkLoop:
		b.frame = binary.BigEndian.AppendUint32(b.frame, family(kind))
	}
}

func (b *packets) tagged(vlans []uint16, kind uint16) {
	for i, id := range vlans {
		tag := uint16(EtherVLAN)
		if i == 0 && len(vlans) > 1 {
			tag = EtherQinQ
		}
		b.frame = binary.BigEndian.AppendUint16(b.frame, tag)
		b.frame = binary.BigEndian.AppendUint16(b.frame, id)
	}
	b.frame = binary.BigEndian.AppendUint16(b.frame, kind)
}

// family is the address family of the BSDs for an Ethernet type.
func family(kind uint16) uint32 {
	if kind == EtherIPv6 {
		return 30
	}
	return 2
}

// ip begins a frame with everything before the payload of IP, and returns where the
// IP header begins.
func (b *packets) ip(from, to *Endpoint, vlans []uint16, proto uint8, payload int) (at int) {
	if from.Addr.Addr().Is4() {
		b.open(from, to, vlans, EtherIPv4)
		at = len(b.frame)
		b.ipID++
		b.frame = append(b.frame, 0x45, 0)
		b.frame = binary.BigEndian.AppendUint16(b.frame, uint16(20+payload))
		b.frame = binary.BigEndian.AppendUint16(b.frame, b.ipID)
		b.frame = append(b.frame, 0, 0, 64, proto, 0, 0)
		b.frame = appendAddress(appendAddress(b.frame, from.Addr.Addr()), to.Addr.Addr())
		b.sumHeader(at)
		return at
	}
	b.open(from, to, vlans, EtherIPv6)
	at = len(b.frame)
	b.frame = append(b.frame, 0x60, 0, 0, 0)
	b.frame = binary.BigEndian.AppendUint16(b.frame, uint16(payload))
	b.frame = append(b.frame, proto, 64)
	b.frame = appendAddress(appendAddress(b.frame, from.Addr.Addr()), to.Addr.Addr())
	return at
}

// sumHeader fills in the checksum of the IPv4 header at this place.
func (b *packets) sumHeader(at int) {
	header := b.frame[at : at+20]
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], ^sum(0, header))
}

func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(b, four[:]...)
	}
	all := a.As16()
	return append(b, all[:]...)
}

// datagram makes the frame of a UDP datagram.
func (b *packets) datagram(from, to *Endpoint, vlans []uint16, payload []byte) {
	at := b.ip(from, to, vlans, ProtoUDP, 8+len(payload))
	start := len(b.frame)
	b.frame = appendUDP(b.frame, from, to, payload)
	check := b.transportSum(at, start, ProtoUDP)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b.frame[start+6:], check)
}

func appendUDP(b []byte, from, to *Endpoint, payload []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, from.Addr.Port())
	b = binary.BigEndian.AppendUint16(b, to.Addr.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// transportSum is the checksum of UDP or TCP from start on, of the packet at this
// place, whose addresses lie before it.
func (b *packets) transportSum(at, start int, proto uint8) uint16 {
	addresses := b.frame[start-8 : start]
	if b.frame[at]>>4 == 6 {
		addresses = b.frame[start-32 : start]
	}
	length := uint32(len(b.frame) - start)
	total := sum(0, addresses)
	pseudo := [6]byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length), 0, proto}
	return ^sum(sum(total, pseudo[:]), b.frame[start:])
}

// segment makes the frame of a TCP segment.
func (b *packets) segment(from, to *Endpoint, vlans []uint16, seq, ack uint32, flags uint8, data []byte) {
	at := b.ip(from, to, vlans, ProtoTCP, 20+len(data))
	start := len(b.frame)
	b.frame = binary.BigEndian.AppendUint16(b.frame, from.Addr.Port())
	b.frame = binary.BigEndian.AppendUint16(b.frame, to.Addr.Port())
	b.frame = binary.BigEndian.AppendUint32(b.frame, seq)
	b.frame = binary.BigEndian.AppendUint32(b.frame, ack)
	b.frame = append(b.frame, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	b.frame = append(b.frame, data...)
	binary.BigEndian.PutUint16(b.frame[start+16:], b.transportSum(at, start, ProtoTCP))
}

// fragment makes the frame of a piece of a UDP datagram.
func (b *packets) fragment(from, to *Endpoint, vlans []uint16, id uint32, offset int, more bool, piece []byte) {
	packet := Fragment(*from, *to, ProtoUDP, id, offset, more, piece)
	b.open(from, to, vlans, EtherType(packet))
	b.frame = append(b.frame, packet...)
}
