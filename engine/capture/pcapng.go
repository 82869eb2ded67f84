package capture

import (
	"encoding/binary"
	"math"
	"math/bits"
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
	// maxUnixSeconds is the last whole second, in the year 2262, whose nanoseconds
	// since 1970 fit in 63 bits.
	maxUnixSeconds = math.MaxInt64/1_000_000_000 - 1
)

// pcapng finds the packets of a pcapng file.
type pcapng struct {
	f          *File
	big        bool          // byte order
	interfaces []ngInterface // of the section under way
	last       int64         // time of the latest packet that has one
}

// ngInterface is what an interface description block says.
type ngInterface struct {
	link    LinkType
	snap    uint32 // 0: no limit
	perSec  uint64 // units of a timestamp in a second
	seconds int64  // added to every timestamp
}

func (p *pcapng) uint32(b []byte) uint32 {
	n := binary.LittleEndian.Uint32(b)
	if p.big {
		return bits.ReverseBytes32(n)
	}
	return n
}

func (p *pcapng) uint64(b []byte) uint64 {
	n := binary.LittleEndian.Uint64(b)
	if p.big {
		return bits.ReverseBytes64(n)
	}
	return n
}

func (p *pcapng) uint16(b []byte) uint16 {
	n := binary.LittleEndian.Uint16(b)
	if p.big {
		return bits.ReverseBytes16(n)
	}
	return n
}

// split takes in the blocks that are whole, and passes over those of no interest,
// which may be longer than a block of ours.
func (p *pcapng) split(b *chunk) error {
	for {
		head := b.data[b.used:]
		if len(head) < 8 {
			p.f.lacks = lack{recordHeader, 8 - len(head)}
			return nil
		}
		length, err := p.outline(head)
		if err != nil || length == 0 {
			return err
		}
		if kind := p.uint32(head); wanted(kind) {
			if len(head) < int(length) {
				p.f.lacks = lack{"block", int(length) - len(head)}
				return nil
			}
			if err := p.take(b, kind, length); err != nil {
				return err
			}
		}
		if p.f.pass(b, int(length)) {
			p.f.lacks = lack{"block", p.f.skip}
			return nil
		}
	}
}

// outline returns the length of the next block, and begins a section where it is
// the header of one; 0 means that the header is not all there.
func (p *pcapng) outline(head []byte) (length uint32, err error) {
	if binary.BigEndian.Uint32(head) == blockSection {
		return p.section(head)
	}
	kind, length := p.uint32(head), p.uint32(head[4:])
	if length < blockOverhead || length%4 != 0 {
		return 0, p.f.fail("block of type %d: a length of %d bytes, want 12 or more and a multiple of 4", kind, length)
	}
	if wanted(kind) && length > fileBuffer {
		return 0, p.f.fail("block of type %d: a length of %d bytes, want at most %d", kind, length, fileBuffer)
	}
	return length, nil
}

func wanted(kind uint32) bool {
	return kind == blockPacket || kind == blockInterface || kind == blockPacketOld || kind == blockSimple
}

// take takes in the block at hand, which is whole, and checks its closing length.
func (p *pcapng) take(b *chunk, kind, length uint32) error {
	whole := b.data[b.used:][:length]
	if again := p.uint32(whole[length-4:]); again != length {
		return p.f.fail("block of type %d: begins with length %d and ends with %d", kind, length, again)
	}
	body := whole[8 : length-4]
	switch kind {
	case blockInterface:
		return p.declare(body)
	case blockPacket:
		return p.packet(b, body)
	case blockPacketOld:
		return p.oldPacket(b, body)
	}
	return p.simplePacket(b, body)
}

// section begins a section: it has its own byte order and its own interfaces.
func (p *pcapng) section(head []byte) (length uint32, err error) {
	if len(head) < 16 {
		p.f.lacks = lack{"section header", 16 - len(head)}
		return 0, nil
	}
	switch uint32(byteOrderMagic) {
	case binary.LittleEndian.Uint32(head[8:]):
		p.big = false
	case binary.BigEndian.Uint32(head[8:]):
		p.big = true
	default:
		return 0, p.f.fail("section header: byte order magic %x, want 1a2b3c4d or 4d3c2b1a", head[8:12])
	}
	if major := p.uint16(head[12:]); major != sectionVersion {
		return 0, p.f.fail("section header: version %d, want %d", major, sectionVersion)
	}
	p.interfaces = p.interfaces[:0]
	length = p.uint32(head[4:])
	if length < 28 || length%4 != 0 {
		return 0, p.f.fail("section header: a length of %d bytes, want 28 or more and a multiple of 4", length)
	}
	return length, nil
}

// declare takes in an interface description block.
func (p *pcapng) declare(body []byte) error {
	if len(body) < 8 {
		return p.f.fail("interface block: %d bytes, want 8 or more", len(body))
	}
	if len(p.interfaces) == maxInterfaces {
		return p.f.fail("interface block: more than %d interfaces in a section", maxInterfaces)
	}
	it := ngInterface{link: LinkType(p.uint16(body)), snap: p.uint32(body[4:]), perSec: 1e6}
	options := body[8:]
	for len(options) >= 4 {
		code, length := p.uint16(options), int(p.uint16(options[2:]))
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
			it.seconds = int64(p.uint64(value))
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

// nanos returns the moment of a timestamp, since 1970; ok is false before that and
// beyond the year 2262.
func (it *ngInterface) nanos(stamp uint64) (nanos int64, ok bool) {
	if it.perSec == 1e9 && it.seconds == 0 {
		return int64(stamp), stamp <= math.MaxInt64
	}
	whole, rest := stamp/it.perSec, stamp%it.perSec
	hi, lo := bits.Mul64(rest, 1e9)
	fraction, _ := bits.Div64(hi, lo, it.perSec)
	if whole > maxUnixSeconds || it.seconds > maxUnixSeconds || it.seconds < -maxUnixSeconds {
		return 0, false
	}
	seconds := int64(whole) + it.seconds
	if seconds < 0 || seconds > maxUnixSeconds {
		return 0, false
	}
	return seconds*1e9 + int64(fraction), true
}

// packet takes in an enhanced packet block.
func (p *pcapng) packet(b *chunk, body []byte) error {
	if len(body) < 20 {
		return p.f.fail("packet block: %d bytes, want 20 or more", len(body))
	}
	return p.timed(b, p.uint32(body), body)
}

// oldPacket takes in an obsolete packet block: as the enhanced one, but for a
// count of drops in the upper half of the interface.
func (p *pcapng) oldPacket(b *chunk, body []byte) error {
	if len(body) < 20 {
		return p.f.fail("packet block: %d bytes, want 20 or more", len(body))
	}
	return p.timed(b, uint32(p.uint16(body)), body)
}

func (p *pcapng) timed(b *chunk, number uint32, body []byte) error {
	it, err := p.byNumber(number)
	if err != nil {
		return err
	}
	captured := p.uint32(body[12:])
	if captured > maxFrame || int(captured) > len(body)-20 {
		return p.f.fail("packet block: %d captured bytes in a block of %d, want at most %d", captured, len(body), maxFrame)
	}
	stamp := uint64(p.uint32(body[4:]))<<32 | uint64(p.uint32(body[8:]))
	nanos, ok := it.nanos(stamp)
	if ok {
		p.last = nanos
	} else {
		p.f.counts.untimed.Add(1)
	}
	b.note(p.last, b.used+8+20, captured, p.uint32(body[16:]), it.link)
	return nil
}

// simplePacket takes in a simple packet block, which has no time: it gets that of
// the packet before it.
func (p *pcapng) simplePacket(b *chunk, body []byte) error {
	it, err := p.byNumber(0)
	if err != nil {
		return err
	}
	if len(body) < 4 {
		return p.f.fail("simple packet block: %d bytes, want 4 or more", len(body))
	}
	said := p.uint32(body)
	captured := min(said, uint32(len(body)-4))
	if it.snap > 0 {
		captured = min(captured, it.snap)
	}
	if captured > maxFrame {
		return p.f.fail("simple packet block: %d bytes, want at most %d", captured, maxFrame)
	}
	p.f.counts.untimed.Add(1)
	b.note(p.last, b.used+8+4, captured, said, it.link)
	return nil
}

func (p *pcapng) byNumber(number uint32) (*ngInterface, error) {
	if int64(number) >= int64(len(p.interfaces)) {
		return nil, p.f.fail("packet block: interface %d, but the section declares %d", number, len(p.interfaces))
	}
	return &p.interfaces[number], nil
}
