package engine

import "net/netip"

// Sighting is what is known of a DNS message before an event is made of it: what
// rules look at to say whether one is wanted. Whoever fills it in owns it and
// what it points to; who looks at it keeps nothing. The scratch room within it
// is reused, so that looking allocates nothing: one Sighting serves one goroutine.
type Sighting struct {
	// Name is that of the first question: lower case, no trailing dot, \DDD for
	// what does not print. Empty without a question.
	Name []byte
	// Type is that of the question, as in the DNS registry; 0 without a question.
	Type     uint16
	Response bool
	// Paired says of a response that its query was seen; false where nobody looked.
	Paired bool
	// Proto is udp or tcp, or mdns or llmnr for what these ports say.
	Proto string
	// Client is who asked, also in a response.
	Client netip.Addr
	// ClientMAC is zero where it is not known.
	ClientMAC [6]byte
	// Answers reads the rest of a response on demand; nil where there is none.
	Answers Answers

	addresses []netip.Addr
	targets   Names
}

// Answers is what a response says, read only when a rule asks.
type Answers interface {
	// ResponseCode returns the response code, with the upper bits that EDNS gives it.
	ResponseCode() uint16
	// AppendAddresses appends the addresses of the A and AAAA records.
	AppendAddresses(dst []netip.Addr) []netip.Addr
	// AppendTargets appends the names that CNAME and DNAME records lead to, in the
	// form of Sighting.Name.
	AppendTargets(dst *Names)
}

// Names is a list of names in one piece of memory. The zero value is empty.
type Names struct {
	bytes []byte
	ends  []int
}

// Room returns the memory after the last name, to append the next one to; Set
// takes it back.
func (n *Names) Room() []byte { return n.bytes }

// Set takes the memory of Room back, one name longer.
func (n *Names) Set(room []byte) {
	n.bytes = room
	n.ends = append(n.ends, len(room))
}

// Len returns how many names there are.
func (n *Names) Len() int { return len(n.ends) }

// At returns the i-th name.
func (n *Names) At(i int) []byte {
	start := 0
	if i > 0 {
		start = n.ends[i-1]
	}
	return n.bytes[start:n.ends[i]]
}

// Reset empties the list and keeps its memory.
func (n *Names) Reset() { n.bytes, n.ends = n.bytes[:0], n.ends[:0] }

// NoResponseCode stands for a response code that is not known. No message can say
// it: it has more bits than a header and EDNS have room for.
const NoResponseCode = 0xffff

// Rcode returns the response code, with the upper bits that EDNS gives it.
func (s *Sighting) Rcode() uint16 {
	if s.Answers == nil {
		return NoResponseCode
	}
	return s.Answers.ResponseCode()
}

// Addresses returns the addresses that were answered. They are valid until the
// next call.
func (s *Sighting) Addresses() []netip.Addr {
	s.addresses = s.addresses[:0]
	if s.Answers != nil {
		s.addresses = s.Answers.AppendAddresses(s.addresses)
	}
	return s.addresses
}

// Targets returns the names that answers lead to. They are valid until the next
// call.
func (s *Sighting) Targets() *Names {
	s.targets.Reset()
	if s.Answers != nil {
		s.Answers.AppendTargets(&s.targets)
	}
	return &s.targets
}
