package capturetest

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"io"
	"time"
)

// TrafficOptions say what traffic looks like. Shares are in millionths of the
// lookups. The zero value of a field stands for what is beside it; a negative one
// for none.
type TrafficOptions struct {
	Packets int       // 100,000; lookups under way are finished beyond that
	Start   time.Time // of the capture; 2026-11-22 08:00 UTC
	Rate    int       // lookups a second: 20,000
	Clients int       // 200, at most 16,384
	Domains int       // 10,000, those of Domain
	Watched []string  // domains that are to be found, in lower case; none
	Watch   int       // share of names within them: 10,000. Half as many only look so

	TCP       int // share over TCP: 8,000
	Large     int // share answered in fragments: 3,000
	Multicast int // share of mDNS and LLMNR: 10,000
	Other     int // share of packets of other ports and protocols: 30,000
	Broken    int // share of packets to port 53 that hold no message: none
	Tagged    int // share of the clients that are in VLANs: 200,000
}

func (o TrafficOptions) orDefaults() TrafficOptions {
	for _, field := range []struct {
		value    *int
		standard int
	}{
		{&o.Packets, 100_000}, {&o.Rate, 20_000}, {&o.Clients, 200}, {&o.Domains, 10_000}, {&o.Watch, 10_000}, {&o.TCP, 8_000},
		{&o.Large, 3_000}, {&o.Multicast, 10_000}, {&o.Other, 30_000}, {&o.Tagged, 200_000},
	} {
		if *field.value == 0 {
			*field.value = field.standard
		}
		*field.value = max(*field.value, 0)
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	}
	return o
}

// Traffic is a made-up house full of clients that ask for names: an endless variety
// of lookups over UDP and TCP, whole and in pieces, answered, refused, repeated and
// lost, in the order of a capture. Equal seeds and options make equal traffic.
// What a correct reader says of it comes with every frame.
type Traffic struct {
	packets
	options TrafficOptions
	random  pcg
	names   *names
	clients []*client
	servers []Endpoint
	truth   Truth

	now     int64 // nanoseconds since 1970
	unit    int64 // nanoseconds that times are multiples of
	agenda  agenda
	planned uint64
	said    []Said // of the frame at hand
	query   []byte
	reply   []byte
}

// NewTraffic begins Ethernet traffic, for Next. Write makes a file of it instead.
func NewTraffic(seed uint64, o TrafficOptions) *Traffic {
	t := &Traffic{options: o.orDefaults(), random: newPCG(seed), unit: 1}
	t.truth.Rcodes, t.truth.Types = map[int]uint64{}, map[uint16]uint64{}
	t.names = newNames(t.options)
	t.now = t.options.Start.UnixNano()
	t.packets.link, t.packets.order = LinkEthernet, binary.LittleEndian
	return t
}

// Frame is one frame of Traffic. Data and Said are valid until the next one.
type Frame struct {
	Time time.Time
	Data []byte
	// Said are the messages that this frame completes.
	Said []Said
}

// Next returns the next frame; it is false at the end.
func (t *Traffic) Next() (Frame, bool) {
	if t.clients == nil {
		t.populate()
		t.plan(0, begin, nil, 0)
	}
	for len(t.agenda) > 0 {
		next := heap.Pop(&t.agenda).(action)
		t.now, t.frame, t.said = next.at, t.frame[:0], t.said[:0]
		if next.do(t, next.lookup, next.part); len(t.frame) > 0 {
			return t.framed(), true
		}
	}
	return Frame{}, false
}

func (t *Traffic) framed() Frame {
	t.truth.Frames++
	t.truth.Bytes += uint64(len(t.frame))
	for i := range t.said {
		t.truth.say(&t.said[i])
	}
	return Frame{Time: t.moment(t.now), Data: t.frame, Said: t.said}
}

// Truth returns the counts of the frames that Next returned.
func (t *Traffic) Truth() Truth { return t.truth }

// Write writes the traffic as a capture file of any format and link type, frame by
// frame, and calls tell, unless it is nil, with what is to be said of each message
// in order. It must be the first use of the Traffic. Format.Snap cuts frames but
// not the truth.
func (t *Traffic) Write(w io.Writer, format Format, tell func(*Said)) (Truth, error) {
	t.packets.link = format.Link
	if format.Order != nil {
		t.packets.order = format.Order
	}
	if format.Micro {
		t.unit = 1000
	}
	buffered := bufio.NewWriterSize(w, 1<<20)
	out := NewFormatWriter(buffered, format)
	for f, more := t.Next(); more && out.Err() == nil; f, more = t.Next() {
		out.Frame(f.Time, f.Data)
		for i := range f.Said {
			if tell != nil {
				tell(&f.Said[i])
			}
		}
	}
	if err := out.Err(); err != nil {
		return t.truth, err
	}
	return t.truth, buffered.Flush()
}

// moment returns a time as files and readers have it.
func (t *Traffic) moment(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }

// An action makes at most one frame, and plans what follows from it.
type action struct {
	at     int64
	order  uint64 // of equal times
	do     func(t *Traffic, x *exchange, part int)
	lookup *exchange
	part   int
}

// plan lets something happen after a while.
func (t *Traffic) plan(after int64, do func(*Traffic, *exchange, int), x *exchange, part int) {
	t.planned++
	at := t.now + after
	heap.Push(&t.agenda, action{at: at - at%t.unit, order: t.planned, do: do, lookup: x, part: part})
}

// agenda is a heap of what is to come, the next first.
type agenda []action

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || (a[i].at == a[j].at && a[i].order < a[j].order)
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(action)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
