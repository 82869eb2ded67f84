package capture

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// The pcapng format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacketOld = 2 // obsolete
	blockSimple    = 3
	blockPacket    = 6

	byteOrderMagic = 0x1a2b3c4d
	sectionVersion = 1

	optionEnd        = 0
	optionResolution = 9
	optionOffset     = 14

	blockOverhead = 12 // type, length, and the length again
	// maxInterfaces bounds the interfaces that a section may declare.
	maxInterfaces = 4096
	// maxUnixSeconds is the end of the year 9999, after which RFC 3339 has no times.
	maxUnixSeconds = 253402300799
)

// pcapng reads the blocks of a pcapng file.
type pcapng struct {
	f          *File
	order      binary.ByteOrder
	interfaces []ngInterface // of the section under way
	last       time.Time
}

// ngInterface is what an interface description block says.
type ngInterface struct {
	link    LinkType
	snap    uint32 // 0: no limit
	perSec  uint64 // units of a timestamp in a second
	seconds int64  // added to every timestamp
}

func newPcapNG(f *File) *pcapng { return &pcapng{f: f, last: time.Unix(0, 0).UTC()} }

func (p *pcapng) next(frame *Frame) error {
	for {
		kind, body, err := p.block()
		if err != nil {
			return err
		}
		found := false
		switch kind {
		case blockInterface:
			err = p.declare(body)
		case blockPacket:
			found, err = true, p.packet(frame, body)
		case blockPacketOld:
			found, err = true, p.oldPacket(frame, body)
		case blockSimple:
			found, err = true, p.simplePacket(frame, body)
		}
		if err != nil {
			return err
		}
		if found {
			p.f.packets++
			return nil
		}
		if err := p.f.skip(p.f.pending); err != nil {
			return err
		}
		p.f.pending = 0
	}
}

// block returns the next block that may be of interest, whole, and its kind. It
// skips the others, which may be longer than the buffer.
func (p *pcapng) block() (kind uint32, body []byte, err error) {
	for {
		head, err := p.f.peek(8, recordHeader)
		if err != nil {
			return 0, nil, err
		}
		if binary.BigEndian.Uint32(head) == blockSection {
			if err := p.section(); err != nil {
				return 0, nil, err
			}
			continue
		}
		kind, length := p.order.Uint32(head), p.order.Uint32(head[4:])
		if length < blockOverhead || length%4 != 0 {
			return 0, nil, p.f.fail("block of type %d: a length of %d bytes, want 12 or more and a multiple of 4", kind, length)
		}
		if !wanted(kind) {
			if err := p.f.skip(int(length)); err != nil {
				return 0, nil, err
			}
			continue
		}
		body, err := p.whole(kind, length)
		return kind, body, err
	}
}

func wanted(kind uint32) bool {
	return kind == blockInterface || kind == blockPacket || kind == blockPacketOld || kind == blockSimple
}

// whole returns the body of the block at hand, and checks its closing length.
func (p *pcapng) whole(kind, length uint32) ([]byte, error) {
	if length > fileBuffer {
		return nil, p.f.fail("block of type %d: a length of %d bytes, want at most %d", kind, length, fileBuffer)
	}
	data, err := p.f.peek(int(length), "block")
	if err != nil {
		return nil, err
	}
	if again := p.order.Uint32(data[length-4:]); again != length {
		return nil, p.f.fail("block of type %d: begins with length %d and ends with %d", kind, length, again)
	}
	p.f.pending = int(length)
	return data[8 : length-4], nil
}

// section begins a section: it has its own byte order and its own interfaces.
func (p *pcapng) section() error {
	head, err := p.f.peek(16, "section header")
	if err != nil {
		return err
	}
	switch uint32(byteOrderMagic) {
	case binary.LittleEndian.Uint32(head[8:]):
		p.order = binary.LittleEndian
	case binary.BigEndian.Uint32(head[8:]):
		p.order = binary.BigEndian
	default:
		return p.f.fail("section header: byte order magic %x, want 1a2b3c4d or 4d3c2b1a", head[8:12])
	}
	if major := p.order.Uint16(head[12:]); major != sectionVersion {
		return p.f.fail("section header: version %d, want %d", major, sectionVersion)
	}
	p.interfaces = p.interfaces[:0]
	length := p.order.Uint32(head[4:])
	if length < 28 || length%4 != 0 {
		return p.f.fail("section header: a length of %d bytes, want 28 or more and a multiple of 4", length)
	}
	return p.f.skip(int(length))
}

// declare takes in an interface description block.
func (p *pcapng) declare(body []byte) error {
	if len(body) < 8 {
		return p.f.fail("interface block: %d bytes, want 8 or more", len(body))
	}
	if len(p.interfaces) == maxInterfaces {
		return p.f.fail("interface block: more than %d interfaces in a section", maxInterfaces)
	}
	it := ngInterface{link: LinkType(p.order.Uint16(body)), snap: p.order.Uint32(body[4:]), perSec: 1e6}
	options := body[8:]
	for len(options) >= 4 {
		code, length := p.order.Uint16(options), int(p.order.Uint16(options[2:]))
		padded := 4 + (length+3)&^3
		if code == optionEnd || padded > len(options) {
			break
		}
		value := options[4 : 4+length]
		switch {
		case code == optionResolution && length == 1:
			if it.perSec = unitsPerSecond(value[0]); it.perSec == 0 {
				return p.f.fail("interface block: a time resolution of %#02x, want at most 10^-19 or 2^-63", value[0])
			}
		case code == optionOffset && length == 8:
			it.seconds = int64(p.order.Uint64(value))
		}
		options = options[padded:]
	}
	p.interfaces = append(p.interfaces, it)
	return nil
}

// unitsPerSecond reads if_tsresol: a negative power of 10, or of 2 with the top
// bit set. It returns 0 for what is finer than 64 bits can count.
func unitsPerSecond(resolution byte) uint64 {
	power := resolution & 0x7f
	if resolution&0x80 != 0 {
		if power > 63 {
			return 0
		}
		return 1 << power
	}
	if power > 19 {
		return 0
	}
	units := uint64(1)
	for range power {
		units *= 10
	}
	return units
}

// time returns the moment of a timestamp; ok is false beyond the year 9999.
func (it *ngInterface) time(stamp uint64) (t time.Time, ok bool) {
	whole, rest := stamp/it.perSec, stamp%it.perSec
	hi, lo := bits.Mul64(rest, 1e9)
	nanos, _ := bits.Div64(hi, lo, it.perSec)
	if whole > maxUnixSeconds || it.seconds > maxUnixSeconds || it.seconds < -maxUnixSeconds {
		return time.Time{}, false
	}
	seconds := int64(whole) + it.seconds
	if seconds < 0 || seconds > maxUnixSeconds {
		return time.Time{}, false
	}
	return time.Unix(seconds, int64(nanos)).UTC(), true
}

// packet takes in an enhanced packet block.
func (p *pcapng) packet(frame *Frame, body []byte) error {
	if len(body) < 20 {
		return p.f.fail("packet block: %d bytes, want 20 or more", len(body))
	}
	return p.timed(frame, p.order.Uint32(body), body)
}

// oldPacket takes in an obsolete packet block: as the enhanced one, but for a
// count of drops in the upper half of the interface.
func (p *pcapng) oldPacket(frame *Frame, body []byte) error {
	if len(body) < 20 {
		return p.f.fail("packet block: %d bytes, want 20 or more", len(body))
	}
	return p.timed(frame, uint32(p.order.Uint16(body)), body)
}

func (p *pcapng) timed(frame *Frame, number uint32, body []byte) error {
	it, err := p.byNumber(number)
	if err != nil {
		return err
	}
	captured := p.order.Uint32(body[12:])
	if captured > maxFrame || int(captured) > len(body)-20 {
		return p.f.fail("packet block: %d captured bytes in a block of %d, want at most %d", captured, len(body), maxFrame)
	}
	stamp := uint64(p.order.Uint32(body[4:]))<<32 | uint64(p.order.Uint32(body[8:]))
	moment, ok := it.time(stamp)
	if ok {
		p.last = moment
	} else {
		p.f.counts.untimed.Add(1)
	}
	*frame = Frame{
		Time:   p.last,
		Link:   it.link,
		Data:   body[20 : 20+captured],
		Length: wireLength(p.order.Uint32(body[16:]), captured),
	}
	return nil
}

// simplePacket takes in a simple packet block, which has no time: it gets that of
// the packet before it.
func (p *pcapng) simplePacket(frame *Frame, body []byte) error {
	it, err := p.byNumber(0)
	if err != nil {
		return err
	}
	if len(body) < 4 {
		return p.f.fail("simple packet block: %d bytes, want 4 or more", len(body))
	}
	said := p.order.Uint32(body)
	captured := min(said, uint32(len(body)-4))
	if it.snap > 0 {
		captured = min(captured, it.snap)
	}
	if captured > maxFrame {
		return p.f.fail("simple packet block: %d bytes, want at most %d", captured, maxFrame)
	}
	p.f.counts.untimed.Add(1)
	*frame = Frame{Time: p.last, Link: it.link, Data: body[4 : 4+captured], Length: wireLength(said, captured)}
	return nil
}

func (p *pcapng) byNumber(number uint32) (*ngInterface, error) {
	if int64(number) >= int64(len(p.interfaces)) {
		return nil, p.f.fail("packet block: interface %d, but the section declares %d", number, len(p.interfaces))
	}
	return &p.interfaces[number], nil
}
