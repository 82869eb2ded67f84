package capture

import (
	"net/netip"

	"github.com/miekg/dns"

	"larkspur/engine"
)

// Sight fills in what rules look at before an event is made of the message. What s
// points to is the message's: it is valid as long as the message is. Paired is left
// as it is.
func (m *Message) Sight(s *engine.Sighting) {
	s.Name, s.Type, s.Response = m.Name, m.Type, m.Response()
	s.Proto = m.Proto.String()
	if m.Service != DNS {
		s.Proto = m.Service.String() // what rules call it
	}
	s.Client, s.ClientMAC, s.Answers = m.Client.Addr(), m.ClientMAC, m
}

// ResponseCode implements engine.Answers.
func (m *Message) ResponseCode() uint16 { return m.Flags&0xf | uint16(m.extendedRcode()) }

// AppendAddresses implements engine.Answer; it stops at what is malformed.
func (m *Message) AppendAddresses(dst []netip.Addr) []netip.Addr {
	m.eachAnswer(func(r outline) {
		switch data := m.Raw[r.data:r.end]; {
		case r.kind == dns.TypeA && len(data) == 4:
			dst = append(dst, netip.AddrFrom4([4]byte(data)))
		case r.kind == dns.TypeAAAA && len(data) == 16:
			dst = append(dst, netip.AddrFrom16([16]byte(data)))
		}
	})
	return dst
}

// AppendTargets implements engine.Answer; it stops at what is malformed.
func (m *Message) AppendTargets(dst *engine.Names) {
	m.eachAnswer(func(r outline) {
		if r.kind != dns.TypeCNAME && r.kind != dns.TypeDNAME {
			return
		}
		room := dst.Room()
		if name, end, err := appendName(room, m.Raw, r.data); err == nil && end == r.end {
			dst.Set(name)
		}
	})
}

// eachAnswer visits the answers up to the first that is malformed.
func (m *Message) eachAnswer(visit func(outline)) {
	w, err := m.answers()
	for i := 0; err == nil && i < int(m.counts[1]) && w.off < len(m.Raw); i++ {
		var r outline
		if r, err = w.next(); err == nil {
			visit(r)
		}
	}
}
