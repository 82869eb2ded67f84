package capture

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// pieces returns the fragments of a long response, of IPv4 or IPv6.
func pieces(from, to capturetest.Endpoint, id uint32) [][]byte {
	l := lookup(1)
	for range 40 {
		l.Answers = append(l.Answers, `host1.example.org. 300 IN TXT "a text that takes some room in the answer"`)
	}
	return capturetest.Fragments(from, to, capturetest.ProtoUDP, id, 256, capturetest.UDP(from, to, l.Response()))
}

func TestFragments(t *testing.T) {
	for name, ends := range map[string][2]capturetest.Endpoint{"IPv4": {server, client}, "IPv6": {server6, client6}} {
		all := pieces(ends[0], ends[1], 7)
		if len(all) < 5 {
			t.Fatalf("got %d fragments, want a good number", len(all))
		}
		orders := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			order := slices.Clone(all)
			orders.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			messages, stats := decode(LinkRaw, order...)
			if len(messages) != 1 || len(stats.Lost)+len(stats.Undecodable) != 0 {
				t.Fatalf("%s: got %d messages (%+v), want 1", name, len(messages), stats)
			}
			if records, err := messages[0].Records(); err != nil || len(records) != 41 || messages[0].Client != ends[1].Addr {
				t.Fatalf("%s: got %d records, %v, client %s", name, len(records), err, messages[0].Client)
			}
		}
	}
}

func TestRepeatedFragmentIsIgnored(t *testing.T) {
	all := pieces(server, client, 7)
	messages, stats := decode(LinkRaw, append([][]byte{all[1], all[1], all[0]}, all...)...)
	if len(messages) != 1 {
		t.Fatalf("got %d messages, want 1", len(messages))
	}
	wantCount(t, stats.Ignored, Repeated, 3)
}

func TestOverlappingFragmentsMakeThePacketVoid(t *testing.T) {
	piece := make([]byte, 64)
	longer := capturetest.Fragment(server, client, 17, 7, 0, true, append(slices.Clone(pieces(server, client, 7)[0][20:]), piece...))
	for name, second := range map[string][]byte{
		"into the first": capturetest.Fragment(server, client, 17, 7, 248, true, piece),
		"longer":         longer,
		"teardrop":       capturetest.Fragment(server, client, 17, 7, 24, false, piece[:4]), // ends within the first, CVE-1999-0015
		"within":         capturetest.Fragment(server, client, 17, 7, 8, true, piece[:16]),
		"odd length":     capturetest.Fragment(server, client, 17, 7, 256, true, piece[:63]),
		"empty":          capturetest.Fragment(server, client, 17, 7, 256, true, nil),
		"too far":        capturetest.Fragment(server, client, 17, 7, 65528, false, piece),
	} {
		t.Run(name, func(t *testing.T) {
			all := pieces(server, client, 7)
			messages, stats := decode(LinkRaw, append([][]byte{all[0], second}, all[1:]...)...)
			if len(messages) != 0 {
				t.Errorf("got %d messages, want none", len(messages))
			}
			wantCount(t, stats.Undecodable, BadFragment, 1)
			if len(stats.Lost) != 0 {
				t.Errorf("lost: got %v, want nothing", stats.Lost)
			}
		})
	}
}

func TestTwoLastFragments(t *testing.T) {
	piece := make([]byte, 64)
	_, stats := decode(LinkRaw,
		capturetest.Fragment(server, client, 17, 7, 64, false, piece),
		capturetest.Fragment(server, client, 17, 7, 128, false, piece))
	wantCount(t, stats.Undecodable, BadFragment, 1)
	_, stats = decode(LinkRaw,
		capturetest.Fragment(server, client, 17, 7, 128, true, piece),
		capturetest.Fragment(server, client, 17, 7, 64, false, piece))
	wantCount(t, stats.Undecodable, BadFragment, 1)
}

func TestFragmentsOfOtherTraffic(t *testing.T) {
	web := capturetest.At(9, "192.0.2.9:443")
	bulk := capturetest.Fragments(web, client, capturetest.ProtoUDP, 7, 512, capturetest.UDP(web, client, make([]byte, 4000)))
	icmp := capturetest.Fragments(web, client, 1, 8, 512, make([]byte, 1000))
	d := NewDecoder()
	for _, packet := range append(bulk, icmp...) {
		d.Decode(&Frame{Time: start, Link: LinkRaw, Data: packet, Length: len(packet)})
	}
	wantCount(t, d.Stats().Ignored, OtherPort, 1)
	wantCount(t, d.Stats().Ignored, NotUDPTCP, 2)
	if d.fragments.bytes != 0 {
		t.Errorf("holds %d bytes, want 0", d.fragments.bytes)
	}
}

func TestFragmentsAreBoundedInTimeAndRoom(t *testing.T) {
	all := pieces(server, client, 7)
	d := NewDecoder()
	in := func(after time.Duration, packet []byte) {
		d.Decode(&Frame{Time: start.Add(after), Link: LinkRaw, Data: packet, Length: len(packet)})
	}
	in(0, all[0])
	in(fragmentPatience+1, all[1])
	wantCount(t, d.Stats().Lost, FragmentsLate, 1)
	in(fragmentPatience+1-2*fragmentPatience, all[2]) // the clock went back
	wantCount(t, d.Stats().Lost, FragmentsLate, 2)
	for id := range uint32(10 * maxDatagrams) {
		in(0, capturetest.Fragment(server, client, 17, id, 4096, true, make([]byte, 32<<10)))
		if len(d.fragments.order) > maxDatagrams || len(d.fragments.byKey) != len(d.fragments.order) || d.fragments.bytes > maxFragmentBytes {
			t.Fatalf("holds %d packets, %d keys, %d bytes", len(d.fragments.order), len(d.fragments.byKey), d.fragments.bytes)
		}
	}
	if n := d.Stats().Lost[FragmentsFull.String()]; n < 9*maxDatagrams {
		t.Errorf("given up for want of room: got %d", n)
	}
	d.Flush()
	if d.fragments.bytes != 0 || len(d.fragments.byKey) != 0 {
		t.Errorf("after the flush: %d bytes, %d packets", d.fragments.bytes, len(d.fragments.byKey))
	}
	for i := range 2 * maxDatagramParts {
		in(0, capturetest.Fragment(server, client, 17, 7, 16*(i+1), true, make([]byte, 8)))
	}
	wantCount(t, d.Stats().Undecodable, BadFragment, 1)
}

// The smallest fragments of all cut the header of UDP or TCP from its data, or in
// two.
func TestTinyFragments(t *testing.T) {
	query := lookup(1).Query()
	for name, ends := range map[string][2]capturetest.Endpoint{"IPv4": {client, server}, "IPv6": {client6, server6}} {
		from, to := ends[0], ends[1]
		packets := capturetest.Fragments(from, to, capturetest.ProtoUDP, 1, 8, capturetest.UDP(from, to, query))
		segment := capturetest.Segment(from, to, 1, 1, capturetest.ACK, capturetest.Prefixed(query))
		packets = append(packets, capturetest.Fragments(from, to, capturetest.ProtoTCP, 2, 8, segment)...)
		slices.Reverse(packets)
		messages, stats := decode(LinkRaw, packets...)
		if len(messages) != 2 || len(stats.Lost)+len(stats.Undecodable) != 0 {
			t.Errorf("%s: got %d messages (%+v), want 2", name, len(messages), stats)
		}
	}
}

func TestFragmentedTCP(t *testing.T) {
	query := capturetest.Prefixed(lookup(1).Query())
	segment := capturetest.Segment(client6, server6, 1, 1, capturetest.ACK, query)
	messages, _ := decode(LinkRaw, capturetest.Fragments(client6, server6, capturetest.ProtoTCP, 1, 24, segment)...)
	if len(messages) != 1 || messages[0].Proto != TCP {
		t.Errorf("got %v", messages)
	}
}
