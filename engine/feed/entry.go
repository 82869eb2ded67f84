package feed

import (
	"bytes"
	"net/netip"
	"strconv"

	"larkspur/engine/capture"
)

// Reasons for which a line or a frame gives no message, by their names in
// statistics. Those of Ignored.
const (
	otherLine    = "other_line"    // a log line about something else
	otherMessage = "other_message" // a dnstap message of a kind that is not asked for
	unasked      = "unasked"       // an answer of which the log does not say who asked
)

// Those of Undecodable.
const (
	badLine    = "bad_line"
	badTime    = "bad_time"
	badAddress = "bad_address"
	badName    = "bad_name"
	badFrame   = "bad_frame"   // dnstap: no valid protobuf
	badMessage = "bad_message" // what no DNS message can say
)

// Reasons of Lost.
const (
	TooLong        = "too_long"        // a line or frame beyond the bound
	HalfLine       = "half_line"       // the file ended or was cut within a line
	MissedRotation = "missed_rotation" // times that a file was replaced before it was read to its end
	FeedFull       = "feed_full"       // dnstap frames that came faster than they were read
	PendingFull    = "pending_full"    // queries forgotten before their answers came, for want of room
)

// entry is what a log says of one message: in words, or where wire is there, by
// the message itself.
type entry struct {
	capture.Said
	wire []byte
}

// message makes the message of an entry, in m where it came in wire format.
func (e *entry) message(m *capture.Message) (*capture.Message, error) {
	e.Client, e.Server = ofDNS(e.Client), ofDNS(e.Server)
	if e.wire == nil {
		return capture.Compose(e.Said)
	}
	err := capture.FromWire(m, capture.Wire{Time: e.Time, Client: e.Client, Server: e.Server, ClientMAC: e.ClientMAC, Proto: e.Proto, Raw: e.wire})
	return m, err
}

// ofDNS leaves out the ports by which mDNS and LLMNR are told from DNS: a resolver
// may listen there, or a client ask from there, and what a feed tells is DNS.
func ofDNS(a netip.AddrPort) netip.AddrPort {
	if a.Port() == 5353 || a.Port() == 5355 {
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// The bits of flags that logs tell (RFC 1035 §4.1.1, RFC 2535 §6.1).
const (
	flagRD = 1 << 8
	flagCD = 1 << 4
)

// A parser takes in the lines of a log and makes entries of them. A line may give
// none, one or several; what is held back for lines still to come is given by
// flush.
type parser interface {
	// line takes in a line without its end. It returns "" or the reason, of
	// Ignored or Undecodable, why the line itself gives nothing.
	line(line []byte, out *[]entry) (reason string)
	flush(out *[]entry)
	// pending reports whether flush would give something.
	pending() bool
}

// ignored are the reasons that belong to capture.Stats.Ignored.
func ignored(reason string) bool {
	return reason == otherLine || reason == otherMessage || reason == unasked
}

// lost are the reasons that belong to capture.Stats.Lost.
func lost(reason string) bool {
	switch reason {
	case TooLong, HalfLine, MissedRotation, FeedFull, PendingFull:
		return true
	}
	return false
}

// cutField returns what precedes the first space of s, and what follows all
// spaces there.
func cutField(s []byte) (field, rest []byte) {
	i := bytes.IndexByte(s, ' ')
	if i < 0 {
		return s, nil
	}
	return s[:i], bytes.TrimLeft(s[i:], " ")
}

// parseAddr reads an address; zones of link-local ones are left out.
func parseAddr(text []byte) (netip.Addr, bool) {
	if len(text) > maxAddressText {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(text))
	return a.WithZone("").Unmap(), err == nil
}

const (
	// maxAddressText bounds an address with its zone.
	maxAddressText = 100
	// maxNameText bounds a name in presentation form: 255 octets, each at most
	// four characters.
	maxNameText = 4 * 255
)

// parsePort reads a port.
func parsePort(text []byte) (uint16, bool) {
	n, err := strconv.ParseUint(string(text), 10, 16)
	return uint16(n), err == nil
}

// escaped writes bytes that a program printed as they are in presentation form.
func escaped(name []byte) string {
	plain := true
	for _, c := range name {
		plain = plain && c > ' ' && c < 0x7f && c != '\\' && c != '"'
	}
	if plain {
		return string(name)
	}
	b := make([]byte, 0, len(name)+8)
	for _, c := range name {
		if c > ' ' && c < 0x7f && c != '\\' && c != '"' {
			b = append(b, c)
			continue
		}
		b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
	}
	return string(b)
}
