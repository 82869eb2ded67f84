package capturetest

import (
	"net/netip"
	"strings"
	"time"
)

// Said is what a correct reader says of one message. VLANs and Answers are shared:
// they must not be changed.
type Said struct {
	Time time.Time // of the frame that completes the message
	// Client asked, also in a response; for one that was sent to a group it is the
	// group, as Server is who answered.
	Client, Server netip.AddrPort
	MAC            [6]byte // of the client, zero where its side of the frame has none
	VLANs          []uint16
	TCP            bool
	Response       bool
	ID             uint16
	Question       bool // where not, the next three are empty
	Name           string
	Type, Class    uint16
	Rcode          int // upper bits of EDNS included
	Truncated      bool
	Answers        []Answer
	EDNS           *EDNS // nil: the message has none

	// Asked is when a response's question was first seen, AskedLast when last;
	// both are zero where it was not seen, and for mDNS.
	Asked, AskedLast time.Time
	// Repeated is a query sent again, or a response after the first.
	Repeated bool
	// Watched says that the name lies in one of the domains to watch, LookAlike
	// that it only looks so.
	Watched, LookAlike bool
}

// EDNS is what the OPT record of a message says (RFC 6891).
type EDNS struct {
	Size   uint16
	DO     bool
	Subnet netip.Prefix // of RFC 7871; the zero value means none
	Errors []uint16     // of RFC 8914
}

// Within reports whether the name is one of the domains or lies in one.
func (s *Said) Within(domains map[string]bool) bool {
	for name := s.Name; name != ""; _, name, _ = strings.Cut(name, ".") {
		if domains[name] {
			return true
		}
	}
	return false
}

// Truth counts what a capture holds.
type Truth struct {
	Frames, Bytes                  uint64
	Messages, Queries, Responses   uint64
	TCPMessages, Segments          uint64
	MDNS, LLMNR                    uint64 // messages
	QueriesRepeated, AnsweredAgain uint64
	Unanswered, Unasked            uint64 // queries without a response, responses without a query; mDNS aside
	Watched, LookAlikes            uint64 // messages
	Fragments, FragmentsLost       uint64 // frames that are fragments; packets that lack one
	Tagged                         uint64 // frames with VLAN tags
	Other                          uint64 // frames of other ports and protocols, DHCP among them
	DHCP                           uint64
	Broken                         uint64 // frames to the port of DNS that hold no message
	Rcodes                         map[int]uint64
	Types                          map[uint16]uint64 // of questions
}

// say counts a message.
func (t *Truth) say(s *Said) {
	t.Messages++
	if s.Response {
		t.Responses++
		t.Rcodes[s.Rcode]++
	} else {
		t.Queries++
	}
	if s.Question {
		t.Types[s.Type]++
	}
	port := s.Server.Port()
	count(&t.TCPMessages, s.TCP)
	count(&t.MDNS, port == portMDNS)
	count(&t.LLMNR, port == portLLMNR)
	count(&t.QueriesRepeated, s.Repeated && !s.Response)
	count(&t.AnsweredAgain, s.Repeated && s.Response)
	count(&t.Unasked, s.Response && s.Asked.IsZero() && port != portMDNS)
	count(&t.Watched, s.Watched)
	count(&t.LookAlikes, s.LookAlike)
}

func count(n *uint64, yes bool) {
	if yes {
		*n++
	}
}
