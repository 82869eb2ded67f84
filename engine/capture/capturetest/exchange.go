package capturetest

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// exchange is one question on its way.
type exchange struct {
	client   *client
	from, to Endpoint
	host     *host
	kind     uint16 // as answers know it
	id       uint16
	flags    uint16 // of the query
	mixed    uint64 // which letters of the name are capitals
	edns     ednsStyle
	rcode    int // other than the answer's
	errors   []uint16
	cut      bool // the response says that it is truncated

	asked, last int64 // when the query was seen, first and last; 0: not yet
	answered    bool
	talk        []segment // over TCP
	pieces      [][]byte  // of the response
	missing     int       // of pieces
	fragmentID  uint32
}

// ednsStyle is what the OPT record of an exchange holds.
type ednsStyle uint8

const (
	withoutEDNS ednsStyle = iota
	plainEDNS
	dnssecEDNS
	subnetEDNS
	cookieEDNS
	ednsStyles
)

// Shares of lookups, in millionths.
const (
	shareUnanswered = 15_000
	shareRepeated   = 10_000
	shareTwice      = 3_000
	shareUnasked    = 2_000
	shareFailed     = 8_000
	shareDisposable = 15_000
	shareOdd        = 2_000
)

// types are the types asked for, with their weights.
var types = []struct {
	kind   uint16
	weight int
}{
	{dns.TypeA, 450}, {dns.TypeAAAA, 220}, {dns.TypeHTTPS, 200}, {dns.TypePTR, 60}, {dns.TypeTXT, 20}, {dns.TypeMX, 10},
	{dns.TypeSRV, 20}, {dns.TypeNS, 8}, {dns.TypeSOA, 7}, {dns.TypeCAA, 5},
}

// begin begins one thing or another, and plans the next.
func begin(t *Traffic, _ *exchange, _ int) {
	o := &t.options
	if t.truth.Frames >= uint64(o.Packets) {
		return
	}
	defer t.plan(int64(t.random.below(2e9/o.Rate))+1, begin, nil, 0)
	pick := t.random.below(1e6)
	for _, way := range []struct {
		share int
		do    func(*Traffic, *exchange, int)
	}{
		{o.Other, other}, {o.Broken, broken}, {o.Multicast / 2, mdns}, {o.Multicast / 2, llmnr}, {o.TCP, overTCP}, {o.Large, inPieces}, {1e6, overUDP},
	} {
		if pick -= way.share; pick < 0 {
			t.plan(0, way.do, nil, 0)
			return
		}
	}
}

// question makes an exchange between a client and a resolver.
func (t *Traffic) question() *exchange {
	c := t.someone()
	r := &t.random
	x := &exchange{client: c, from: c.endpoint(t.port()), to: t.serverFor(c), id: uint16(r.next()), flags: 1 << 8, edns: ednsStyle(r.below(int(ednsStyles)))}
	if c.mixes {
		x.mixed = r.next()
	}
	if r.below(8) == 0 {
		x.flags |= 1 << 5 // AD
	}
	x.host, x.kind = t.subject()
	return x
}

// subject returns what is asked for.
func (t *Traffic) subject() (*host, uint16) {
	r, n := &t.random, t.names
	if len(n.watched) > 0 && r.chance(t.options.Watch) {
		return pick(r, n.watched), []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS}[r.below(3)]
	}
	if len(n.lookAlikes) > 0 && r.chance(t.options.Watch/2) {
		return pick(r, n.lookAlikes), dns.TypeA
	}
	if r.chance(shareOdd) {
		return pick(r, n.odd), dns.TypeA
	}
	kind := t.kind()
	switch {
	case kind == dns.TypePTR:
		return pick(r, n.reverse), kind
	case kind == dns.TypeSRV:
		return pick(r, n.services), kind
	case r.chance(shareDisposable):
		const digits = "0123456789abcdef"
		var label [16]byte
		for i := range label {
			label[i] = digits[r.below(16)]
		}
		return newHost(string(label[:]) + ".u." + Domain(r.below(t.options.Domains))), kind
	}
	return n.popular(r), kind
}

func (t *Traffic) kind() uint16 {
	pick := t.random.below(1000)
	for _, k := range types {
		if pick -= k.weight; pick < 0 {
			return k.kind
		}
	}
	return dns.TypeA
}

// latency is how long a resolver takes: mostly it knows the answer.
func (t *Traffic) latency() int64 {
	r := &t.random
	switch pick := r.below(20); {
	case pick < 14:
		return int64(r.in(200_000, 2_000_000))
	case pick < 19:
		return int64(r.in(8e6, 60e6))
	}
	return int64(r.in(60e6, 900e6))
}

// overUDP is an ordinary lookup.
func overUDP(t *Traffic, _ *exchange, _ int) {
	x, r := t.question(), &t.random
	pick := r.below(1e6)
	chosen := func(share int) bool { pick -= share; return pick < 0 }
	switch {
	case chosen(shareUnanswered):
		t.truth.Unanswered++
		t.plan(0, query, x, 0)
		if r.below(2) == 0 {
			t.plan(int64(r.in(1e9, 2e9)), query, x, 1)
		}
	case chosen(shareRepeated):
		again := int64(r.in(1e9, 5e9))
		t.plan(0, query, x, 0)
		t.plan(again, query, x, 1)
		t.plan(again+t.latency(), response, x, 0)
	case chosen(shareTwice):
		after := t.latency()
		t.plan(0, query, x, 0)
		t.plan(after, response, x, 0)
		t.plan(after+int64(r.in(100_000, 50e6)), response, x, 1)
	case chosen(shareUnasked):
		t.plan(0, response, x, 0)
	default:
		if chosen(shareFailed) {
			x.fail(r)
		}
		t.plan(0, query, x, 0)
		t.plan(t.latency(), response, x, 0)
	}
}

// fail makes the response of an exchange a refusal.
func (x *exchange) fail(r *pcg) {
	switch r.below(4) {
	case 0:
		x.rcode = dns.RcodeRefused
	case 1:
		x.rcode, x.errors = dns.RcodeServerFailure, []uint16{22} // no reachable authority
	case 2:
		x.rcode, x.errors = dns.RcodeServerFailure, []uint16{6, 9} // bogus, no key
	case 3:
		x.rcode = dns.RcodeServerFailure
		if x.edns == cookieEDNS {
			x.rcode = dns.RcodeBadCookie
		}
	}
}

// query makes the frame of a query.
func query(t *Traffic, x *exchange, _ int) {
	t.query = x.appendQuery(t.query[:0])
	t.datagram(&x.from, &x.to, x.client.VLANs, t.query)
	t.tag(x)
	t.sayQuery(x, false)
}

// response makes the frame of a response.
func response(t *Traffic, x *exchange, _ int) {
	t.reply = x.appendResponse(t.reply[:0])
	t.datagram(&x.to, &x.from, x.client.VLANs, t.reply)
	t.tag(x)
	t.sayResponse(x, false)
}

// tag counts a frame with tags.
func (t *Traffic) tag(x *exchange) { count(&t.truth.Tagged, len(x.client.VLANs) > 0) }

// sayQuery notes what is to be said of the query.
func (t *Traffic) sayQuery(x *exchange, tcp bool) {
	s := t.sayQuestion(x, tcp)
	s.Repeated, s.EDNS = x.asked != 0, x.said(false)
	if sender, _ := t.hasMAC(); sender {
		s.MAC = x.from.MAC
	}
	if x.last = t.now; x.asked == 0 {
		x.asked = t.now
	}
	t.said = append(t.said, s)
}

// sayResponse notes what is to be said of the response.
func (t *Traffic) sayResponse(x *exchange, tcp bool) {
	s := t.sayQuestion(x, tcp)
	s.Response, s.Repeated, s.Truncated, s.EDNS = true, x.answered, x.cut, x.said(true)
	if _, receiver := t.hasMAC(); receiver {
		s.MAC = x.from.MAC
	}
	if x.asked != 0 {
		s.Asked, s.AskedLast = t.moment(x.asked), t.moment(x.last)
	}
	s.Rcode, s.Answers = x.outcome()
	x.answered = true
	t.said = append(t.said, s)
}

func (t *Traffic) sayQuestion(x *exchange, tcp bool) Said {
	return Said{
		Time: t.moment(t.now), Client: x.from.Addr, Server: x.to.Addr, VLANs: x.client.VLANs, TCP: tcp, ID: x.id,
		Question: true, Name: x.host.name, Type: x.asksFor(), Class: dns.ClassINET, Watched: x.host.watched, LookAlike: x.host.lookAlike,
	}
}

// asksFor is the type of the question.
func (x *exchange) asksFor() uint16 {
	if x.kind == bulk {
		return dns.TypeTXT
	}
	return x.kind
}

// outcome is the response code and the answers of the response.
func (x *exchange) outcome() (int, []Answer) {
	a := x.host.answerTo(x.kind)
	switch {
	case x.rcode != 0:
		return x.rcode, nil
	case x.cut:
		return a.rcode, nil
	}
	return a.rcode, a.answers
}

func (x *exchange) appendQuery(b []byte) []byte {
	b = x.appendHeader(b, x.flags, 0, 0)
	return x.appendOPT(b, false)
}

func (x *exchange) appendResponse(b []byte) []byte {
	const qr, ra, tc = 1 << 15, 1 << 7, 1 << 9
	rcode, _ := x.outcome()
	flags := x.flags&(1<<8) | qr | ra | uint16(rcode&0xf)
	if x.cut {
		flags |= tc
	}
	if x.cut || x.rcode != 0 {
		return x.appendOPT(x.appendHeader(b, flags, 0, 0), true)
	}
	a := x.host.answerTo(x.kind)
	b = x.appendHeader(b, flags, a.an, a.ns)
	return x.appendOPT(append(b, a.rest...), true)
}

// appendHeader appends header and question.
func (x *exchange) appendHeader(b []byte, flags, an, ns uint16) []byte {
	opt := byte(1)
	if x.edns == withoutEDNS {
		opt = 0
	}
	b = binary.BigEndian.AppendUint16(b, x.id)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 1, byte(an>>8), byte(an), byte(ns>>8), byte(ns), 0, opt)
	start := len(b)
	b = append(b, x.host.wire...)
	if x.mixed != 0 {
		capitals(b[start:], x.mixed)
	}
	b = binary.BigEndian.AppendUint16(b, x.asksFor())
	return append(b, 0, dns.ClassINET)
}

// capitals mixes the letters of a name (0x20 encoding).
func capitals(wire []byte, mixed uint64) {
	for at := 0; wire[at] != 0; at += int(wire[at]) + 1 {
		for i := at + 1; i <= at+int(wire[at]); i++ {
			if c := wire[i]; c >= 'a' && c <= 'z' && mixed>>(i%64)&1 != 0 {
				wire[i] = c - 'a' + 'A'
			}
		}
	}
}

// subnet is what the exchange says of its client (RFC 7871 §11.1).
func (x *exchange) subnet() netip.Prefix {
	bits := 24
	if x.from.Addr.Addr().Is6() {
		bits = 56
	}
	prefix, _ := x.from.Addr.Addr().Prefix(bits)
	return prefix
}

// said is what a reader says of the OPT record.
func (x *exchange) said(response bool) *EDNS {
	if x.edns == withoutEDNS {
		return nil
	}
	e := &EDNS{Size: 1232, DO: x.edns == dnssecEDNS}
	if x.edns == subnetEDNS {
		e.Subnet = x.subnet()
	}
	if response {
		e.Errors = x.errors
	}
	return e
}

// appendOPT appends the OPT record, if there is one.
func (x *exchange) appendOPT(b []byte, response bool) []byte {
	if x.edns == withoutEDNS {
		return b
	}
	upper, do := byte(0), byte(0)
	if response {
		upper = byte(x.rcode >> 4)
	}
	if x.edns == dnssecEDNS {
		do = 0x80
	}
	b = append(b, 0, 0, byte(dns.TypeOPT), 1232>>8, 1232&0xff, upper, 0, do, 0, 0, 0)
	start := len(b)
	switch x.edns {
	case subnetEDNS:
		b = x.appendSubnet(b)
	case cookieEDNS:
		b = append(b, 0, 10, 0, 8)
		b = binary.BigEndian.AppendUint64(b, scatter(uint64(x.id)))
	}
	if response {
		for _, code := range x.errors {
			b = append(b, 0, 15, 0, 2, byte(code>>8), byte(code))
		}
	}
	binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	return b
}

func (x *exchange) appendSubnet(b []byte) []byte {
	subnet := x.subnet()
	family, raw := byte(1), subnet.Addr().AsSlice()
	if subnet.Addr().Is6() {
		family = 2
	}
	raw = raw[:subnet.Bits()/8]
	b = append(b, 0, 8, 0, byte(4+len(raw)), 0, family, byte(subnet.Bits()), 0)
	return append(b, raw...)
}
