package capture

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"
)

// The pcap format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/
const (
	pcapFileHeader   = 24
	pcapPacketHeader = 16
	linkTypeMask     = 0xffff // the upper half holds the length of the frame check sequence
)

// pcapKind is what the magic number of a pcap file says.
type pcapKind struct {
	magic [4]byte
	order binary.ByteOrder
	unit  int64 // nanoseconds in a unit of the fraction of a second
}

var pcapKinds = []pcapKind{
	{[4]byte{0xd4, 0xc3, 0xb2, 0xa1}, binary.LittleEndian, 1000},
	{[4]byte{0xa1, 0xb2, 0xc3, 0xd4}, binary.BigEndian, 1000},
	{[4]byte{0x4d, 0x3c, 0xb2, 0xa1}, binary.LittleEndian, 1},
	{[4]byte{0xa1, 0xb2, 0x3c, 0x4d}, binary.BigEndian, 1},
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

// pcap reads the records of a pcap file.
type pcap struct {
	f    *File
	kind pcapKind
	link LinkType
}

func newPcap(f *File) (*pcap, error) {
	head, err := f.peek(pcapFileHeader, "file header")
	if err != nil {
		return nil, err
	}
	p := &pcap{f: f, kind: *pcapMagic(head[:4])}
	p.link = LinkType(p.kind.order.Uint32(head[20:]) & linkTypeMask)
	return p, f.skip(pcapFileHeader)
}

func (p *pcap) next(frame *Frame) error {
	head, err := p.f.peek(pcapPacketHeader, recordHeader)
	if err != nil {
		return err
	}
	order := p.kind.order
	captured := order.Uint32(head[8:])
	if captured > maxFrame {
		return p.f.fail("packet header: a length of %d bytes, want at most %d", captured, maxFrame)
	}
	record, err := p.f.peek(pcapPacketHeader+int(captured), "packet")
	if err != nil {
		return err
	}
	p.f.packets++
	p.f.pending = len(record)
	fraction := int64(order.Uint32(record[4:])) * p.kind.unit
	*frame = Frame{
		Time:   time.Unix(int64(order.Uint32(record)), fraction).UTC(),
		Link:   p.link,
		Data:   record[pcapPacketHeader:],
		Length: wireLength(order.Uint32(record[12:]), captured),
	}
	return nil
}

// wireLength returns the length on the wire; files of broken writers say less
// than they hold.
func wireLength(said, captured uint32) int {
	return int(min(max(said, captured), math.MaxInt32))
}
