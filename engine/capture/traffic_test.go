package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

var busy = capturetest.TrafficOptions{
	Packets: 6000, Rate: 2000, Watched: []string{"netflix.com", "nflxvideo.net"}, Watch: 50_000,
	TCP: 50_000, Large: 30_000, Multicast: 40_000, Broken: 10_000, Tagged: 500_000,
}

// house returns a capture file of made-up traffic, and what is to be said of it.
func house(t testing.TB, seed uint64, o capturetest.TrafficOptions, format capturetest.Format) ([]byte, []capturetest.Said, capturetest.Truth) {
	var file bytes.Buffer
	var said []capturetest.Said
	truth, err := capturetest.NewTraffic(seed, o).Write(&file, format, func(s *capturetest.Said) { said = append(said, *s) })
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), said, truth
}

// everyFormat are the formats that the Writer knows.
func everyFormat() map[string]capturetest.Format {
	formats := map[string]capturetest.Format{}
	for _, link := range []LinkType{LinkEthernet, LinkNull, LinkRaw, LinkRawBSD, LinkRawOpen, LinkLoop, LinkLinuxSLL, LinkLinuxSLL2, LinkIPv4, LinkIPv6} {
		formats[fmt.Sprintf("link %d", link)] = capturetest.Format{Link: uint16(link)}
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, ng := range []bool{false, true} {
			for _, micro := range []bool{false, true} {
				formats[fmt.Sprintf("%v ng %v micro %v", order, ng, micro)] = capturetest.Format{Order: order, NG: ng, Micro: micro, Link: 1}
			}
		}
	}
	return formats
}

func TestTrafficIsReadAsItsTruthSays(t *testing.T) {
	for name, format := range everyFormat() {
		t.Run(name, func(t *testing.T) {
			file, said, truth := house(t, 1, busy, format)
			messages, stats := mustRead(t, file)
			for i := range min(len(said), len(messages)) {
				if got, want := messages[i], said[i]; !says(got, want) {
					t.Fatalf("message %d: got %+v, want %+v", i, got, want)
				}
			}
			if stats.Messages != truth.Messages || stats.Queries != truth.Queries || stats.Source.Frames != truth.Frames ||
				stats.Fragments != truth.Fragments || stats.TCPSegments != truth.Segments || len(said) != len(messages) {
				t.Errorf("got %+v with %d messages, want %+v with %d", stats, len(messages), truth, len(said))
			}
			wantCount(t, stats.Lost, FragmentsLate, truth.FragmentsLost)
			var broken uint64
			for _, n := range stats.Undecodable {
				broken += n
			}
			if broken != truth.Broken {
				t.Errorf("got %v undecodable, want %d", stats.Undecodable, truth.Broken)
			}
		})
	}
}

// says compares a message with what is to be said of it.
func says(m *Message, s capturetest.Said) bool {
	if !m.Time.Equal(s.Time) || m.Client != s.Client || m.Server != s.Server || m.ClientMAC != MAC(s.MAC) || (m.Proto == TCP) != s.TCP ||
		m.Response() != s.Response || m.ID != s.ID || m.Question != s.Question || string(m.Name) != s.Name || m.Type != s.Type || m.Class != s.Class ||
		m.Truncated() != s.Truncated || !slices.Equal(m.VLANs.IDs(), s.VLANs) {
		return false
	}
	rcode := dns.RcodeToString[s.Rcode]
	if records, err := m.Records(); err != nil || m.Rcode() != rcode || !slices.EqualFunc(records, s.Answers, sameRecord) {
		return false
	}
	return sameEDNS(m, s.EDNS)
}

func sameRecord(r Record, a capturetest.Answer) bool {
	return r == Record{Name: a.Name, Type: dns.TypeToString[a.Type], TTL: a.TTL, Data: a.Data}
}

// sameEDNS reads the OPT record with miekg/dns.
func sameEDNS(m *Message, want *capturetest.EDNS) bool {
	full, err := m.Decoded()
	if err != nil {
		return false
	}
	opt := full.IsEdns0()
	if opt == nil || want == nil {
		return opt == nil && want == nil
	}
	got := capturetest.EDNS{Size: opt.UDPSize(), DO: opt.Do()}
	for _, option := range opt.Option {
		switch o := option.(type) {
		case *dns.EDNS0_SUBNET:
			address, _ := netip.AddrFromSlice(o.Address)
			got.Subnet, _ = address.Unmap().Prefix(int(o.SourceNetmask))
		case *dns.EDNS0_EDE:
			got.Errors = append(got.Errors, o.InfoCode)
		}
	}
	return got.Size == want.Size && got.DO == want.DO && got.Subnet == want.Subnet && slices.Equal(got.Errors, want.Errors)
}

func TestTrafficHoldsSomeOfEverything(t *testing.T) {
	_, said, truth := house(t, 2, busy, ethernet)
	for what, n := range map[string]uint64{
		"TCP": truth.TCPMessages, "mDNS": truth.MDNS, "LLMNR": truth.LLMNR, "repeated": truth.QueriesRepeated, "answered twice": truth.AnsweredAgain,
		"unanswered": truth.Unanswered, "unasked": truth.Unasked, "watched": truth.Watched, "look-alikes": truth.LookAlikes, "fragments": truth.Fragments,
		"lost fragments": truth.FragmentsLost, "tagged": truth.Tagged, "other": truth.Other, "DHCP": truth.DHCP, "broken": truth.Broken,
		"SERVFAIL": truth.Rcodes[dns.RcodeServerFailure], "NXDOMAIN": truth.Rcodes[dns.RcodeNameError], "PTR": truth.Types[dns.TypePTR],
		"HTTPS": truth.Types[dns.TypeHTTPS], "SRV": truth.Types[dns.TypeSRV],
	} {
		if n == 0 {
			t.Errorf("no %s", what)
		}
	}
	watched := map[string]bool{}
	for _, domain := range busy.Watched {
		watched[domain] = true
	}
	for _, s := range said {
		if s.Within(watched) != s.Watched || (s.Watched && s.LookAlike) {
			t.Fatalf("%+v: within a watched domain is %v", s, s.Within(watched))
		}
		if s.Response && !s.Asked.IsZero() && (s.Asked.After(s.AskedLast) || !s.AskedLast.Before(s.Time)) {
			t.Fatalf("%+v: answered before it was asked", s)
		}
	}
}

// TestTrafficStaysTheSame holds the bytes of a seed: figures of benchmarks are of
// the same file on every machine.
func TestTrafficStaysTheSame(t *testing.T) {
	file, _, _ := house(t, 3, capturetest.TrafficOptions{Packets: 5000, Watched: []string{"netflix.com"}}, ethernet)
	sum := sha256.Sum256(file)
	const want = "b59f45c73f771099"
	if got := hex.EncodeToString(sum[:8]); got != want {
		t.Errorf("got a file of %d bytes with hash %s, want hash %s", len(file), got, want)
	}
}

func TestDomainsDiffer(t *testing.T) {
	const n = 1 << 20
	seen := make(map[string]bool, n)
	for i := range n {
		seen[capturetest.Domain(i)] = true
	}
	if len(seen) != n {
		t.Errorf("got %d different domains of %d", len(seen), n)
	}
}

// BenchmarkTraffic makes traffic; an operation is a frame.
func BenchmarkTraffic(b *testing.B) {
	t := capturetest.NewTraffic(1, capturetest.TrafficOptions{Packets: b.N, Start: time.Unix(0, 0)})
	b.ReportAllocs()
	for range b.N {
		f, _ := t.Next()
		b.SetBytes(int64(len(f.Data)))
	}
}
