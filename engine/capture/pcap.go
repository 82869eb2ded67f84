package capture

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// The pcap format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/
const (
	pcapFileHeader   = 24
	pcapPacketHeader = 16
	linkTypeMask     = 0xffff // the upper half holds the length of the frame check sequence
)

// pcapKind is what the magic number of a pcap file says.
type pcapKind struct {
	magic  [4]byte
	big    bool  // byte order
	unit   int64 // nanoseconds in a unit of the fraction of a second
	header int   // bytes before a packet
}

// pcapKinds ends with what Linux distributions of 1999 wrote, and libpcap calls
// Kuznetzov's: interface, protocol and direction follow the lengths.
var pcapKinds = []pcapKind{
	{[4]byte{0xd4, 0xc3, 0xb2, 0xa1}, false, 1000, pcapPacketHeader},
	{[4]byte{0xa1, 0xb2, 0xc3, 0xd4}, true, 1000, pcapPacketHeader},
	{[4]byte{0x4d, 0x3c, 0xb2, 0xa1}, false, 1, pcapPacketHeader},
	{[4]byte{0xa1, 0xb2, 0x3c, 0x4d}, true, 1, pcapPacketHeader},
	{[4]byte{0x34, 0xcd, 0xb2, 0xa1}, false, 1000, pcapPacketHeader + 8},
	{[4]byte{0xa1, 0xb2, 0xcd, 0x34}, true, 1000, pcapPacketHeader + 8},
}

// pcapMagic returns the kind that starts like this, or nil.
func pcapMagic(start []byte) *pcapKind {
	for i := range pcapKinds {
		if bytes.Equal(start, pcapKinds[i].magic[:]) {
			return &pcapKinds[i]
		}
	}
	return nil
}

// pcap finds the records of a pcap file.
type pcap struct {
	f    *File
	kind pcapKind
	link LinkType
}

func newPcap(f *File) (*pcap, error) {
	head, err := f.in.Peek(pcapFileHeader)
	if err != nil {
		f.lacks = lack{"file header", pcapFileHeader - len(head)}
		return nil, f.end(nil, err)
	}
	p := &pcap{f: f, kind: *pcapMagic(head[:4])}
	p.link = LinkType(p.uint32(head[20:]) & linkTypeMask)
	f.offset += pcapFileHeader
	_, err = f.in.Discard(pcapFileHeader) // peeked
	return p, err
}

func (p *pcap) uint32(b []byte) uint32 {
	n := binary.LittleEndian.Uint32(b)
	if p.kind.big {
		return bits.ReverseBytes32(n)
	}
	return n
}

func (p *pcap) split(b *chunk) error {
	data, size := b.data, p.kind.header
	for {
		head := data[b.used:]
		if len(head) < size {
			p.f.lacks = lack{recordHeader, size - len(head)}
			return nil
		}
		captured := p.uint32(head[8:])
		if captured > maxFrame {
			return p.f.fail("packet header: a length of %d bytes, want at most %d", captured, maxFrame)
		}
		whole := size + int(captured)
		if len(head) < whole {
			p.f.lacks = lack{"packet", whole - len(head)}
			return nil
		}
		nanos := int64(p.uint32(head))*1e9 + int64(p.uint32(head[4:]))*p.kind.unit
		b.note(nanos, b.used+size, captured, p.uint32(head[12:]), p.link)
		b.used += whole
	}
}

// wireLength returns the length on the wire; files of broken writers say less
// than they hold.
func wireLength(said, captured uint32) uint32 {
	return min(max(said, captured), math.MaxInt32)
}
