package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// What TCP streams may cost.
const (
	maxStreams        = 4096     // directions of connections at once
	maxStreamBytes    = 16 << 20 // held for all streams
	maxAheadSegments  = 128      // segments of a stream that wait for an earlier one
	maxAheadBytes     = 256 << 10
	maxStreamJump     = 16 << 20 // further off, a sequence number is of another connection
	streamPatience    = 2 * time.Minute
	streamBookkeeping = 64 // bytes that a waiting segment costs beside its data
)

const (
	tcpHeader = 20
	tcpFIN    = 0x01
	tcpSYN    = 0x02
	tcpRST    = 0x04
	tcpACK    = 0x10
)

// lengthSize is the length that goes before a message on TCP (RFC 1035 §4.2.2).
const lengthSize = 2

// streams puts TCP streams together, each direction by itself. Of data that
// overlaps, what was in order first counts.
type streams struct {
	d     *Decoder
	byKey map[streamKey]*stream
	// used is the head of a ring of all streams: used.next was used last.
	used  stream
	bytes int
}

type streamKey struct {
	src, dst netip.AddrPort
	vlans    VLANs
}

// stream is one direction of a connection.
type stream struct {
	key        streamKey
	prev, next *stream
	last       time.Time
	packet     packet // of the latest segment

	start    uint32 // sequence number of the SYN, where synced
	synced   bool   // the beginning was seen
	trusted  bool   // message boundaries are known; otherwise guessed
	proven   bool   // a message was read since
	expected uint32 // sequence number of the next byte in order
	buf      []byte // in order, the beginning of a message
	taken    int    // of buf, already made ready
	ahead    []segment
	held     int // bytes counted for ahead
}

// segment is data that waits for what comes before it.
type segment struct {
	seq  uint32
	data []byte
}

func (t *streams) init(d *Decoder) {
	t.d = d
	t.byKey = map[streamKey]*stream{}
	t.used.prev, t.used.next = &t.used, &t.used
}

// segment takes in a TCP segment (RFC 9293 §3.1).
func (t *streams) segment(p *packet, data []byte) {
	if len(data) < tcpHeader {
		t.d.counts.drop(tooShort(p, BadTCP))
		return
	}
	src, dst := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	if !t.d.wants(src, dst) {
		t.d.counts.drop(OtherPort)
		return
	}
	header := int(data[12]>>4) * 4
	if header < tcpHeader || header > len(data) {
		t.d.counts.drop(tooShort(p, BadTCP))
		return
	}
	if t.d.leave() {
		return
	}
	t.d.counts.segments.Add(1)
	t.expire(p.time)
	seq, flags := binary.BigEndian.Uint32(data[4:]), data[13]
	key := streamKey{src: netip.AddrPortFrom(p.src, src), dst: netip.AddrPortFrom(p.dst, dst), vlans: p.vlans}
	if flags&tcpACK != 0 {
		t.acknowledged(key, binary.BigEndian.Uint32(data[8:]), p.time)
	}
	t.control(key, p, seq, flags)
	if flags&tcpSYN != 0 {
		seq++
	}
	if payload := data[header:]; len(payload) > 0 {
		t.payload(key, p, seq, payload)
	}
}

// acknowledged looks at what the receiver of the other direction says it has: a
// gap within that is missing from the capture for good.
func (t *streams) acknowledged(key streamKey, ack uint32, now time.Time) {
	key.src, key.dst = key.dst, key.src
	s := t.byKey[key]
	if s == nil || len(s.ahead) == 0 || s.stale(now) {
		return
	}
	for len(s.ahead) > 0 && distance(s.ahead[0].seq, ack) >= 0 {
		t.skipGap(s)
	}
}

// control begins and ends streams.
func (t *streams) control(key streamKey, p *packet, seq uint32, flags uint8) {
	s := t.byKey[key]
	switch {
	case flags&tcpSYN != 0:
		if s != nil && s.synced && s.start == seq && !s.stale(p.time) {
			return // repeated
		}
		s = t.renew(key, p)
		s.start, s.synced, s.trusted, s.expected = seq, true, true, seq+1
	case flags&tcpRST != 0 && s != nil:
		t.give(s, StreamsLate)
	}
}

// expire gives up streams that were silent for too long.
func (t *streams) expire(now time.Time) {
	for s := t.used.prev; s != &t.used && s.stale(now); s = t.used.prev {
		t.remove(s, StreamsLate)
	}
}

// renew returns an empty stream for the key.
func (t *streams) renew(key streamKey, p *packet) *stream {
	s := t.byKey[key]
	if s == nil {
		if len(t.byKey) == maxStreams {
			t.remove(t.used.prev, StreamsFull)
		}
		s = &stream{key: key}
		t.byKey[key] = s
		s.prev, s.next = s, s
	} else {
		t.give(s, lateOr(s, p.time, StreamGap))
	}
	s.synced, s.trusted, s.proven = false, false, false
	t.touch(s, p)
	return s
}

// lateOr returns StreamsLate for a stream that was silent for too long.
func lateOr(s *stream, now time.Time, otherwise Reason) Reason {
	if s.stale(now) {
		return StreamsLate
	}
	return otherwise
}

// stale reports whether a stream was silent for too long, or the clock of the
// capture went back as far.
func (s *stream) stale(now time.Time) bool {
	age := now.Sub(s.last)
	return age > streamPatience || age < -streamPatience
}

// touch notes the latest segment of a stream.
func (t *streams) touch(s *stream, p *packet) {
	s.last, s.packet = p.time, *p
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = &t.used, t.used.next
	s.prev.next, s.next.prev = s, s
}

// remove forgets a stream. What it held is lost for this reason.
func (t *streams) remove(s *stream, why Reason) {
	t.give(s, why)
	delete(t.byKey, s.key)
	s.prev.next, s.next.prev = s.next, s.prev
}

// give gives up what a stream holds: what can be read beyond its gaps is made
// ready, the rest is lost for this reason.
func (t *streams) give(s *stream, why Reason) {
	for len(s.ahead) > 0 {
		t.skipGap(s)
	}
	t.drop(s, why)
}

// drop forgets the beginning of a message.
func (t *streams) drop(s *stream, why Reason) {
	if len(s.buf) > s.taken {
		t.d.counts.drop(why)
	}
	t.release(s)
}

// distance returns how far b lies behind a, in sequence numbers.
func distance(a, b uint32) int { return int(int32(b - a)) }

// payload takes in data of a stream.
func (t *streams) payload(key streamKey, p *packet, seq uint32, data []byte) {
	s := t.byKey[key]
	if s != nil && (s.stale(p.time) || off(distance(s.expected, seq))) {
		t.remove(s, lateOr(s, p.time, StreamGap))
		s = nil
	}
	if s == nil {
		if !plausible(data) {
			t.d.counts.drop(MidStream)
			return
		}
		s = t.renew(key, p)
		s.expected = seq
	}
	t.touch(s, p)
	ahead := distance(s.expected, seq)
	switch {
	case ahead > 0:
		t.keep(s, seq, data)
	case -ahead >= len(data):
		t.d.counts.drop(Repeated)
	default:
		t.inOrder(s, data[-ahead:])
		t.catchUp(s)
	}
	t.bound()
}

// off reports whether a sequence number cannot be of this connection.
func off(distance int) bool { return distance > maxStreamJump || distance < -maxStreamJump }

// keep stores data that lies ahead.
func (t *streams) keep(s *stream, seq uint32, data []byte) {
	at, repeated := slices.BinarySearchFunc(s.ahead, seq, func(g segment, seq uint32) int { return distance(seq, g.seq) })
	if repeated && len(s.ahead[at].data) >= len(data) {
		t.d.counts.drop(Repeated)
		return
	}
	s.ahead = slices.Insert(s.ahead, at, segment{seq: seq, data: slices.Clone(data)})
	t.account(s, len(data)+streamBookkeeping)
	for len(s.ahead) > maxAheadSegments || s.held > maxAheadBytes {
		t.skipGap(s)
	}
}

func (t *streams) account(s *stream, n int) {
	s.held += n
	t.bytes += n
}

// catchUp takes in what no longer waits.
func (t *streams) catchUp(s *stream) {
	for len(s.ahead) > 0 {
		late := distance(s.ahead[0].seq, s.expected)
		if late < 0 {
			return
		}
		if g := t.shift(s); late < len(g.data) {
			t.inOrder(s, g.data[late:])
		}
	}
}

// shift removes the first waiting segment.
func (t *streams) shift(s *stream) segment {
	g := s.ahead[0]
	s.ahead = slices.Delete(s.ahead, 0, 1)
	t.account(s, -len(g.data)-streamBookkeeping)
	return g
}

// skipGap goes on behind the first gap, where a message boundary is found.
func (t *streams) skipGap(s *stream) {
	t.d.counts.drop(StreamGap)
	t.discard(s)
	s.expected = s.ahead[0].seq
	t.catchUp(s)
}

// discard forgets the beginning of a message without counting it again, and with
// it the message boundaries.
func (t *streams) discard(s *stream) {
	t.release(s)
	s.trusted, s.proven = false, false
}

// release lets go of the buffer. Messages that are ready may still lie in it, so
// it is never written again.
func (t *streams) release(s *stream) {
	t.bytes -= cap(s.buf)
	s.buf, s.taken = nil, 0
}

// bound keeps all streams within their memory, at the cost of those used least.
func (t *streams) bound() {
	for t.bytes > maxStreamBytes && t.used.prev != &t.used {
		t.remove(t.used.prev, StreamsFull)
	}
}

// inOrder takes in the next bytes of a stream, and makes its complete messages
// ready: out of data itself where no message was begun, for that is the rule.
func (t *streams) inOrder(s *stream, data []byte) {
	s.expected += uint32(len(data))
	if len(s.buf) == 0 {
		t.boundary(s, data)
		return
	}
	t.grow(s, data)
	taken, ok := t.messages(s, s.buf[s.taken:])
	if !ok {
		return
	}
	if s.taken += taken; s.taken == len(s.buf) {
		t.release(s)
	}
}

// boundary takes in data that begins with a message, and keeps what is left of it.
func (t *streams) boundary(s *stream, data []byte) {
	if !s.trusted && !plausible(data) {
		t.d.counts.drop(MidStream)
		return
	}
	taken, ok := t.messages(s, data)
	if ok && taken < len(data) {
		t.grow(s, data[taken:])
	}
}

// grow appends data to the buffer; a message that is ready stays where it is.
func (t *streams) grow(s *stream, data []byte) {
	before := cap(s.buf)
	if s.taken > 0 {
		s.buf, s.taken = slices.Clone(s.buf[s.taken:]), 0
	}
	s.buf = append(s.buf, data...)
	t.bytes += cap(s.buf) - before
}

// messages makes ready what is complete of data, and returns its length. It is
// false when the stream turned out not to be DNS from here on.
func (t *streams) messages(s *stream, data []byte) (taken int, ok bool) {
	for len(data)-taken >= lengthSize {
		length := int(binary.BigEndian.Uint16(data[taken:]))
		rest := data[taken+lengthSize:]
		switch {
		case length < headerSize && !s.trusted, len(rest) < length && !s.proven && absurd(rest):
			return 0, t.lose(s)
		case len(rest) < length:
			return taken, true
		case length < headerSize: // nothing that could be a message, but a boundary
			t.d.counts.drop(BadHeader)
			taken += lengthSize + length
			continue
		case !s.trusted && !isMessage(rest[:length]):
			return 0, t.lose(s)
		}
		s.trusted, s.proven = true, true
		s.packet.cut = false // a message of a stream is whole
		t.d.add(&s.packet, TCP, s.key.src.Port(), s.key.dst.Port(), rest[:length:length])
		taken += lengthSize + length
	}
	return taken, true
}

// lose counts that the message boundaries were lost, or guessed wrong.
func (t *streams) lose(s *stream) bool {
	if s.trusted {
		t.d.counts.drop(BadStream)
	} else {
		t.d.counts.drop(MidStream)
	}
	t.discard(s)
	return false
}

// flush gives up all streams.
func (t *streams) flush() {
	for t.used.prev != &t.used {
		t.remove(t.used.prev, StreamsLate)
	}
}

// isMessage reports whether data can be a whole message.
func isMessage(data []byte) bool {
	m := Message{Raw: data}
	return m.parse() == nil && sane(data)
}

// plausible reports whether a message with its length may begin at data.
func plausible(data []byte) bool {
	if len(data) < lengthSize {
		return false
	}
	length := int(binary.BigEndian.Uint16(data))
	rest := data[lengthSize:]
	if length < headerSize {
		return false
	}
	if len(rest) < headerSize {
		return true
	}
	m := Message{Raw: rest[:min(length, len(rest))]}
	err := m.parse()
	return sane(rest) && (err == nil || (err == errCut && len(rest) < length))
}

// absurd reports whether a stream that begins so is nothing of DNS: who waited for
// the end of what it takes for a message would miss what comes.
func absurd(beginning []byte) bool { return len(beginning) >= headerSize && !sane(beginning) }

// sane reports whether a header has a known opcode and at most one question, as
// all that is seen in the wild.
func sane(header []byte) bool {
	opcode := header[2] >> 3 & 0xf
	return opcode <= 6 && opcode != 3 && binary.BigEndian.Uint16(header[4:]) <= 1
}
