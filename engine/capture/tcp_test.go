package capture

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// conversation builds the segments of the direction from client to server.
type conversation struct {
	data []byte // messages with their lengths
	want []string
}

const firstSeq = 0xfffffff0 // the sequence numbers wrap soon

func talk(n int) conversation {
	var c conversation
	for i := range n {
		c.data = append(c.data, capturetest.Prefixed(lookup(i).Query())...)
		c.want = append(c.want, lookup(i).Name)
	}
	return c
}

func up(seq uint32, flags uint8, payload []byte) []byte {
	return capturetest.IP(client, server, capturetest.ProtoTCP, 1, capturetest.Segment(client, server, seq, 1, flags, payload))
}

// down is a segment of the server that acknowledges.
func down(ack uint32) []byte {
	return capturetest.IP(server, client, capturetest.ProtoTCP, 1, capturetest.Segment(server, client, 1, ack, capturetest.ACK, nil))
}

func syn() []byte { return up(firstSeq-1, capturetest.SYN, nil) }

// part returns the segment with the bytes from start to end.
func (c conversation) part(start, end int) []byte {
	return up(firstSeq+uint32(start), capturetest.ACK, c.data[start:end])
}

// split returns the segments of the whole, size bytes each.
func (c conversation) split(size int) [][]byte {
	var list [][]byte
	for at := 0; at < len(c.data); at += size {
		list = append(list, c.part(at, min(at+size, len(c.data))))
	}
	return list
}

func (c conversation) check(t *testing.T, want []string, frames ...[]byte) Stats {
	t.Helper()
	messages, stats := decode(LinkRaw, frames...)
	if got := names(messages); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v\n(%+v)", got, want, stats)
	}
	return stats
}

func TestWholeConnection(t *testing.T) {
	data := written(ethernet, func(w *capturetest.Writer) { w.ExchangeTCP(lookup(1)); w.ExchangeTCP(lookup(2)) })
	messages, stats := mustRead(t, data)
	if got, want := names(messages), []string{"host1.example.org", "host1.example.org", "host2.example.org", "host2.example.org"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	m := messages[1]
	if m.Proto != TCP || !m.Response() || m.Client != client.Addr || m.ClientMAC != MAC(client.MAC) || !m.Time.Equal(lookup(1).Time.Add(time.Millisecond)) {
		t.Errorf("got %+v", m)
	}
	if n := len(stats.Lost) + len(stats.Undecodable) + len(stats.Ignored); n != 0 {
		t.Errorf("got %+v, want nothing dropped", stats)
	}
}

func TestSegmentsOfAnySize(t *testing.T) {
	c := talk(5)
	for size := 1; size <= len(c.data); size++ {
		stats := c.check(t, c.want, append([][]byte{syn()}, c.split(size)...)...)
		if n := len(stats.Lost) + len(stats.Undecodable) + len(stats.Ignored); n != 0 {
			t.Fatalf("size %d: got %+v, want nothing dropped", size, stats)
		}
	}
}

func TestSegmentsInAnyOrder(t *testing.T) {
	c := talk(8)
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		segments := c.split(3 + random.IntN(90))
		random.Shuffle(len(segments), func(i, j int) { segments[i], segments[j] = segments[j], segments[i] })
		c.check(t, c.want, append([][]byte{syn()}, segments...)...)
	}
}

func TestSegmentsThatOverlap(t *testing.T) {
	c := talk(8)
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		frames := [][]byte{syn()}
		for at := 0; at < len(c.data); {
			from := max(0, at-random.IntN(40))
			at = min(len(c.data), at+1+random.IntN(60))
			frames = append(frames, c.part(from, at))
			if random.IntN(4) == 0 { // sent again, and seen twice
				frames = append(frames, c.part(from, at), syn())
			}
		}
		i, j := 1+random.IntN(len(frames)-1), 1+random.IntN(len(frames)-1)
		frames[i], frames[j] = frames[j], frames[i]
		c.check(t, c.want, frames...)
	}
}

func TestStreamJoinedLate(t *testing.T) {
	c := talk(3)
	one := len(c.data) / 3 // all have the same length
	for name, test := range map[string]struct {
		want   []string
		frames [][]byte
	}{
		"at a message":     {c.want[1:], [][]byte{c.part(one, 2*one), c.part(2*one, 3*one)}},
		"length apart":     {c.want[1:], [][]byte{c.part(one, one+2), c.part(one+2, 2*one), c.part(2*one, 3*one)}},
		"within a message": {c.want[1:], [][]byte{c.part(10, one), c.part(one, 2*one), c.part(2*one, 3*one)}},
		"after a length":   {c.want[1:], [][]byte{c.part(2, one), c.part(one, 3*one)}},
	} {
		t.Run(name, func(t *testing.T) { c.check(t, test.want, test.frames...) })
	}
}

func TestGapInTheCapture(t *testing.T) {
	c := talk(4)
	one := len(c.data) / 4
	first, third, fourth := c.part(0, one), c.part(2*one, 3*one), c.part(3*one, 4*one)
	stats := c.check(t, []string{c.want[0], c.want[2], c.want[3]}, syn(), first, third, fourth)
	wantCount(t, stats.Lost, StreamGap, 1)
	// A gap within a message costs that message.
	stats = c.check(t, []string{c.want[0], c.want[2], c.want[3]}, syn(), first, c.part(one, one+9), third, fourth)
	wantCount(t, stats.Lost, StreamGap, 1)
}

func TestAcknowledgedGapIsNotWaitedFor(t *testing.T) {
	c := talk(3)
	one := len(c.data) / 3
	d := NewDecoder()
	var got []string
	for _, packet := range [][]byte{syn(), c.part(0, one), c.part(2*one, 3*one), down(firstSeq + uint32(one)), down(firstSeq + uint32(2*one))} {
		d.Decode(&Frame{Time: start, Link: LinkRaw, Data: packet, Length: len(packet)})
		for m := d.Next(); m != nil; m = d.Next() {
			got = append(got, string(m.Name))
		}
		if len(got) == 2 && d.Stats().Lost[StreamGap.String()] == 0 {
			t.Error("the gap was skipped, but not counted")
		}
	}
	if want := []string{c.want[0], c.want[2]}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStreamThatIsNotDNS(t *testing.T) {
	text := []byte("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
	short := up(firstSeq, capturetest.ACK, []byte{0, 3, 1, 2, 3})
	stats := talk(0).check(t, []string{}, up(firstSeq, capturetest.ACK, text))
	wantCount(t, stats.Lost, MidStream, 1)
	stats = talk(0).check(t, []string{}, syn(), short)
	wantCount(t, stats.Undecodable, BadHeader, 1)
	stats = talk(0).check(t, []string{}, syn(), up(firstSeq, capturetest.ACK, text))
	wantCount(t, stats.Undecodable, BadStream, 1)
}

// Messages too short for a header are counted, and what follows is read.
func TestMessagesOfNoLength(t *testing.T) {
	c := talk(2)
	first := len(c.data) / 2
	data := slices.Concat([]byte{0, 0, 0, 0}, c.data[:first], []byte{0, 3, 1, 2, 3, 0, 0}, c.data[first:], []byte{0, 0})
	stats := c.check(t, c.want, syn(), up(firstSeq, capturetest.ACK, data))
	wantCount(t, stats.Undecodable, BadHeader, 5)
	for size := range len(data) {
		var frames [][]byte
		for at := 0; at < len(data); at += size + 1 {
			frames = append(frames, up(firstSeq+uint32(at), capturetest.ACK, data[at:min(at+size+1, len(data))]))
		}
		stats := c.check(t, c.want, append([][]byte{syn()}, frames...)...)
		wantCount(t, stats.Undecodable, BadHeader, 5)
	}
}

// A keepalive repeats the last byte before what is expected, or has none.
func TestKeepalives(t *testing.T) {
	c := talk(2)
	half := len(c.data)/2 + 5
	alive := func(at int) []byte { return up(firstSeq+uint32(at)-1, capturetest.ACK, []byte{0}) }
	nothing := func(at int) []byte { return up(firstSeq+uint32(at)-1, capturetest.ACK, nil) }
	stats := c.check(t, c.want, syn(), alive(0), c.part(0, half), alive(half), nothing(half), alive(half), c.part(half, len(c.data)), alive(len(c.data)))
	wantCount(t, stats.Ignored, Repeated, 4)
}

// Responses need not come in the order of their queries (RFC 7766 §6.2.1.1), and
// each finds its own.
func TestPipelinedResponses(t *testing.T) {
	const n = 20
	queries := talk(n)
	var responses []byte
	order := rand.New(rand.NewPCG(3, 4)).Perm(n)
	for _, i := range order {
		responses = append(responses, capturetest.Prefixed(lookup(i).Response())...)
	}
	frames := append([][]byte{syn()}, queries.split(100)...)
	for at := 0; at < len(responses); at += 77 {
		piece := capturetest.Segment(server, client, uint32(at), 1, capturetest.ACK, responses[at:min(at+77, len(responses))])
		frames = append(frames, capturetest.IP(server, client, capturetest.ProtoTCP, 1, piece))
	}
	messages, stats := decode(LinkRaw, frames...)
	if len(messages) != 2*n || len(stats.Lost)+len(stats.Undecodable) != 0 {
		t.Fatalf("got %d messages (%+v), want %d", len(messages), stats, 2*n)
	}
	l, keys := NewLookups(), map[string]uint64{}
	for i, m := range messages {
		p := l.Pair(m)
		if i < n {
			keys[string(m.Name)] = p.Key
		} else if p.Key != keys[string(m.Name)] || string(m.Name) != lookup(order[i-n]).Name {
			t.Errorf("response %d, of %s: got %+v, want key %d", i-n, m.Name, p, keys[string(m.Name)])
		}
	}
}

func TestStreamFindsItsWayBack(t *testing.T) {
	c := talk(2)
	junk := up(firstSeq, capturetest.ACK, []byte{0, 1, 9})
	again := up(firstSeq+3, capturetest.ACK, c.data)
	stats := c.check(t, c.want, syn(), junk, again)
	wantCount(t, stats.Undecodable, BadHeader, 1)
	hello := []byte("hello there, is anybody listening?") // which says that a message of 26725 bytes begins
	again = up(firstSeq+uint32(len(hello)), capturetest.ACK, c.data)
	stats = c.check(t, c.want, syn(), up(firstSeq, capturetest.ACK, hello), again)
	wantCount(t, stats.Undecodable, BadStream, 1)
}

func TestUndecodableMessageWithinAStream(t *testing.T) {
	bad := capturetest.Prefixed(append(lookup(9).Query()[:12:12], 0xc0, 0xff, 0, 1, 0, 1))
	data := slices.Concat(talk(1).data, bad, capturetest.Prefixed(lookup(1).Query()))
	stats := talk(2).check(t, talk(2).want, syn(), up(firstSeq, capturetest.ACK, data))
	wantCount(t, stats.Undecodable, BadQuestion, 1)
}

func TestPortUsedAgain(t *testing.T) {
	c := talk(1)
	far := uint32(firstSeq) - 1<<30
	c.check(t, []string{c.want[0], c.want[0]}, syn(), c.part(0, len(c.data)), up(far, capturetest.ACK, c.data))
	c.check(t, []string{c.want[0], c.want[0]}, syn(), c.part(0, len(c.data)),
		up(far-1, capturetest.SYN, nil), up(far, capturetest.ACK, c.data))
}

func TestSynWithData(t *testing.T) {
	c := talk(1)
	c.check(t, c.want, up(firstSeq-1, capturetest.SYN, c.data))
}

func TestReset(t *testing.T) {
	c := talk(2)
	half := len(c.data)/2 + 5
	stats := c.check(t, c.want[:1], syn(), c.part(0, half), up(firstSeq+uint32(half), capturetest.RST, nil))
	wantCount(t, stats.Lost, StreamsLate, 1)
}

func TestTCPHeaders(t *testing.T) {
	good := up(firstSeq, capturetest.ACK, nil)
	short := capturetest.IP(client, server, capturetest.ProtoTCP, 1, good[20:39])
	offset := slices.Clone(good)
	offset[20+12] = 0x40
	beyond := slices.Clone(good)
	beyond[20+12] = 0x60
	_, stats := decode(LinkRaw, short, offset, beyond)
	wantCount(t, stats.Undecodable, BadTCP, 3)
	web := capturetest.At(9, "192.0.2.9:443")
	_, stats = decode(LinkRaw, capturetest.IP(client, web, capturetest.ProtoTCP, 1, capturetest.Segment(client, web, 1, 1, 0, []byte("x"))))
	wantCount(t, stats.Ignored, OtherPort, 1)
}

func TestLongestMessage(t *testing.T) {
	l := lookup(1)
	message := append(l.Query(), make([]byte, 1<<16-1-len(l.Query()))...)
	c := conversation{data: append(capturetest.Prefixed(message), capturetest.Prefixed(lookup(2).Query())...)}
	c.check(t, []string{"host1.example.org", "host2.example.org"}, append([][]byte{syn()}, c.split(1460)...)...)
}

// other returns a segment of the n-th of many connections.
func other(n int, seq uint32, payload []byte) *Frame {
	from := capturetest.At(7, fmt.Sprintf("192.0.2.%d:%d", n>>14&0xff, 20000+n&0x3fff))
	packet := capturetest.IP(from, server, capturetest.ProtoTCP, 1, capturetest.Segment(from, server, seq, 1, capturetest.ACK, payload))
	return &Frame{Time: start, Link: LinkRaw, Data: packet, Length: len(packet)}
}

// held adds up what the streams hold.
func held(d *Decoder) (streams, bytes int) {
	for s := d.streams.used.next; s != &d.streams.used; s = s.next {
		streams++
		bytes += cap(s.buf)
		for _, g := range s.ahead {
			bytes += len(g.data) + streamBookkeeping
		}
	}
	return streams, bytes
}

func TestStreamsAreBounded(t *testing.T) {
	d := NewDecoder()
	begun := binary.BigEndian.AppendUint16(nil, 60000)
	begun = append(begun, lookup(1).Query()...)
	begun = append(begun, make([]byte, 20000)...)
	for n := range maxStreamBytes/(2*len(begun)) + 200 {
		d.Decode(other(n, 0, begun))
		d.Decode(other(n, 100_000, begun)) // waits
		if d.streams.bytes > maxStreamBytes || len(d.streams.byKey) > maxStreams {
			t.Fatalf("after %d connections: %d streams, %d bytes", n, len(d.streams.byKey), d.streams.bytes)
		}
	}
	if streams, bytes := held(d); streams != len(d.streams.byKey) || bytes != d.streams.bytes {
		t.Errorf("books: %d streams, %d bytes; holds %d and %d", len(d.streams.byKey), d.streams.bytes, streams, bytes)
	}
	if d.Stats().Lost[StreamsFull.String()] == 0 {
		t.Error("nothing was counted as given up for want of room")
	}
	d.Flush()
	if streams, bytes := held(d); streams != 0 || bytes != 0 || d.streams.bytes != 0 {
		t.Errorf("after the flush: %d streams, %d bytes, %d in the books", streams, bytes, d.streams.bytes)
	}
}

func TestManyEmptyStreamsAreBounded(t *testing.T) {
	d := NewDecoder()
	for n := range 3 * maxStreams {
		d.Decode(other(n, 0, talk(1).data))
	}
	if len(d.streams.byKey) != maxStreams || len(d.Stats().Lost) != 0 {
		t.Errorf("got %d streams and %v, want %d and nothing lost", len(d.streams.byKey), d.Stats().Lost, maxStreams)
	}
}

func TestWaitingSegmentsAreBounded(t *testing.T) {
	d := NewDecoder()
	d.Decode(other(1, 0, talk(1).data))
	for i := range uint32(4 * maxAheadSegments) {
		d.Decode(other(1, 1000+10*i, []byte{0xff, 0xff, 0xff}))
	}
	if streams, bytes := held(d); streams != 1 || bytes > (maxAheadSegments+1)*(streamBookkeeping+3) || bytes != d.streams.bytes {
		t.Errorf("got %d streams with %d bytes, books say %d", streams, bytes, d.streams.bytes)
	}
}

func TestSilentStreamsAreForgotten(t *testing.T) {
	c := talk(2)
	half := len(c.data)/2 + 5
	d := NewDecoder()
	for i, packet := range [][]byte{syn(), c.part(0, half), up(firstSeq+uint32(half), capturetest.ACK, []byte("what comes too late to matter"))} {
		d.Decode(&Frame{Time: start.Add(time.Duration(i) * (streamPatience/2 + 1) * time.Duration(i)), Link: LinkRaw, Data: packet, Length: len(packet)})
	}
	wantCount(t, d.Stats().Lost, StreamsLate, 1)
	wantCount(t, d.Stats().Lost, MidStream, 1)
	if len(d.streams.byKey) != 0 {
		t.Errorf("got %d streams, want none", len(d.streams.byKey))
	}
}
