package capture

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv4Header     = 20
	ipv6Header     = 40
	moreFragments  = 0x2000
	fragmentOffset = 0x1fff
	// maxExtensions is how many IPv6 extension headers are looked through.
	maxExtensions = 12
)

// IPv6 extension headers, by their numbers (RFC 8200 §4 and IANA).
const (
	ipv6HopByHop    = 0
	ipv6Routing     = 43
	ipv6Fragment    = 44
	ipv6Auth        = 51
	ipv6NoNext      = 59
	ipv6Destination = 60
	ipv6Mobility    = 135
	ipv6HIP         = 139
	ipv6Shim6       = 140
)

// ipv4 takes in an IPv4 packet (RFC 791).
func (d *Decoder) ipv4(p *packet, data []byte) {
	if len(data) < ipv4Header {
		d.counts.drop(tooShort(p, BadIP))
		return
	}
	header := int(data[0]&0xf) * 4
	length := int(binary.BigEndian.Uint16(data[2:]))
	if length == 0 { // as segmentation offload leaves it
		length = len(data)
	}
	if data[0]>>4 != 4 || header < ipv4Header || length < header {
		d.counts.drop(BadIP)
		return
	}
	if length > len(data) {
		p.cut = true
	}
	data = data[:min(length, len(data))]
	proto := Proto(data[9])
	if proto != UDP && proto != TCP {
		d.counts.drop(NotUDPTCP)
		return
	}
	if header > len(data) {
		d.counts.drop(CutByCapture)
		return
	}
	p.src, p.dst = netip.AddrFrom4([4]byte(data[12:])), netip.AddrFrom4([4]byte(data[16:]))
	place := binary.BigEndian.Uint16(data[6:])
	if place&(moreFragments|fragmentOffset) == 0 {
		d.transport(p, proto, data[header:])
		return
	}
	d.fragment(p, fragment{
		id: uint32(binary.BigEndian.Uint16(data[4:])), next: uint8(proto),
		offset: int(place&fragmentOffset) * 8, more: place&moreFragments != 0, data: data[header:],
	})
}

// ipv6 takes in an IPv6 packet (RFC 8200).
func (d *Decoder) ipv6(p *packet, data []byte) {
	if len(data) < ipv6Header {
		d.counts.drop(tooShort(p, BadIP))
		return
	}
	if data[0]>>4 != 6 {
		d.counts.drop(BadIP)
		return
	}
	length := int(binary.BigEndian.Uint16(data[4:]))
	payload := data[ipv6Header:]
	if length == 0 { // a jumbogram, or as segmentation offload leaves it
		length = len(payload)
	}
	if length > len(payload) {
		p.cut = true
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(data[8:])), netip.AddrFrom16([16]byte(data[24:]))
	d.extensions(p, data[6], payload[:min(length, len(payload))], true)
}

// extensions looks through IPv6 extension headers to the payload. A fragment
// header is not allowed within what was put together from fragments.
func (d *Decoder) extensions(p *packet, next uint8, data []byte, fragmented bool) {
	for range maxExtensions {
		size := 0
		switch next {
		case uint8(UDP), uint8(TCP):
			d.transport(p, Proto(next), data)
			return
		case ipv6HopByHop, ipv6Routing, ipv6Destination, ipv6Mobility, ipv6HIP, ipv6Shim6:
			if len(data) >= 8 {
				size = 8 + int(data[1])*8
			}
		case ipv6Auth:
			if len(data) >= 8 {
				size = 8 + int(data[1])*4
			}
		case ipv6Fragment:
			if len(data) >= 8 && fragmented {
				d.ipv6Fragment(p, data)
				return
			}
		default: // ICMPv6, ESP, nothing
			d.counts.drop(NotUDPTCP)
			return
		}
		if size == 0 || size > len(data) {
			d.counts.drop(tooShort(p, BadExtension))
			return
		}
		next, data = data[0], data[size:]
	}
	d.counts.drop(BadExtension)
}

func (d *Decoder) ipv6Fragment(p *packet, data []byte) {
	place := binary.BigEndian.Uint16(data[2:])
	offset, more := int(place&^7), place&1 != 0
	if offset == 0 && !more { // an atomic fragment (RFC 6946)
		d.extensions(p, data[0], data[8:], false)
		return
	}
	d.fragment(p, fragment{id: binary.BigEndian.Uint32(data[4:]), next: data[0], offset: offset, more: more, data: data[8:]})
}

// fragment takes in a fragment, and the packet when it is complete.
func (d *Decoder) fragment(p *packet, f fragment) {
	if d.leave() {
		return
	}
	d.counts.fragments.Add(1)
	if p.cut {
		d.counts.drop(CutByCapture)
		return
	}
	next, whole := d.fragments.add(p, f, d)
	switch {
	case whole == nil:
	case p.src.Is4():
		d.transport(p, Proto(next), whole)
	default:
		d.extensions(p, next, whole, false)
	}
}
