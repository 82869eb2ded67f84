package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// Proto is the transport of a message.
type Proto uint8

// The transports, by their IP protocol numbers.
const (
	TCP Proto = 6
	UDP Proto = 17
)

// String returns "udp" or "tcp".
func (p Proto) String() string {
	if p == TCP {
		return "tcp"
	}
	return "udp"
}

// Service is the protocol that a message belongs to, told by its port.
type Service uint8

// The services.
const (
	DNS   Service = iota
	MDNS          // port 5353, RFC 6762
	LLMNR         // port 5355, RFC 4795
)

// String returns "dns", "mdns" or "llmnr".
func (s Service) String() string { return [...]string{"dns", "mdns", "llmnr"}[s] }

// The bits of the header's flags (RFC 1035 §4.1.1, RFC 2535 §6.1).
const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagRA = 1 << 7
	flagZ  = 1 << 6
	flagAD = 1 << 5
	flagCD = 1 << 4
)

// headerSize is the length of a DNS header.
const headerSize = 12

// mdnsTopBit is, in mDNS, no part of a class (RFC 6762 §5.4, §10.2).
const mdnsTopBit = 1 << 15

// Message is one DNS message and where it came from. The header and the first
// question are decoded; the rest is decoded by Records, Fields and Decoded, when
// they are called.
//
// A message that a Reader or a Decoder returned is valid until their next call;
// Clone keeps it.
type Message struct {
	Time time.Time // UTC; of the frame that completed the message
	// Client is who asked, also in a response; Server is who was asked. For a
	// response sent to a group, as mDNS does, Client is the group.
	Client, Server netip.AddrPort
	Proto          Proto
	Service        Service
	// ClientMAC is the client's side of the frame: the source of a query, the
	// destination of a response. It is zero where the link has no addresses, or
	// the destination is a group.
	ClientMAC MAC
	VLANs     VLANs
	// Raw is the message in wire format, without the length of TCP.
	Raw []byte
	// Cut says that the capture kept only the beginning of Raw.
	Cut bool

	ID       uint16
	Flags    uint16 // as in the header, opcode and response code included
	Question bool   // whether there is a question; where not, the next three are empty
	Name     []byte // lower case, no trailing dot, \DDD for what does not print; the root is "."
	Type     uint16
	Class    uint16 // in mDNS, without the bit that asks for a unicast response

	counts  [4]uint16 // records by section
	body    int       // offset in Raw after the first question
	decoded *dns.Msg

	optSought bool    // whether optAt was looked for, where there are additional records
	optAt     outline // zero: there is none
}

// Response reports whether the message is a response.
func (m *Message) Response() bool { return m.Flags&flagQR != 0 }

// Truncated reports whether the sender left records out (the TC bit).
func (m *Message) Truncated() bool { return m.Flags&flagTC != 0 }

// Opcode returns the kind of the query, as in "QUERY" or "OPCODE7".
func (m *Message) Opcode() string {
	code := int(m.Flags >> 11 & 0xf)
	if code == dns.OpcodeQuery {
		return "QUERY"
	}
	if name, ok := dns.OpcodeToString[code]; ok {
		return name
	}
	return "OPCODE" + strconv.Itoa(code)
}

// TypeName returns the type that the question asks for, as in "AAAA" or
// "TYPE65280", and "" without a question.
func (m *Message) TypeName() string {
	if !m.Question {
		return ""
	}
	return typeName(m.Type)
}

// ClassName returns the class of the question, as in "IN" or "CLASS7", and ""
// without a question.
func (m *Message) ClassName() string {
	if !m.Question {
		return ""
	}
	return className(m.Class)
}

func className(class uint16) string {
	if class == dns.ClassINET {
		return "IN"
	}
	if name, ok := dns.ClassToString[class]; ok {
		return name
	}
	return "CLASS" + strconv.Itoa(int(class))
}

// commonTypes are the names of the types with low numbers.
var commonTypes = func() (names [258]string) {
	for t := range names {
		names[t] = findTypeName(uint16(t))
	}
	return names
}()

// typeName names a type as RFC 3597 §5 does where it has no name.
func typeName(t uint16) string {
	if int(t) < len(commonTypes) {
		return commonTypes[t]
	}
	return findTypeName(t)
}

func findTypeName(t uint16) string {
	if name, ok := dns.TypeToString[t]; ok && t != dns.TypeNone && t != dns.TypeReserved {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// flagNames are the flags that are shown, in the order of the header.
var flagNames = []struct {
	bit  uint16
	name string
}{
	{flagAA, "AA"}, {flagTC, "TC"}, {flagRD, "RD"}, {flagRA, "RA"}, {flagZ, "Z"}, {flagAD, "AD"}, {flagCD, "CD"},
}

// FlagNames returns the flags that are set, of AA, TC, RD, RA, Z, AD and CD; QR is
// what Response says.
func (m *Message) FlagNames() []string {
	names := make([]string, 0, len(flagNames))
	for _, f := range flagNames {
		if m.Flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

// Clone returns a copy that shares nothing with m.
func (m *Message) Clone() *Message {
	copied := *m
	copied.Raw = slices.Clone(m.Raw)
	copied.Name = slices.Clone(m.Name)
	if m.decoded != nil {
		copied.decoded = m.decoded.Copy()
	}
	return &copied
}

// Decoded decodes the whole message, once. It is stricter than Records: a record
// of any section that breaks the rules of its type is an error.
func (m *Message) Decoded() (*dns.Msg, error) {
	if m.decoded != nil {
		return m.decoded, nil
	}
	msg := new(dns.Msg)
	if err := msg.Unpack(m.Raw); err != nil {
		return nil, fmt.Errorf("DNS message %d of %s: %w", m.ID, m.Client, err)
	}
	m.decoded = msg
	return msg, nil
}

// parse reads the header and the first question of m.Raw into m.
func (m *Message) parse() error {
	raw := m.Raw
	m.decoded, m.Question, m.Type, m.Class, m.Name = nil, false, 0, 0, m.Name[:0]
	if len(raw) < headerSize {
		return errCut
	}
	m.ID = binary.BigEndian.Uint16(raw)
	m.Flags = binary.BigEndian.Uint16(raw[2:])
	for i := range m.counts {
		m.counts[i] = binary.BigEndian.Uint16(raw[4+2*i:])
	}
	m.optSought, m.optAt = m.counts[3] == 0, outline{}
	m.body = headerSize
	// Some servers refuse with a bare header that still counts the question.
	if m.counts[0] == 0 || (len(raw) == headerSize && m.Response()) {
		return nil
	}
	name, end, plain := plainName(m.Name, raw, headerSize)
	if !plain {
		var err error
		if name, end, err = appendName(name[:0], raw, headerSize); err != nil {
			m.Name = name
			return err
		}
	}
	m.Name = name
	if end+4 > len(raw) {
		return errCut
	}
	m.Question = true
	m.Type = binary.BigEndian.Uint16(raw[end:])
	m.Class = binary.BigEndian.Uint16(raw[end+2:])
	m.body = end + 4
	return nil
}

// route fills in who asked whom, once the header says whether it is a response.
func (m *Message) route(p *packet, proto Proto, src, dst uint16) {
	from, to := netip.AddrPortFrom(p.src, src), netip.AddrPortFrom(p.dst, dst)
	m.Client, m.Server, m.ClientMAC = from, to, p.srcMAC
	if m.Response() {
		m.Client, m.Server, m.ClientMAC = to, from, p.dstMAC
	}
	if m.ClientMAC.isGroup() {
		m.ClientMAC = MAC{}
	}
	m.Time, m.VLANs, m.Proto, m.Cut = p.time, p.vlans, proto, p.cut
	m.classify()
}

// classify tells the service by the ports.
func (m *Message) classify() {
	m.Service = serviceOf(m.Server.Port(), m.Client.Port())
	if m.Service == MDNS {
		m.Class &^= mdnsTopBit
	}
}

// serviceOf tells the service by the server's port, else by the client's.
func serviceOf(server, client uint16) Service {
	for _, port := range [...]uint16{server, client} {
		switch port {
		case 53:
			return DNS
		case 5353:
			return MDNS
		case 5355:
			return LLMNR
		}
	}
	return DNS
}
