package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// What packets under reassembly may cost.
const (
	maxDatagrams        = 256     // packets at once
	maxDatagramParts    = 256     // fragments of a packet
	maxDatagramSize     = 1 << 16 // bytes of a packet
	maxFragmentBytes    = 4 << 20 // of all packets
	fragmentPatience    = 30 * time.Second
	fragmentUnit        = 8 // all but the last are a multiple of it
	fragmentBookkeeping = 64
)

// fragment is one fragment of a packet.
type fragment struct {
	id     uint32
	next   uint8 // protocol of the payload
	offset int
	more   bool
	data   []byte
}

// fragments puts packets together. Overlapping fragments make a packet void, as
// RFC 5722 wants it for IPv6 and Linux does for both; an exact repetition is
// ignored.
type fragments struct {
	counts *counts
	byKey  map[datagramKey]*datagram
	order  []*datagram // by arrival of their first fragment
	bytes  int
}

type datagramKey struct {
	src, dst netip.Addr
	vlans    VLANs
	id       uint32
	next     uint8
}

// datagram is a packet under reassembly. One that is void stays until its time
// is over, so that its late fragments do not begin it anew.
type datagram struct {
	key   datagramKey
	since time.Time
	parts []part // sorted, not overlapping
	total int    // length of the payload; -1 until the last fragment came
	have  int
	first uint8 // protocol that the first fragment names
	void  bool
}

type part struct {
	offset int
	data   []byte
}

func (t *fragments) init(c *counts) {
	t.counts = c
	t.byKey = map[datagramKey]*datagram{}
}

// add takes in a fragment. When it completes a packet, add returns its payload
// and the protocol of it.
func (t *fragments) add(p *packet, f fragment, d *Decoder) (next uint8, whole []byte) {
	t.expire(p.time)
	key := datagramKey{src: p.src, dst: p.dst, vlans: p.vlans, id: f.id}
	if p.src.Is4() {
		key.next = f.next
	}
	g := t.byKey[key]
	if g == nil {
		if !mayBeDNS(f.next) {
			t.counts.drop(NotUDPTCP)
			return 0, nil
		}
		g = t.begin(key, p.time)
	}
	if g.void {
		return 0, nil
	}
	if f.offset == 0 && otherPorts(f, d) {
		t.counts.drop(OtherPort)
		t.empty(g)
		return 0, nil
	}
	if !t.insert(g, f) {
		return 0, nil
	}
	if g.total < 0 || g.have < g.total {
		return 0, nil
	}
	whole = make([]byte, 0, g.total)
	for _, p := range g.parts {
		whole = append(whole, p.data...)
	}
	t.empty(g)
	t.remove(g)
	return g.first, whole
}

// mayBeDNS reports whether a fragment with this protocol may carry UDP or TCP.
func mayBeDNS(next uint8) bool {
	switch next {
	case uint8(UDP), uint8(TCP), ipv6HopByHop, ipv6Routing, ipv6Destination, ipv6Auth:
		return true
	}
	return false
}

// otherPorts reports whether a first fragment names ports that are not of DNS:
// bulk traffic shall not take the room of what is wanted.
func otherPorts(f fragment, d *Decoder) bool {
	if (f.next != uint8(UDP) && f.next != uint8(TCP)) || len(f.data) < 4 {
		return false
	}
	return !d.wants(binary.BigEndian.Uint16(f.data), binary.BigEndian.Uint16(f.data[2:]))
}

// begin makes room for a packet and enters it.
func (t *fragments) begin(key datagramKey, now time.Time) *datagram {
	if len(t.order) == maxDatagrams {
		t.giveUp(t.order[0], FragmentsFull)
	}
	g := &datagram{key: key, since: now, total: -1}
	t.byKey[key] = g
	t.order = append(t.order, g)
	return g
}

// insert puts a copy of the fragment in its place; false means that it was not
// taken.
func (t *fragments) insert(g *datagram, f fragment) bool {
	end := f.offset + len(f.data)
	impossible := len(f.data) == 0 || end > maxDatagramSize || (f.more && len(f.data)%fragmentUnit != 0) ||
		(g.total >= 0 && (end > g.total || !f.more && end != g.total))
	at, repeated := slices.BinarySearchFunc(g.parts, f.offset, func(p part, offset int) int { return p.offset - offset })
	if repeated && len(g.parts[at].data) == len(f.data) && !impossible {
		t.counts.drop(Repeated)
		return false
	}
	overlap := repeated || at > 0 && g.parts[at-1].end() > f.offset || at < len(g.parts) && end > g.parts[at].offset
	short := !f.more && at < len(g.parts) // something lies behind the last
	if impossible || overlap || short || len(g.parts) == maxDatagramParts {
		t.counts.drop(BadFragment)
		t.empty(g)
		return false
	}
	if !t.reserve(g, len(f.data)+fragmentBookkeeping) {
		return false
	}
	g.parts = slices.Insert(g.parts, at, part{offset: f.offset, data: slices.Clone(f.data)})
	g.have += len(f.data)
	if !f.more {
		g.total = end
	}
	if f.offset == 0 {
		g.first = f.next
	}
	return true
}

func (p part) end() int { return p.offset + len(p.data) }

// reserve makes room by giving up the oldest packets; false means that g itself
// was the oldest.
func (t *fragments) reserve(g *datagram, n int) bool {
	for t.bytes+n > maxFragmentBytes {
		oldest := t.order[0]
		t.giveUp(oldest, FragmentsFull)
		if oldest == g {
			return false
		}
	}
	t.bytes += n
	return true
}

// empty frees what a packet holds and makes it void.
func (t *fragments) empty(g *datagram) {
	t.bytes -= g.have + len(g.parts)*fragmentBookkeeping
	g.parts, g.have, g.void = nil, 0, true
}

func (t *fragments) remove(g *datagram) {
	delete(t.byKey, g.key)
	if i := slices.Index(t.order, g); i >= 0 {
		t.order = slices.Delete(t.order, i, i+1)
	}
}

// giveUp ends the reassembly of a packet, and counts it unless it is void.
func (t *fragments) giveUp(g *datagram, why Reason) {
	if !g.void {
		t.counts.drop(why)
	}
	t.empty(g)
	t.remove(g)
}

// expire gives up packets whose time is over, by the clock of the capture. A
// clock that went back ends them too.
func (t *fragments) expire(now time.Time) {
	for len(t.order) > 0 {
		age := now.Sub(t.order[0].since)
		if age <= fragmentPatience && age >= -fragmentPatience {
			return
		}
		t.giveUp(t.order[0], FragmentsLate)
	}
}

// flush gives up all packets.
func (t *fragments) flush() {
	for len(t.order) > 0 {
		t.giveUp(t.order[0], FragmentsLate)
	}
}
