package capturetest

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// Lookup is one question and its answer, as packets of Ethernet.
type Lookup struct {
	Time           time.Time // of the query
	Client, Server Endpoint
	VLANs          []uint16
	ID             uint16
	Name           string // "www.example.org"
	Type           string // "A" when empty
	// Answers are records as in zone files: "www.example.org. 300 IN A 192.0.2.80".
	Answers []string
	Rcode   string        // "NOERROR" when empty
	Delay   time.Duration // between query and response; a millisecond when zero
}

// Query returns the query in wire format.
func (l Lookup) Query() []byte { return pack(l.query()) }

// Response returns the response in wire format.
func (l Lookup) Response() []byte {
	m := new(dns.Msg)
	m.SetReply(l.query())
	m.RecursionAvailable = true
	m.Compress = true
	if l.Rcode != "" {
		m.Rcode = dns.StringToRcode[l.Rcode]
	}
	for _, text := range l.Answers {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(fmt.Sprintf("capturetest: answer %q: %v", text, err))
		}
		m.Answer = append(m.Answer, rr)
	}
	return pack(m)
}

func (l Lookup) query() *dns.Msg {
	m := new(dns.Msg)
	kind := dns.TypeA
	if l.Type != "" {
		kind = dns.StringToType[l.Type]
	}
	m.SetQuestion(dns.Fqdn(l.Name), kind)
	m.Id = l.ID
	return m
}

func pack(m *dns.Msg) []byte {
	data, err := m.Pack()
	if err != nil {
		panic(fmt.Sprintf("capturetest: %v", err))
	}
	return data
}

func (l Lookup) answered() time.Time {
	if l.Delay == 0 {
		return l.Time.Add(time.Millisecond)
	}
	return l.Time.Add(l.Delay)
}

// QueryFrame returns the frame of the query over UDP.
func (l Lookup) QueryFrame() []byte { return Datagram(l.Client, l.Server, l.VLANs, l.Query()) }

// ResponseFrame returns the frame of the response over UDP.
func (l Lookup) ResponseFrame() []byte { return Datagram(l.Server, l.Client, l.VLANs, l.Response()) }

// Datagram returns the frame of a UDP datagram.
func Datagram(from, to Endpoint, vlans []uint16, payload []byte) []byte {
	return Ethernet(from, to, vlans, IP(from, to, ProtoUDP, 1, UDP(from, to, payload)))
}

// Query writes the query over UDP.
func (c *Writer) Query(l Lookup) { c.Frame(l.Time, l.QueryFrame()) }

// Response writes the response over UDP, at its own time.
func (c *Writer) Response(l Lookup) { c.Frame(l.answered(), l.ResponseFrame()) }

// Exchange writes query and response over UDP.
func (c *Writer) Exchange(l Lookup) {
	c.Query(l)
	c.Response(l)
}

// ExchangeTCP writes query and response as a whole TCP connection.
func (c *Writer) ExchangeTCP(l Lookup) {
	query, response := Prefixed(l.Query()), Prefixed(l.Response())
	first := uint32(l.Time.UnixMicro() / 4) // as RFC 9293 §3.4.1 chooses sequence numbers
	asked, answered := first+uint32(len(query)), first+uint32(len(response))
	end := l.answered()
	up := func(t time.Time, seq, ack uint32, flags uint8, data []byte) {
		c.Frame(t, l.segment(l.Client, l.Server, seq, ack, flags, data))
	}
	down := func(t time.Time, seq, ack uint32, flags uint8, data []byte) {
		c.Frame(t, l.segment(l.Server, l.Client, seq, ack, flags, data))
	}
	up(l.Time, first-1, 0, SYN, nil)
	down(l.Time, first-1, first, SYN|ACK, nil)
	up(l.Time, first, first, ACK, nil)
	up(l.Time, first, first, PSH|ACK, query)
	down(end, first, asked, PSH|ACK, response)
	up(end, asked, answered, FIN|ACK, nil)
	down(end, answered, asked+1, FIN|ACK, nil)
	up(end, asked+1, answered+1, ACK, nil)
}

func (l Lookup) segment(from, to Endpoint, seq, ack uint32, flags uint8, data []byte) []byte {
	return Ethernet(from, to, l.VLANs, IP(from, to, ProtoTCP, 1, Segment(from, to, seq, ack, flags, data)))
}

// Prefixed puts the length before a message, as TCP wants it.
func Prefixed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}
