package dnsprint

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"larkspur/engine/capture"
)

// A formatter writes messages as JSON objects, a line each. It reuses its memory
// from line to line.
type formatter struct {
	line, room []byte // room is for names and data before they become strings

	second int64  // since 1970, of stamp
	stamp  []byte // as in "2026-11-22T07:00:00"
	flags  [1 << 7]string
}

// format returns the object of a message and a line feed, valid until the next
// call. The keys of the contract with those who read the lines come first, in its
// order. An error says that the answers are malformed. pair is asked once they
// turned out not to be.
func (f *formatter) format(m *capture.Message, pair func(*capture.Message) capture.Pairing) ([]byte, error) {
	b := append(f.line[:0], `{"time": "`...)
	b = f.appendTime(b, m.Time)
	b = append(b, `", "client": "`...)
	b = appendEnd(b, m.Client, `", "client_port": `)
	b = append(b, `, "server": "`...)
	b = appendEnd(b, m.Server, `", "server_port": `)
	b = append(b, `, "proto": "`...)
	b = append(b, m.Proto.String()...)
	b = append(b, `", "id": `...)
	b = strconv.AppendUint(b, uint64(m.ID), 10)
	b = append(b, `, "response": `...)
	b = strconv.AppendBool(b, m.Response())
	b = appendKey(b, `, "opcode": `, m.Opcode())
	b = appendKey(b, `, "query": `, m.Name)
	b = appendKey(b, `, "type": `, m.TypeName())
	b = appendKey(b, `, "class": `, m.ClassName())
	b = appendKey(b, `, "rcode": `, m.Rcode())
	b = f.appendFlags(b, m)
	b, err := f.appendAnswers(b, m)
	if err == nil {
		b = f.appendRest(b, m, pair(m))
		b = append(b, '}', '\n')
	}
	f.line = b
	return b, err
}

// appendTime appends a time in UTC with nine decimals (RFC 3339).
func (f *formatter) appendTime(b []byte, t time.Time) []byte {
	if s := t.Unix(); s != f.second || len(f.stamp) == 0 {
		f.second, f.stamp = s, t.UTC().AppendFormat(f.stamp[:0], "2006-01-02T15:04:05")
	}
	b = append(append(b, f.stamp...), '.')
	for nanos, unit := t.Nanosecond(), 100_000_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+nanos/unit%10))
	}
	return append(b, 'Z')
}

// appendEnd appends address and port; an address that is not known is empty.
func appendEnd(b []byte, a netip.AddrPort, between string) []byte {
	if a.Addr().IsValid() {
		b = a.Addr().AppendTo(b)
	}
	return strconv.AppendUint(append(b, between...), uint64(a.Port()), 10)
}

// appendFlags appends the flags. There are 128 sets of them, so each is made once.
func (f *formatter) appendFlags(b []byte, m *capture.Message) []byte {
	set := &f.flags[m.Flags>>4%(1<<7)]
	if *set == "" {
		*set = string(append(appendList([]byte(`, "flags": [`), m.FlagNames()), ']'))
	}
	return append(b, *set...)
}

func appendList(b []byte, names []string) []byte {
	for i, name := range names {
		b = appendKey(b, comma(i), name)
	}
	return b
}

// comma returns what goes before the i-th part of a list.
func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

func (f *formatter) appendAnswers(b []byte, m *capture.Message) ([]byte, error) {
	b = append(b, `, "answers": [`...)
	w := m.Answers()
	for i := 0; w.Next(); i++ {
		b = append(b, comma(i)...)
		f.room = w.AppendName(f.room[:0])
		b = appendKey(b, `{"name": `, f.room)
		b = appendKey(b, `, "type": `, w.TypeName())
		b = append(b, `, "ttl": `...)
		b = strconv.AppendUint(b, uint64(w.TTL), 10)
		f.room = w.AppendData(f.room[:0])
		b = append(appendKey(b, `, "data": `, f.room), '}')
	}
	return append(b, ']'), w.Err()
}

// appendRest appends what few messages have.
func (f *formatter) appendRest(b []byte, m *capture.Message, p capture.Pairing) []byte {
	if !m.ClientMAC.IsZero() {
		b = append(b, `, "client_mac": "`...)
		b = append(m.ClientMAC.Append(b), '"')
	}
	if m.VLANs[0] != 0 {
		b = appendVLANs(b, m.VLANs)
	}
	if e, ok := m.EDNS(); ok {
		b = appendEDNS(b, e)
	}
	if p.Paired {
		b = append(b, `, "elapsed_ms": `...)
		b = strconv.AppendFloat(b, float64(p.Elapsed)/float64(time.Millisecond), 'f', -1, 64)
	}
	return f.appendQuestions(b, m)
}

func appendVLANs(b []byte, vlans capture.VLANs) []byte {
	b = append(b, `, "vlans": [`...)
	for i, id := range vlans.IDs() {
		b = strconv.AppendUint(append(b, comma(i)...), uint64(id), 10)
	}
	return append(b, ']')
}

// appendQuestions appends the questions after the first.
func (f *formatter) appendQuestions(b []byte, m *capture.Message) []byte {
	before := `, "more_questions": [{"name": `
	w := m.MoreQuestions()
	for w.Next() {
		b = appendKey(b, before, w.Name)
		b = appendKey(b, `, "type": `, w.TypeName())
		b = append(appendKey(b, `, "class": `, w.ClassName()), '}')
		before = `, {"name": `
	}
	if before[2] == '{' {
		b = append(b, ']')
	}
	return b
}

// appendEDNS appends what the OPT record says, as capture.Message.Fields does.
func appendEDNS(b []byte, e capture.EDNS) []byte {
	b = strconv.AppendUint(append(b, `, "edns": {"udp_size": `...), uint64(e.UDPSize), 10)
	b = strconv.AppendUint(append(b, `, "version": `...), uint64(e.Version), 10)
	b = append(appendList(append(b, `, "flags": [`...), e.FlagNames()), ']')
	if network, scope, ok := e.Subnet(); ok {
		b = append(network.AppendTo(append(b, `, "client_subnet": "`...)), `", "client_subnet_scope": `...)
		b = strconv.AppendUint(b, uint64(scope), 10)
	}
	for i, r := range e.Errors() {
		before := `, {"code": `
		if i == 0 {
			before = `, "errors": [{"code": `
		}
		b = strconv.AppendUint(append(b, before...), uint64(r.Code), 10)
		b = appendKey(b, `, "name": `, r.Name)
		b = append(appendKey(b, `, "text": `, r.Text), '}')
	}
	if len(e.Errors()) > 0 {
		b = append(b, ']')
	}
	return append(appendOptions(b, e), '}')
}

func appendOptions(b []byte, e capture.EDNS) []byte {
	options := e.Others()
	for i, o := range options {
		before := `, {"code": `
		if i == 0 {
			before = `, "options": [{"code": `
		}
		b = strconv.AppendUint(append(b, before...), uint64(o.Code), 10)
		b = appendKey(b, `, "name": `, o.Name())
		if o.IsPadding() {
			b = strconv.AppendInt(append(b, `, "length": `...), int64(len(o.Data)), 10)
		} else {
			b = append(hex.AppendEncode(append(b, `, "data": "`...), o.Data), '"')
		}
		b = append(b, '}')
	}
	if len(options) > 0 {
		b = append(b, ']')
	}
	return b
}

// appendKey appends a key as it is and a value as a JSON string.
func appendKey[T string | []byte](b []byte, key string, value T) []byte {
	return appendString(append(b, key...), value)
}

const hexDigits = "0123456789abcdef"

// bare are the bytes that stand for themselves in a JSON string.
var bare = func() (table [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && bare[s[i]] {
			i++
		}
		b = append(b, s[start:i]...)
		if i == len(s) {
			break
		}
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			b = utf8.AppendRune(b, r)
			i += size - 1
		}
		i++
	}
	return append(b, '"')
}
