package capture

import "sync/atomic"

// Reason says why a frame, or a part of one, did not become a message.
type Reason uint8

// The reasons, in three classes: traffic that is not ours to decode, bytes that
// break the rules of a protocol, and what was lost to a limit or to a gap in the
// capture.
const (
	NotIP     Reason = iota // ARP, LLDP and the like
	NotUDPTCP               // ICMP, ESP and the like
	OtherPort               // neither port is one of DNS
	Repeated                // TCP data or a fragment seen before

	BadLink       // a link type that is not known, or a frame too short for it
	BadVLAN       // more stacked VLAN tags than are looked through
	BadIP         // an IP header that contradicts itself or its frame
	BadExtension  // IPv6 extension headers cut, or too many
	BadUDP        // a UDP header cut, or with an impossible length
	BadTCP        // a TCP header cut, or with an impossible length
	BadFragment   // fragments that overlap, or of an impossible length
	BadStream     // TCP data that is not DNS
	BadHeader     // shorter than a DNS header
	BadQuestion   // the first question is cut, or its name is malformed
	BadAnswer     // the answers are cut, or a name among them is malformed
	CutByCapture  // undecodable because the capture kept only the frame's beginning
	FragmentsFull // fragments given up for want of room
	FragmentsLate // fragments whose rest did not come in time
	StreamsFull   // TCP streams given up for want of room
	StreamsLate   // TCP streams that ended or went silent within a message
	StreamGap     // TCP data missing from the capture
	MidStream     // TCP data before the first message boundary of a stream joined late

	reasons // their number
)

// Class tells the classes of reasons apart.
type Class uint8

// The classes.
const (
	Ignored Class = iota
	Undecodable
	Lost
)

// Class returns the class of the reason.
func (r Reason) Class() Class {
	switch {
	case r <= Repeated:
		return Ignored
	case r <= CutByCapture:
		return Undecodable
	}
	return Lost
}

var reasonNames = [reasons]string{
	NotIP: "not_ip", NotUDPTCP: "not_udp_tcp", OtherPort: "other_port", Repeated: "repeated",
	BadLink: "bad_link", BadVLAN: "bad_vlan", BadIP: "bad_ip", BadExtension: "bad_extension",
	BadUDP: "bad_udp", BadTCP: "bad_tcp", BadFragment: "bad_fragment", BadStream: "bad_stream",
	BadHeader: "bad_header", BadQuestion: "bad_question", BadAnswer: "bad_answer", CutByCapture: "cut_by_capture",
	FragmentsFull: "fragments_full", FragmentsLate: "fragments_late", StreamsFull: "streams_full",
	StreamsLate: "streams_late", StreamGap: "stream_gap", MidStream: "mid_stream",
}

// String returns the name of the reason in statistics, as in "bad_question".
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// Error makes a reason the error of who asks about one message alone.
func (r Reason) Error() string { return "no DNS message: " + r.String() }

// Stats counts what happened between the frames and the messages. The maps hold
// the reasons that occurred, by name.
type Stats struct {
	Source      SourceStats       `json:"source"`
	Messages    uint64            `json:"messages"`
	Queries     uint64            `json:"queries"`
	Responses   uint64            `json:"responses"`
	Fragments   uint64            `json:"fragments"`    // fragments taken in
	TCPSegments uint64            `json:"tcp_segments"` // segments of DNS streams taken in
	Ignored     map[string]uint64 `json:"ignored"`
	Undecodable map[string]uint64 `json:"undecodable"`
	Lost        map[string]uint64 `json:"lost"`
	// Pairing is what Lookups counted, where one was asked.
	Pairing *PairingStats `json:"pairing,omitempty"`
}

// Add adds the counters of o.
func (s *Stats) Add(o Stats) {
	s.Source.Add(o.Source)
	s.Messages += o.Messages
	s.Queries += o.Queries
	s.Responses += o.Responses
	s.Fragments += o.Fragments
	s.TCPSegments += o.TCPSegments
	addCounts(&s.Ignored, o.Ignored)
	addCounts(&s.Undecodable, o.Undecodable)
	addCounts(&s.Lost, o.Lost)
	if o.Pairing != nil {
		sum := *o.Pairing
		if s.Pairing != nil {
			sum.Add(*s.Pairing)
		}
		s.Pairing = &sum
	}
}

func addCounts(to *map[string]uint64, from map[string]uint64) {
	if *to == nil {
		*to = map[string]uint64{}
	}
	for reason, n := range from {
		(*to)[reason] += n
	}
}

func (s *Stats) add(r Reason, n uint64) {
	if n > 0 {
		s.class(r)[r.String()] += n
	}
}

func (s *Stats) class(r Reason) map[string]uint64 {
	switch r.Class() {
	case Ignored:
		return s.Ignored
	case Undecodable:
		return s.Undecodable
	}
	return s.Lost
}

// counts are the counters of a Decoder.
type counts struct {
	queries, responses, fragments, segments atomic.Uint64

	byReason [reasons]atomic.Uint64
}

func (c *counts) drop(r Reason) { c.byReason[r].Add(1) }

// message adds n to the messages of its kind.
func (c *counts) message(m *Message, n uint64) {
	if m.Response() {
		c.responses.Add(n)
	} else {
		c.queries.Add(n)
	}
}

func (c *counts) snapshot() Stats {
	s := Stats{
		Queries: c.queries.Load(), Responses: c.responses.Load(),
		Fragments: c.fragments.Load(), TCPSegments: c.segments.Load(),
		Ignored: map[string]uint64{}, Undecodable: map[string]uint64{}, Lost: map[string]uint64{},
	}
	s.Messages = s.Queries + s.Responses
	for r := range reasons {
		s.add(r, c.byReason[r].Load())
	}
	return s
}

// sourceCounts are the counters of a Source.
type sourceCounts struct {
	frames, bytes, dropped, frozen, broken, outages, untimed atomic.Uint64

	last atomic.Int64 // time of the last frame of an interface, in nanoseconds since 1970
}

// took counts frames of an interface, the last of which came at a time.
func (c *sourceCounts) took(frames, bytes int, last int64) {
	c.frames.Add(uint64(frames))
	c.bytes.Add(uint64(bytes))
	c.last.Store(last)
}

func (c *sourceCounts) frame(length int) {
	c.frames.Add(1)
	c.bytes.Add(uint64(length))
}

func (c *sourceCounts) snapshot() SourceStats {
	return SourceStats{
		Frames: c.frames.Load(), Bytes: c.bytes.Load(), KernelDropped: c.dropped.Load(),
		RingFrozen: c.frozen.Load(), RingBroken: c.broken.Load(),
		Outages: c.outages.Load(), Untimed: c.untimed.Load(),
	}
}
