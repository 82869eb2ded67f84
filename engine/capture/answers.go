package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// AnswerWalk goes over the answers of a message, one at a time, and allocates
// nothing:
//
//	for w := m.Answers(); w.Next(); {
//		name = w.AppendName(name[:0])
//		…
//	}
//
// It is valid as long as the message is. Like other decoders it takes the end of
// the message between two records for the end of the section, unless the capture
// cut the message.
type AnswerWalk struct {
	// Type, Class and TTL (in seconds) are those of the record where the walk is.
	Type, Class uint16
	TTL         uint32

	m       *Message
	records recordWalk
	left    int
	at      outline
	err     error
}

// Answers returns a walk over the answers; it stands before the first.
func (m *Message) Answers() AnswerWalk {
	w := AnswerWalk{m: m, left: int(m.counts[1])}
	w.records, w.err = m.records()
	return w
}

// Next goes to the next record and reports whether there is one. A record with a
// malformed name, or data that is a malformed name, ends the walk.
func (w *AnswerWalk) Next() bool {
	if w.left == 0 || w.err != nil || (!w.m.Cut && w.records.off >= len(w.m.Raw)) {
		return false
	}
	w.left--
	if w.at, w.err = w.records.next(); w.err != nil {
		return false
	}
	w.Type, w.Class, w.TTL = w.at.kind, w.at.class, w.at.ttl
	if w.err = w.m.checkName(w.at.start); w.err == nil && isName(w.at.kind) && w.at.data < w.at.end {
		w.err = w.m.checkName(w.at.data)
	}
	return w.err == nil
}

// Err returns what was malformed, once Next returned false; nil after a whole walk.
func (w *AnswerWalk) Err() error { return w.err }

// AppendName appends the record's name, written as Message.Name is.
func (w *AnswerWalk) AppendName(dst []byte) []byte {
	return w.m.appendOwner(dst, w.at.start)
}

// TypeName returns the name of the record's type, as in "AAAA" or "TYPE65280".
func (w *AnswerWalk) TypeName() string { return typeName(w.Type) }

// AppendData appends what Record.Data is.
func (w *AnswerWalk) AppendData(dst []byte) []byte { return w.at.appendData(dst, w.m.Raw) }

// Wire returns the record's data in wire format; names in it may be compressed.
func (w *AnswerWalk) Wire() []byte { return w.m.Raw[w.at.data:w.at.end] }

// Addr returns the address of an A or AAAA record; of others the zero Addr.
func (w *AnswerWalk) Addr() netip.Addr {
	switch data := w.Wire(); {
	case w.Type == dns.TypeA && len(data) == 4:
		return netip.AddrFrom4([4]byte(data))
	case w.Type == dns.TypeAAAA && len(data) == 16:
		return netip.AddrFrom16([16]byte(data))
	}
	return netip.Addr{}
}

// IsTarget reports whether the record leads to another name, which AppendData
// appends: a CNAME or a DNAME.
func (w *AnswerWalk) IsTarget() bool {
	if w.Type != dns.TypeCNAME && w.Type != dns.TypeDNAME {
		return false
	}
	end, err := skipName(w.m.Raw, w.at.data)
	return err == nil && end == w.at.end
}

// appendOwner appends the name at off, which is not malformed.
func (m *Message) appendOwner(dst []byte, off int) []byte {
	if m.isQuestion(off) {
		return append(dst, m.Name...)
	}
	dst, _, _ = appendName(dst, m.Raw, off)
	return dst
}

// isQuestion reports whether the name at off is a pointer to that of the question,
// as most are.
func (m *Message) isQuestion(off int) bool {
	return m.Question && off > headerSize && off+1 < len(m.Raw) && m.Raw[off] == 0xc0 && m.Raw[off+1] == headerSize
}

// checkName returns what is wrong with the name at off.
func (m *Message) checkName(off int) error {
	if m.isQuestion(off) {
		return nil
	}
	msg := m.Raw
	pointers, length, limit := 0, 1, off
	for {
		if off >= len(msg) {
			return errCut
		}
		n := int(msg[off])
		switch {
		case n == 0:
			return nil
		case n < 64:
			if off += 1 + n; off > len(msg) {
				return errCut
			}
			if length += 1 + n; length > maxName {
				return errName
			}
		case n >= 0xc0:
			if off+1 >= len(msg) {
				return errCut
			}
			off = (n&0x3f)<<8 | int(msg[off+1])
			if pointers++; off >= limit || pointers > maxPointers {
				return errName
			}
			limit = off
		default:
			return errName
		}
	}
}

// records returns a walk over the records of the message.
func (m *Message) records() (recordWalk, error) {
	q := QuestionWalk{m: m, off: m.body, left: int(m.counts[0]) - 1}
	for q.skip() {
	}
	return recordWalk{raw: m.Raw, off: q.off}, q.err
}

// QuestionWalk goes over the questions after the first; only mDNS has such (RFC
// 6762 §5.3). It is used like an AnswerWalk.
type QuestionWalk struct {
	// Name, Type and Class are written as those of the message. Name is valid
	// until the next call of Next.
	Name        []byte
	Type, Class uint16

	m    *Message
	off  int
	left int
	err  error
}

// MoreQuestions returns a walk over the questions after the first.
func (m *Message) MoreQuestions() QuestionWalk {
	return QuestionWalk{m: m, off: m.body, left: int(m.counts[0]) - 1}
}

// Next goes to the next question and reports whether there is one. A malformed one
// ends the walk.
func (w *QuestionWalk) Next() bool {
	start := w.off
	if !w.skip() {
		return false
	}
	w.Name, _, w.err = appendName(w.Name[:0], w.m.Raw, start)
	w.Type = binary.BigEndian.Uint16(w.m.Raw[w.off-4:])
	w.Class = binary.BigEndian.Uint16(w.m.Raw[w.off-2:])
	if w.m.Service == MDNS {
		w.Class &^= mdnsTopBit
	}
	return w.err == nil
}

// TypeName returns the name of the type.
func (w *QuestionWalk) TypeName() string { return typeName(w.Type) }

// ClassName returns the name of the class.
func (w *QuestionWalk) ClassName() string { return className(w.Class) }

// skip goes behind the next question without reading it.
func (w *QuestionWalk) skip() bool {
	if !w.m.Question || w.left <= 0 || w.err != nil || w.off >= len(w.m.Raw) {
		return false
	}
	w.left--
	end, err := skipName(w.m.Raw, w.off)
	if err == nil && end+4 > len(w.m.Raw) {
		err = errCut
	}
	if w.off, w.err = end+4, err; err != nil {
		w.off = len(w.m.Raw)
	}
	return w.err == nil
}

// recordWalk goes from record to record, looking only at their outlines.
type recordWalk struct {
	raw []byte
	off int
}

// outline says where a record and its data lie in the message.
type outline struct {
	start, data, end int
	kind, class      uint16
	ttl              uint32
}

func (w *recordWalk) next() (outline, error) {
	end, err := skipName(w.raw, w.off)
	if err != nil {
		return outline{}, err
	}
	if end+recordHeaderSize > len(w.raw) {
		return outline{}, errCut
	}
	head := w.raw[end:]
	r := outline{
		start: w.off, data: end + recordHeaderSize,
		kind: binary.BigEndian.Uint16(head), class: binary.BigEndian.Uint16(head[2:]), ttl: binary.BigEndian.Uint32(head[4:]),
	}
	r.end = r.data + int(binary.BigEndian.Uint16(head[8:]))
	if r.end > len(w.raw) {
		return outline{}, errCut
	}
	w.off = r.end
	return r, nil
}
