package capture

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// RRs walks over the answer section of a message, without allocation.
type RRs struct {
	walk recordWalk
	left int
}

// AnswerRRs begins a walk over the answer section of a message in wire form.
func AnswerRRs(raw []byte) (RRs, error) {
	if len(raw) < headerSize {
		return RRs{}, errCut
	}
	w := recordWalk{raw: raw, off: headerSize}
	for range binary.BigEndian.Uint16(raw[4:]) {
		end, err := skipName(raw, w.off)
		if err != nil {
			return RRs{}, err
		}
		if w.off = end + 4; w.off > len(raw) {
			return RRs{}, errCut
		}
	}
	return RRs{walk: w, left: int(binary.BigEndian.Uint16(raw[6:]))}, nil
}

// RR is one record in the wire form of its message. It is valid as long as that.
type RR struct {
	Type, Class uint16
	TTL         uint32 // seconds
	Data        []byte // in wire form; names in it may be compressed

	raw []byte
	outline
}

// Next returns the next record; false at the end of the section, of the message,
// or where it is malformed, which is then the error.
func (s *RRs) Next() (r RR, ok bool, err error) {
	if s.left == 0 || s.walk.off >= len(s.walk.raw) {
		return r, false, nil
	}
	o, err := s.walk.next()
	if err != nil {
		return r, false, err
	}
	s.left--
	return RR{Type: o.kind, Class: o.class, TTL: o.ttl, Data: s.walk.raw[o.data:o.end], raw: s.walk.raw, outline: o}, true, nil
}

// AppendName appends the record's name, in the form of Message.Name.
func (r RR) AppendName(dst []byte) ([]byte, error) {
	name, _, err := appendName(dst, r.raw, r.start)
	return name, err
}

// SameName reports whether two records of a message have the very same bytes for
// a name, without following them.
func (r RR) SameName(other RR) bool {
	return string(r.raw[r.start:r.data-recordHeaderSize]) == string(other.raw[other.start:other.data-recordHeaderSize])
}

// AppendTarget appends the name that is the whole data of a CNAME, DNAME, NS or
// PTR record; an error where it is none.
func (r RR) AppendTarget(dst []byte) ([]byte, error) {
	name, end, err := appendName(dst, r.raw, r.data)
	if err == nil && end != r.end {
		err = errName
	}
	return name, err
}

// AppendPresent appends the data in presentation form, as Record.Data.
func (r RR) AppendPresent(dst []byte) []byte { return r.appendData(dst, r.raw) }

// PresentData returns the data of a type, whose names are not compressed, in
// presentation form, as Record.Data.
func PresentData(kind uint16, data []byte) string {
	raw := make([]byte, 1+recordHeaderSize, 1+recordHeaderSize+len(data))
	binary.BigEndian.PutUint16(raw[1:], kind)
	binary.BigEndian.PutUint16(raw[3:], dns.ClassINET)
	binary.BigEndian.PutUint16(raw[9:], uint16(len(data)))
	raw = append(raw, data...)
	r := outline{data: 1 + recordHeaderSize, end: len(raw), kind: kind, class: dns.ClassINET}
	return string(r.appendData(nil, raw))
}

// TypeName names a type, as in "AAAA" or "TYPE65280".
func TypeName(kind uint16) string { return typeName(kind) }

// NameOf returns a name in wire form, without pointers, in the form of
// Message.Name.
func NameOf(wire []byte) (string, error) {
	name, _, err := appendName(nil, wire, 0)
	return string(name), err
}

// GenericData returns data in the generic form of RFC 3597 §5.
func GenericData(data []byte) string { return string(appendGeneric(nil, data)) }

// ParseGeneric reads the generic form; false for another text.
func ParseGeneric(text string) ([]byte, bool) {
	rest, found := strings.CutPrefix(text, `\# `)
	length, digits, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(length)
	if !found || err != nil {
		return nil, false
	}
	data, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	return data, err == nil && len(data) == n
}

// PackData reads data of a type in presentation form (RFC 1035 §5.1) and returns
// it in wire form, without compression.
func PackData(kind uint16, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n\x00") || len(text) > 1<<16 {
		return nil, errors.New("not one line")
	}
	rr, err := dns.NewRR(". 0 IN " + typeName(kind) + " " + text)
	if err != nil || rr == nil {
		return nil, errors.New("not of the type's form")
	}
	wire := make([]byte, 1<<16)
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return nil, errors.New("not of the type's form")
	}
	return wire[1+recordHeaderSize : end], nil
}
