package capturetest

import (
	"slices"

	"github.com/miekg/dns"
)

// segment is one segment of a conversation over TCP.
type segment struct {
	up     bool // from the client
	seq    uint32
	ack    uint32
	flags  uint8
	data   []byte
	saying []saying // what is complete with it
}

type saying struct {
	x        *exchange
	response bool
}

// overTCP is a lookup over TCP; half of them come after a truncated response.
func overTCP(t *Traffic, _ *exchange, _ int) {
	x, r := t.question(), &t.random
	x.host, x.kind = t.names.popular(r), bulk
	after := int64(0)
	if r.below(2) == 0 {
		before := *x
		before.cut = true
		after = t.latency()
		t.plan(0, query, &before, 0)
		t.plan(after, response, &before, 0)
		x.id, x.from = uint16(r.next()), x.client.endpoint(t.port())
	}
	asked := []*exchange{x}
	if r.below(4) == 0 { // two questions at once
		second := t.question()
		second.client, second.from, second.to = x.client, x.from, x.to
		asked = append(asked, second)
	}
	t.converse(asked, after+1e6)
}

// converse plans the segments of a whole connection.
func (t *Traffic) converse(asked []*exchange, after int64) {
	r, first := &t.random, asked[0]
	var queries, replies []byte
	var ups, downs []saying
	for _, x := range asked {
		queries = append(queries, Prefixed(x.appendQuery(nil))...)
		replies = append(replies, Prefixed(x.appendResponse(nil))...)
		ups, downs = append(ups, saying{x: x}), append(downs, saying{x: x, response: true})
	}
	up, down := uint32(r.next()), uint32(r.next())
	upEnd, downEnd := up+uint32(len(queries)), down+uint32(len(replies))
	talk := []segment{{up: true, seq: up - 1, flags: SYN}, {seq: down - 1, ack: up, flags: SYN | ACK}, {up: true, seq: up, ack: down, flags: ACK}}
	talk = append(talk, t.parts(segment{up: true, seq: up, ack: down}, queries, ups)...)
	talk = append(talk, t.parts(segment{seq: down, ack: upEnd}, replies, downs)...)
	first.talk = append(talk, segment{up: true, seq: upEnd, ack: downEnd, flags: FIN | ACK},
		segment{seq: downEnd, ack: upEnd + 1, flags: FIN | ACK}, segment{up: true, seq: upEnd + 1, ack: downEnd + 1, flags: ACK})
	for i := range first.talk {
		t.plan(after, segments, first, i)
		after += int64(r.in(20_000, 3e6))
	}
}

// parts cuts one direction into segments like this one, some of which come late or
// twice. All messages are complete with the last to come: only a lone one is cut.
func (t *Traffic) parts(like segment, data []byte, complete []saying) (list []segment) {
	r, size := &t.random, 1400
	if r.below(3) == 0 {
		size = max(2, len(data)/2)
	}
	if len(complete) > 1 {
		size = len(data)
	}
	for at := 0; at < len(data); at += size {
		part := like
		part.seq, part.flags, part.data = like.seq+uint32(at), ACK|PSH, data[at:min(at+size, len(data))]
		list = append(list, part)
	}
	if n := len(list); n > 1 && r.below(3) == 0 {
		list[n-1], list[n-2] = list[n-2], list[n-1]
	}
	list[len(list)-1].saying = complete
	if r.below(8) == 0 {
		again := list[len(list)-1]
		again.saying = nil
		list = append(list, again)
	}
	return list
}

// segments makes the frame of one segment.
func segments(t *Traffic, x *exchange, part int) {
	s := &x.talk[part]
	from, to := &x.from, &x.to
	if !s.up {
		from, to = to, from
	}
	t.segment(from, to, x.client.VLANs, s.seq, s.ack, s.flags, s.data)
	t.truth.Segments++
	t.tag(x)
	for _, say := range s.saying {
		if say.response {
			t.sayResponse(say.x, true)
		} else {
			t.sayQuery(say.x, true)
		}
	}
}

// inPieces is a lookup over UDP whose response comes in fragments, in any order,
// and sometimes not all of them.
func inPieces(t *Traffic, _ *exchange, _ int) {
	x, r := t.question(), &t.random
	x.host, x.kind, x.fragmentID = t.names.popular(r), bulk, uint32(r.next())
	if x.host.missing {
		x.host = t.names.odd[0] // that exists
	}
	t.plan(0, query, x, 0)
	datagram := UDP(x.to, x.from, x.appendResponse(nil))
	for piece := range slices.Chunk(datagram, []int{1480, 1232, 512}[r.below(3)]) {
		x.pieces = append(x.pieces, piece)
	}
	x.missing = len(x.pieces)
	order := make([]int, len(x.pieces))
	for i := range order {
		order[i] = i
	}
	switch r.below(8) {
	case 0, 1:
		slices.Reverse(order)
	case 2:
		order = order[1:]
		t.truth.FragmentsLost++
		t.truth.Unanswered++
	}
	after := t.latency()
	for _, i := range order {
		t.plan(after, fragments, x, i)
		after += int64(r.in(1000, 100_000))
	}
}

// fragments makes the frame of one piece.
func fragments(t *Traffic, x *exchange, part int) {
	size := len(x.pieces[0])
	t.fragment(&x.to, &x.from, x.client.VLANs, x.fragmentID, part*size, part < len(x.pieces)-1, x.pieces[part])
	t.truth.Fragments++
	t.tag(x)
	if x.missing--; x.missing == 0 {
		t.sayResponse(x, false)
	}
}

// mdns is a question to everyone, and an answer for everyone.
func mdns(t *Traffic, _ *exchange, _ int) {
	x := t.question()
	x.host, x.kind, x.id, x.flags, x.edns = pick(&t.random, t.names.multicast), dns.TypePTR, 0, 0, withoutEDNS
	x.from, x.to = x.client.endpoint(portMDNS), multicast(portMDNS, x.client.six)
	x.mixed = 0
	t.plan(0, query, x, 0)
	if t.random.below(2) == 0 {
		t.plan(int64(t.random.in(20e6, 120e6)), announce, x, 0)
	}
}

// announce makes the frame of an mDNS response, which repeats no question.
func announce(t *Traffic, x *exchange, _ int) {
	device := t.someone()
	device = &client{Client: device.Client, six: x.client.six}
	from := device.endpoint(portMDNS)
	target := device.Name + ".local"
	m := new(dns.Msg)
	m.Response, m.Authoritative = true, true
	m.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: x.host.name + ".", Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: 120}, Ptr: target + "."}}
	t.datagram(&from, &x.to, device.VLANs, pack(m))
	t.said = append(t.said, Said{
		Time: t.moment(t.now), Client: x.to.Addr, Server: from.Addr, VLANs: device.VLANs, Response: true,
		Answers: []Answer{{Name: x.host.name, Type: dns.TypePTR, TTL: 120, Data: target}},
	})
	count(&t.truth.Tagged, len(device.VLANs) > 0)
}

// llmnr is a question to everyone that nobody answers.
func llmnr(t *Traffic, _ *exchange, _ int) {
	x := t.question()
	x.host, x.kind, x.flags, x.edns = pick(&t.random, t.names.multicast), dns.TypeA, 0, withoutEDNS
	x.to, x.mixed = multicast(portLLMNR, x.client.six), 0
	t.plan(0, query, x, 0)
}

// brokenMessages hold a header and a question that cannot be read.
var brokenMessages = [][]byte{
	{},
	{0, 1, 1, 0, 0, 1, 0},                // no whole header
	{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, // no question
	{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 'a', 'b'},    // a label beyond the end
	{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1}, // a name that is itself
	{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 99, 0, 1}, // a name beyond the end
	{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x41, 'a', 0, 0, 1, 0, 1},
}

// broken makes a packet for the port of DNS that holds no message.
func broken(t *Traffic, _ *exchange, _ int) {
	c := t.someone()
	from, to := c.endpoint(t.port()), t.serverFor(c)
	t.datagram(&from, &to, c.VLANs, brokenMessages[t.random.below(len(brokenMessages))])
	t.truth.Broken++
	count(&t.truth.Tagged, len(c.VLANs) > 0)
}
