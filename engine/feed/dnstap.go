package feed

import (
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// Families are the kinds of dnstap messages, by who speaks with whom. A lookup of
// a client is one message of CLIENT, or of AUTH where the server answers from its
// own zones; the others are what a server asks on its behalf (RESOLVER, FORWARDER),
// what a program asks for itself (STUB, TOOL), and updates.
var Families = []string{"auth", "resolver", "client", "forwarder", "stub", "tool", "update"}

// DefaultFamilies are those that make each lookup of a client one event.
var DefaultFamilies = []string{"client", "auth"}

// taps knows which dnstap messages are asked for: the bit of a family is its place
// in Families.
type taps uint

// newTaps takes names of Families; none are the default ones.
func newTaps(families []string) (taps, error) {
	if len(families) == 0 {
		families = DefaultFamilies
	}
	var t taps
	for _, name := range families {
		i := slices.Index(Families, name)
		if i < 0 {
			return 0, engine.Errorf(engine.Invalid, "dnstap messages: got %q, want some of %q", name, Families)
		}
		t |= 1 << i
	}
	return t, nil
}

// The numbers of fields (https://github.com/dnstap/dnstap.pb, dnstap.proto).
const (
	tapMessage = 14 // of Dnstap

	tapType            = 1 // of Message
	tapProtocol        = 3
	tapQueryAddress    = 4
	tapResponseAddress = 5
	tapQueryPort       = 6
	tapResponsePort    = 7
	tapQuerySec        = 8
	tapQueryNsec       = 9
	tapQuery           = 10
	tapResponseSec     = 12
	tapResponseNsec    = 13
	tapResponse        = 14
)

// tapped is a dnstap message as it was sent: numbers by field, and bytes.
type tapped struct {
	number [16]uint64
	bytes  [16][]byte
}

// read decodes one frame into e. The wire form aliases frame.
func (t taps) read(frame []byte, e *entry) (reason string) {
	message, ok := tapField(frame, tapMessage)
	if !ok {
		return badFrame
	}
	if message == nil {
		return otherMessage // of a type of dnstap to come
	}
	var m tapped
	if !m.decode(message) {
		return badFrame
	}
	kind := m.number[tapType]
	if kind == 0 || kind > uint64(2*len(Families)) || t>>((kind-1)/2)&1 == 0 {
		return otherMessage
	}
	return m.entry(e, kind%2 == 0)
}

// tapField returns the bytes of one field of a message; nil when it is not there.
func tapField(b []byte, want protowire.Number) (value []byte, ok bool) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		b = b[n:]
		if number == want && kind == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil, false
			}
			value, b = v, b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil, false
		}
		b = b[n:]
	}
	return value, true
}

// decode reads the fields of a Message.
func (m *tapped) decode(b []byte) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		known := number < protowire.Number(len(m.number))
		switch {
		case known && kind == protowire.VarintType:
			m.number[number], n = protowire.ConsumeVarint(b)
		case known && kind == protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			m.number[number] = uint64(v)
		case known && kind == protowire.BytesType:
			m.bytes[number], n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// entry takes from the message what one of its sides said.
func (m *tapped) entry(e *entry, response bool) (reason string) {
	at, nsec, wire := m.number[tapQuerySec], m.number[tapQueryNsec], m.bytes[tapQuery]
	if response {
		at, nsec, wire = m.number[tapResponseSec], m.number[tapResponseNsec], m.bytes[tapResponse]
	}
	if at > maxUnixSeconds || nsec >= uint64(time.Second) {
		return badTime
	}
	if len(wire) == 0 {
		return badMessage
	}
	var good, fine bool
	e.Client, good = tapAddress(m.bytes[tapQueryAddress], m.number[tapQueryPort])
	e.Server, fine = tapAddress(m.bytes[tapResponseAddress], m.number[tapResponsePort])
	if !good || !fine {
		return badAddress
	}
	e.Time = time.Unix(int64(at), int64(nsec)).UTC()
	e.Response, e.wire, e.Proto = response, wire, tapProto(m.number[tapProtocol])
	return ""
}

// tapAddress reads an address of 4 or 16 bytes; a server may leave it out.
func tapAddress(b []byte, port uint64) (netip.AddrPort, bool) {
	a, ok := netip.AddrFromSlice(b)
	if port > 1<<16-1 || (!ok && len(b) > 0) {
		return netip.AddrPort{}, false
	}
	if !ok {
		return netip.AddrPort{}, true
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), true
}

// tapProto tells the transport: UDP, DNSCrypt over UDP and QUIC are datagrams; TCP,
// TLS, HTTPS and DNSCrypt over TCP are streams.
func tapProto(number uint64) capture.Proto {
	switch number {
	case 2, 3, 4, 6:
		return capture.TCP
	}
	return capture.UDP
}
