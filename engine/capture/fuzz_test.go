package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

// maxFuzzFrames ends the reading of files that decompress to very much.
const maxFuzzFrames = 2000

// The seeds below and in testdata/fuzz run with every go test.

func FuzzPcap(f *testing.F) {
	f.Add(written(ethernet, exchanges(2)))
	f.Add(written(capturetest.Format{Order: binary.BigEndian, Link: 1, Micro: true, Snap: 60}, exchanges(1)))
	f.Add(gzipped(written(ethernet, exchanges(2))))
	f.Add(zstandard(written(ethernet, exchanges(2))))
	f.Fuzz(fuzzFile)
}

func FuzzPcapNG(f *testing.F) {
	f.Add(written(capturetest.Format{NG: true, Link: 1}, exchanges(2)))
	f.Add(written(capturetest.Format{NG: true, Order: binary.BigEndian, Link: 101, Micro: true}, exchanges(1)))
	f.Fuzz(fuzzFile)
}

func fuzzFile(t *testing.T, data []byte) {
	src, err := NewFile(t.Context(), "fuzz", bytes.NewReader(data))
	if err != nil {
		return
	}
	defer src.Close()
	d := NewDecoder()
	var frame Frame
	for range maxFuzzFrames {
		if src.Next(t.Context(), &frame) != nil {
			break
		}
		if len(frame.Data) > maxFrame || frame.Length < len(frame.Data) || frame.Time.Year() > 9999 {
			t.Fatalf("frame of %d bytes, length %d, time %v", len(frame.Data), frame.Length, frame.Time)
		}
		d.Decode(&frame)
		checkMessages(t, d)
	}
	d.Flush()
	checkMessages(t, d)
}

// FuzzScan reads whatever bytes in pieces of any size, by one reader and by two
// workers: both say the same. Compression is ours, so that files do not explode.
func FuzzScan(f *testing.F) {
	o := capturetest.TrafficOptions{Packets: 3, TCP: 200_000, Large: -1, Broken: 200_000, Domains: 10}
	for i, format := range []capturetest.Format{ethernet, {NG: true, Link: 1}, {Order: binary.BigEndian, NG: true, Link: 113}, {Order: binary.BigEndian, Micro: true, Link: 276}} {
		var file bytes.Buffer
		if _, err := capturetest.NewTraffic(uint64(i), o).Write(&file, format, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes(), uint16(97*i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, readSize uint16, how uint8) {
		if bytes.HasPrefix(data, magicGzip) || bytes.HasPrefix(data, magicZstd) {
			return
		}
		switch how % 8 {
		case 1:
			data = gzipped(data)
		case 2:
			data = zstandard(data)
		}
		wants := questions[[...]string{"all", "none", "some", "responses"}[how/8%4]]
		want := readAll(t, data, 0, wants)
		compare(t, readAll(t, data, int(readSize), wants), want)
		compare(t, scanAll(t, data, int(readSize), 2, wants), want)
	})
}

func FuzzFrame(f *testing.F) {
	for link, data := range map[LinkType][]byte{
		LinkEthernet: lookup(1).ResponseFrame(), LinkRaw: ip6With(0, extension(17, 8)), LinkNull: append([]byte{2, 0, 0, 0}, ipQuery(1)...),
	} {
		f.Add(uint16(link), 0, data)
	}
	f.Add(uint16(1), 5, capturetest.Ethernet(client, server, []uint16{1, 2, 3}, ipQuery(1)))
	f.Fuzz(func(t *testing.T, link uint16, cut int, data []byte) {
		d := NewDecoder()
		for range 2 {
			d.Decode(&Frame{Time: start, Link: LinkType(link), Data: data, Length: len(data) + max(cut, 0)})
			checkMessages(t, d)
		}
		checkBooks(t, d)
		d.Flush()
		checkMessages(t, d)
	})
}

// checkMessages takes the messages that are ready and all that can be asked of
// them, and holds the question against miekg/dns.
func checkMessages(t *testing.T, d *Decoder) {
	for m := d.Next(); m != nil; m = d.Next() {
		fields := m.Fields()
		text, err := json.Marshal(fields)
		if err != nil || !utf8.Valid(text) {
			t.Fatalf("%v: %v", fields, err)
		}
		if records, err := m.Records(); err == nil {
			for _, r := range records {
				if strings.ContainsAny(r.Name+r.Type+r.Data, "\n\t") || !utf8.ValidString(r.Data) {
					t.Fatalf("record %+v", r)
				}
			}
		}
		checkQuestion(t, m)
		m.Clone()
	}
}

func checkQuestion(t *testing.T, m *Message) {
	full, err := m.Decoded()
	if err != nil || len(full.Question) == 0 {
		return
	}
	q := full.Question[0]
	class := q.Qclass
	if m.Service == MDNS {
		class &^= mdnsTopBit
	}
	if !m.Question || string(m.Name) != asWeWrite(q.Name) || m.Type != q.Qtype || m.Class != class || m.ID != full.Id || m.Response() != full.Response {
		t.Fatalf("got %q %d %d, miekg/dns has %+v", m.Name, m.Type, m.Class, q)
	}
}

// asWeWrite writes a name of miekg/dns as we do.
func asWeWrite(name string) string {
	var out, label []byte
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '.':
			if out = appendLabel(out, label); i < len(name)-1 {
				out = append(out, '.')
			}
			label = label[:0]
		case name[i] != '\\':
			label = append(label, name[i])
		case name[i+1] < '0' || name[i+1] > '9':
			label = append(label, name[i+1])
			i++
		default:
			label = append(label, (name[i+1]-'0')*100+(name[i+2]-'0')*10+name[i+3]-'0')
			i += 3
		}
	}
	if name == "." {
		return name
	}
	return string(out)
}

func FuzzName(f *testing.F) {
	f.Add([]byte("\x07example\x03org\x00\x03www\xc0\x00"), 13)
	f.Add([]byte("\xc0\x00"), 0)
	f.Add([]byte("\x04a.\\ \x00"), 0)
	f.Fuzz(func(t *testing.T, msg []byte, off int) {
		if off < 0 || off > len(msg) {
			return
		}
		name, end, err := appendName(nil, msg, off)
		if len(msg) >= headerSize {
			fast, fastEnd, plain := plainName(nil, msg, off)
			if plain && (err != nil || fastEnd != end || string(fast) != string(name)) {
				t.Fatalf("eight bytes at a time: got %q to %d, one by one %q to %d, %v", fast, fastEnd, name, end, err)
			}
		}
		if err != nil {
			return
		}
		if skipped, err := skipName(msg, off); err != nil || skipped != end {
			t.Fatalf("ends at %d, skipped to %d, %v", end, skipped, err)
		}
		theirs, theirEnd, err := dns.UnpackDomainName(msg, off)
		if err != nil || theirEnd != end || asWeWrite(theirs) != string(name) {
			t.Fatalf("got %q to %d, miekg/dns has %q to %d, %v", name, end, theirs, theirEnd, err)
		}
	})
}

// FuzzTCP plays a script of segments: two bytes of place, one of flags, one of
// length, one of direction and time each, cut out of a stream of messages or, by
// a flag, out of the script.
func FuzzTCP(f *testing.F) {
	f.Add([]byte{0, 0, 2, 0, 0, 0, 1, 16, 100, 0, 0, 101, 16, 100, 0})
	f.Add([]byte{0, 0, 2, 0, 0, 0, 51, 16, 100, 0, 0, 1, 16, 50, 0, 0, 200, 16, 90, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		c := talk(20)
		d := NewDecoder()
		now := start
		for ; len(script) >= 5; script = script[5:] {
			place, flags, length := int(binary.BigEndian.Uint16(script)), script[2], int(script[3])
			data := c.data[min(place, len(c.data)):]
			if flags&0x80 != 0 {
				data = script[5:]
			}
			from, to := client, server
			if script[4]&1 != 0 {
				from, to = server, client
			}
			now = now.Add(time.Duration(script[4]>>1) * time.Second)
			segment := capturetest.Segment(from, to, firstSeq-1+uint32(place), uint32(place), flags, data[:min(length, len(data))])
			packet := capturetest.IP(from, to, capturetest.ProtoTCP, 1, segment)
			d.Decode(&Frame{Time: now, Link: LinkRaw, Data: packet, Length: len(packet)})
			checkMessages(t, d)
			checkBooks(t, d)
		}
		d.Flush()
		checkMessages(t, d)
		checkBooks(t, d)
	})
}

// FuzzFragments plays a script of fragments: two bytes of place, one of length,
// one of flags and identification each.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 0, 3, 1, 0, 3, 200, 0})
	f.Add([]byte{0, 3, 200, 0, 0, 0, 3, 1, 0, 0, 3, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		payload := capturetest.UDP(server, client, lookup(1).Response())
		d := NewDecoder()
		for ; len(script) >= 4; script = script[4:] {
			offset := 8 * int(binary.BigEndian.Uint16(script))
			begin := min(offset, len(payload))
			piece := payload[begin:min(begin+8*int(script[2]), len(payload))]
			from, to := server, client
			if script[3]&2 != 0 {
				from, to = server6, client6
			}
			packet := capturetest.Fragment(from, to, capturetest.ProtoUDP, uint32(script[3]>>3), offset&0xffff, script[3]&1 != 0, piece)
			d.Decode(&Frame{Time: start, Link: LinkRaw, Data: packet, Length: len(packet)})
			checkMessages(t, d)
			checkBooks(t, d)
		}
		d.Flush()
		checkBooks(t, d)
	})
}

// checkBooks holds what the reassembly believes to hold against what it holds.
func checkBooks(t *testing.T, d *Decoder) {
	streams, bytes := held(d)
	if streams != len(d.streams.byKey) || bytes != d.streams.bytes || bytes > maxStreamBytes {
		t.Fatalf("streams: holds %d with %d bytes, the books say %d and %d", streams, bytes, len(d.streams.byKey), d.streams.bytes)
	}
	bytes = 0
	for _, g := range d.fragments.order {
		for _, p := range g.parts {
			bytes += len(p.data) + fragmentBookkeeping
		}
	}
	if len(d.fragments.order) != len(d.fragments.byKey) || bytes != d.fragments.bytes || bytes > maxFragmentBytes {
		t.Fatalf("fragments: holds %d with %d bytes, the books say %d and %d", len(d.fragments.order), bytes, len(d.fragments.byKey), d.fragments.bytes)
	}
}

// FuzzLookups asks the table about whatever messages: a query always is a lookup,
// a response right after its query never.
func FuzzLookups(f *testing.F) {
	f.Add([]byte("www.example.org"), uint16(1), uint16(2), int64(0))
	f.Fuzz(func(t *testing.T, name []byte, id, kind uint16, nanos int64) {
		l := NewLookups()
		m := &Message{Time: time.Unix(0, nanos), Name: name, ID: id, Type: kind, Client: netip.AddrPort{}, Server: server.Addr}
		alone := *m
		alone.Flags = flagQR
		if !l.Pair(&alone).Lookup || !l.Pair(m).Lookup || l.Pair(&alone).Lookup {
			t.Fatalf("%+v: response alone, query and response want to be true, true and false", m)
		}
	})
}

// FuzzPairing plays queries and responses in any order, four bytes each: which one,
// its id, and how much time goes by, forth or back. Every query and every response
// is counted once.
func FuzzPairing(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 40, 0, 0, 1, 5, 0, 0, 1, 35, 0, 1, 1, 0, 0})
	f.Add([]byte{0, 1, 0, 0, 0, 1, 200, 0, 3, 1, 0, 0, 2, 1, 250, 0, 1, 2, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		l, now := NewLookups(), start
		lookups, responses := uint64(0), uint64(0)
		for ; len(script) >= 4; script = script[4:] {
			now = now.Add(time.Duration(int8(script[2]))*time.Second + time.Duration(script[3])*time.Millisecond)
			m := &Message{Time: now, ID: uint16(script[1]), Name: []byte("a.example"), Type: 1, Class: 1, Question: script[0]&2 == 0, Client: client.Addr, Server: server.Addr}
			if script[0]&1 != 0 {
				m.Flags = flagQR
				responses++
			}
			p := l.Pair(m)
			if p.Key == 0 || p.Elapsed < 0 || (p.Paired && (p.Lookup || !m.Response())) || (p.Repeated && m.Response()) || (p.Answered && !p.Paired) {
				t.Fatalf("%+v of %+v", p, m)
			}
			if !m.Response() && !p.Repeated {
				lookups++
			}
		}
		waiting := uint64(0)
		for _, n := range l.waiting.seconds {
			waiting += uint64(n)
		}
		s := l.Stats()
		if got := s.Answered + s.Unanswered + waiting; got != lookups {
			t.Fatalf("%d lookups, %d counted: %+v, %d waiting", lookups, got, s, waiting)
		}
		if got := s.Answered + s.AnsweredTwice + s.WithoutQuery; got != responses {
			t.Fatalf("%d responses, %d counted: %+v", responses, got, s)
		}
	})
}
