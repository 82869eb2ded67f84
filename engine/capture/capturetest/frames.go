package capturetest

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers and Ethernet types that the builders take.
const (
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoFragment = 44
	EtherIPv4     = 0x0800
	EtherIPv6     = 0x86dd
	EtherVLAN     = 0x8100
	EtherQinQ     = 0x88a8
)

// Flags of a TCP segment.
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	PSH = 0x08
	ACK = 0x10
)

// Endpoint is one side of a packet.
type Endpoint struct {
	MAC  [6]byte
	Addr netip.AddrPort
}

// At returns the endpoint with the MAC 02:00:00:00:00:n and an address such as
// "192.0.2.7:40000".
func At(n byte, addr string) Endpoint {
	return Endpoint{MAC: [6]byte{5: n, 0: 2}, Addr: netip.MustParseAddrPort(addr)}
}

// Ethernet returns a frame around an IP packet, with these VLAN tags, outermost
// first. Where there are several, the outermost is an 802.1ad one.
func Ethernet(from, to Endpoint, vlans []uint16, packet []byte) []byte {
	frame := append(append([]byte{}, to.MAC[:]...), from.MAC[:]...)
	for i, id := range vlans {
		kind := uint16(EtherVLAN)
		if i == 0 && len(vlans) > 1 {
			kind = EtherQinQ
		}
		frame = binary.BigEndian.AppendUint16(frame, kind)
		frame = binary.BigEndian.AppendUint16(frame, id)
	}
	return append(binary.BigEndian.AppendUint16(frame, EtherType(packet)), packet...)
}

// EtherType returns the Ethernet type of an IP packet.
func EtherType(packet []byte) uint16 {
	if packet[0]>>4 == 6 {
		return EtherIPv6
	}
	return EtherIPv4
}

// IP returns a packet of the version that the addresses have. id is the
// identification of an IPv4 packet.
func IP(from, to Endpoint, proto uint8, id uint16, payload []byte) []byte {
	if from.Addr.Addr().Is4() {
		return ipv4(from, to, proto, id, 0, payload)
	}
	return ipv6(from, to, proto, payload)
}

func ipv4(from, to Endpoint, proto uint8, id, place uint16, payload []byte) []byte {
	p := []byte{0: 0x45, 8: 64, 9: proto, 19: 0}
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], place)
	copy(p[12:], from.Addr.Addr().AsSlice())
	copy(p[16:], to.Addr.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[10:], ^sum(0, p))
	return append(p, payload...)
}

func ipv6(from, to Endpoint, next uint8, payload []byte) []byte {
	p := []byte{0: 0x60, 6: next, 7: 64, 39: 0}
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	copy(p[8:], from.Addr.Addr().AsSlice())
	copy(p[24:], to.Addr.Addr().AsSlice())
	return append(p, payload...)
}

// Fragments returns the packets that carry payload in pieces of size bytes, a
// multiple of 8.
func Fragments(from, to Endpoint, proto uint8, id uint32, size int, payload []byte) [][]byte {
	var packets [][]byte
	for at := 0; at < len(payload); at += size {
		end := min(at+size, len(payload))
		packets = append(packets, Fragment(from, to, proto, id, at, end < len(payload), payload[at:end]))
	}
	return packets
}

// Fragment returns the packet that carries one piece, which lies at offset.
func Fragment(from, to Endpoint, proto uint8, id uint32, offset int, more bool, piece []byte) []byte {
	if from.Addr.Addr().Is4() {
		place := uint16(offset / 8)
		if more {
			place |= 0x2000
		}
		return ipv4(from, to, proto, uint16(id), place, piece)
	}
	header := []byte{0: proto, 7: 0}
	place := uint16(offset)
	if more {
		place |= 1
	}
	binary.BigEndian.PutUint16(header[2:], place)
	binary.BigEndian.PutUint32(header[4:], id)
	return ipv6(from, to, ProtoFragment, append(header, piece...))
}

// UDP returns a datagram with its checksum.
func UDP(from, to Endpoint, payload []byte) []byte {
	d := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(d, from.Addr.Port())
	binary.BigEndian.PutUint16(d[2:], to.Addr.Port())
	binary.BigEndian.PutUint16(d[4:], uint16(8+len(payload)))
	d = append(d, payload...)
	check := checksum(from, to, ProtoUDP, d)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(d[6:], check)
	return d
}

// Segment returns a TCP segment with its checksum.
func Segment(from, to Endpoint, seq, ack uint32, flags uint8, payload []byte) []byte {
	s := []byte{12: 5 << 4, 13: flags, 14: 0xff, 15: 0xff, 19: 0}
	binary.BigEndian.PutUint16(s, from.Addr.Port())
	binary.BigEndian.PutUint16(s[2:], to.Addr.Port())
	binary.BigEndian.PutUint32(s[4:], seq)
	binary.BigEndian.PutUint32(s[8:], ack)
	s = append(s, payload...)
	binary.BigEndian.PutUint16(s[16:], checksum(from, to, ProtoTCP, s))
	return s
}

// checksum is that of UDP and TCP, over a pseudo header and the data.
func checksum(from, to Endpoint, proto uint8, data []byte) uint16 {
	pseudo := append(from.Addr.Addr().AsSlice(), to.Addr.Addr().AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(data)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(proto))
	return ^sum(sum(0, pseudo), data)
}

// sum adds data up as the internet checksum does (RFC 1071).
func sum(start uint16, data []byte) uint16 {
	total := uint32(start)
	for i := 0; i+1 < len(data); i += 2 {
		total += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 != 0 {
		total += uint32(data[len(data)-1]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
