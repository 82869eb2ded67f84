package capture

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"

	"github.com/miekg/dns"
)

// Said is what a log says of a DNS message. What a log leaves out stays zero.
type Said struct {
	Time           time.Time
	Client, Server netip.AddrPort // zero: not known; ports may be 0
	ClientMAC      MAC
	Proto          Proto // 0: UDP
	ID             uint16
	Response       bool
	// Flags are further bits of the header, as in Message.Flags; the bits of the
	// response code and the one that says response are set here.
	Flags uint16
	// Name is in presentation form, with or without its last dot; "" is a message
	// without a question. Bytes beyond ASCII stand for themselves.
	Name  string
	Type  string // "A", "TYPE65280", or a number; "": A
	Class string // "IN", "CLASS7", or a number; "": IN
	Rcode string // "NXDOMAIN", "RCODE24", or a number; "": NOERROR
	// Answers have their Data in presentation form (RFC 1035 §5.1) or in the form
	// of RFC 3597 §5.
	Answers []Record
}

// Compose makes the message that a log tells of, with a wire form that it might
// have had, so that all that is done with messages can be done with it. It shares
// nothing with s. An error, of kind Invalid, says which value is none of DNS.
func Compose(s Said) (*Message, error) {
	msg, err := s.message()
	if err != nil {
		return nil, err
	}
	raw, err := msg.Pack()
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "DNS message about %q: %w", s.Name, err)
	}
	m := new(Message)
	return m, FromWire(m, Wire{Time: s.Time, Client: s.Client, Server: s.Server, ClientMAC: s.ClientMAC, Proto: s.Proto, Raw: raw})
}

func (s *Said) message() (*dns.Msg, error) {
	rcode, err := rcodeOf(s.Rcode)
	if err != nil {
		return nil, err
	}
	msg := &dns.Msg{Compress: true, MsgHdr: dns.MsgHdr{
		Id: s.ID, Response: s.Response, Opcode: int(s.Flags >> 11 & 0xf), Rcode: rcode,
		Authoritative: s.Flags&flagAA != 0, Truncated: s.Flags&flagTC != 0, RecursionDesired: s.Flags&flagRD != 0,
		RecursionAvailable: s.Flags&flagRA != 0, Zero: s.Flags&flagZ != 0, AuthenticatedData: s.Flags&flagAD != 0, CheckingDisabled: s.Flags&flagCD != 0,
	}}
	if rcode > 0xf {
		msg.SetEdns0(dns.MinMsgSize, false)
	}
	if s.Name != "" {
		question, err := s.question()
		if err != nil {
			return nil, err
		}
		msg.Question = []dns.Question{question}
	}
	for _, r := range s.Answers {
		rr, err := r.parse()
		if err != nil {
			return nil, err
		}
		msg.Answer = append(msg.Answer, rr)
	}
	return msg, nil
}

func (s *Said) question() (q dns.Question, err error) {
	q.Name = absolute(s.Name)
	if q.Qtype, err = codeOf(cmp.Or(s.Type, "A"), "TYPE", 0xffff, dns.StringToType); err != nil {
		return q, err
	}
	q.Qclass, err = codeOf(cmp.Or(s.Class, "IN"), "CLASS", 0xffff, dns.StringToClass)
	return q, err
}

// absolute returns a name with its last dot.
func absolute(name string) string { return dns.Fqdn(name) }

// codeOf reads a code by its name, by the prefix that codes without a name have
// (RFC 3597 §5), or as a number of at most this size. "" is 0.
func codeOf[N int | uint16](text, prefix string, most N, names map[string]N) (N, error) {
	if text == "" {
		return 0, nil
	}
	upper := strings.ToUpper(text)
	if code, ok := names[upper]; ok {
		return code, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(upper, prefix), 10, 16)
	if err != nil || N(n) > most {
		return 0, engine.Errorf(engine.Invalid, "DNS %s: got %q, want a name as in RFC 1035, %s and a number, or a number up to %d", strings.ToLower(prefix), text, prefix, most)
	}
	return N(n), nil
}

func rcodeOf(text string) (int, error) {
	if strings.EqualFold(text, "BADVERS") {
		return dns.RcodeBadVers, nil
	}
	return codeOf(text, "RCODE", 0xfff, dns.StringToRcode)
}

// parse makes a record of its presentation form.
func (r *Record) parse() (dns.RR, error) {
	kind, err := codeOf(r.Type, "TYPE", 0xffff, dns.StringToType)
	if err != nil {
		return nil, err
	}
	head := dns.RR_Header{Name: absolute(r.Name), Rrtype: kind, Class: dns.ClassINET, Ttl: r.TTL}
	addr, _ := netip.ParseAddr(r.Data)
	switch {
	case r.Data == "":
		return &dns.RFC3597{Hdr: head}, nil
	case kind == dns.TypeA && addr.Is4():
		return &dns.A{Hdr: head, A: addr.AsSlice()}, nil
	case kind == dns.TypeAAAA && addr.Is6():
		return &dns.AAAA{Hdr: head, AAAA: addr.AsSlice()}, nil
	case kind == dns.TypeCNAME: // most others are rare, and read as in a zone file
		return &dns.CNAME{Hdr: head, Target: absolute(r.Data)}, nil
	case strings.HasPrefix(r.Data, `\#`): // needs not follow the rules of its type
		return r.parseGeneric(head)
	case strings.ContainsRune(r.Data, '\n'): // would end the record
		return nil, r.invalid(fmt.Errorf("the data has several lines"))
	}
	rr, err := dns.NewRR(". IN " + typeName(kind) + " " + r.Data)
	if err != nil {
		return nil, r.invalid(err)
	}
	if rr == nil {
		return nil, r.invalid(fmt.Errorf("the data is a comment"))
	}
	head.Class = rr.Header().Class
	*rr.Header() = head
	return rr, nil
}

// parseGeneric reads the form of RFC 3597 §5: \# LENGTH HEX…
func (r *Record) parseGeneric(head dns.RR_Header) (dns.RR, error) {
	words := strings.Fields(strings.TrimPrefix(r.Data, `\#`))
	if len(words) == 0 {
		return nil, r.invalid(fmt.Errorf("want a length after \\#"))
	}
	data, err := hex.DecodeString(strings.Join(words[1:], ""))
	switch {
	case err != nil:
		return nil, r.invalid(err)
	case words[0] != strconv.Itoa(len(data)):
		return nil, r.invalid(fmt.Errorf("got %d bytes, want %s", len(data), words[0]))
	}
	return &dns.RFC3597{Hdr: head, Rdata: hex.EncodeToString(data)}, nil
}

func (r *Record) invalid(err error) error {
	return engine.Errorf(engine.Invalid, "DNS record %q of type %s: data %q: %w", r.Name, r.Type, r.Data, err)
}

// Wire is a message in wire format, and what is known of how it came.
type Wire struct {
	Time           time.Time
	Client, Server netip.AddrPort // zero: not known; ports may be 0
	ClientMAC      MAC
	VLANs          VLANs
	Proto          Proto // 0: UDP
	Raw            []byte
}

// FromWire reads the header and the first question of a message that came
// otherwise than in a frame, as by dnstap, into m, whose buffers are used again. m
// refers to w.Raw. An error is a Reason: why the bytes are no message; then m is
// not to be used.
func FromWire(m *Message, w Wire) error {
	m.Raw = w.Raw
	if err := m.parse(); err != nil {
		if len(w.Raw) < headerSize {
			return BadHeader
		}
		return BadQuestion
	}
	m.Time, m.Client, m.Server, m.ClientMAC, m.VLANs = w.Time.UTC(), w.Client, w.Server, w.ClientMAC, w.VLANs
	m.Proto, m.Cut = w.Proto, false
	if m.Proto == 0 {
		m.Proto = UDP
	}
	m.classify()
	return nil
}
