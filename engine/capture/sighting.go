package capture

import (
	"net/netip"

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
func (m *Message) ResponseCode() uint16 {
	code := m.Flags & 0xf
	if opt, found := m.opt(); found {
		code |= uint16(opt.ttl>>24) << 4
	}
	return code
}

// AppendAddresses implements engine.Answers; it stops at what is malformed.
func (m *Message) AppendAddresses(dst []netip.Addr) []netip.Addr {
	for w := m.Answers(); w.Next(); {
		if addr := w.Addr(); addr.IsValid() {
			dst = append(dst, addr)
		}
	}
	return dst
}

// AppendTargets implements engine.Answers; it stops at what is malformed.
func (m *Message) AppendTargets(dst *engine.Names) {
	for w := m.Answers(); w.Next(); {
		if w.IsTarget() {
			dst.Set(w.AppendData(dst.Room()))
		}
	}
}
