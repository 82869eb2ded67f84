package capturetest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Answer is a record of the answer section, written as a correct reader does:
// names in lower case without the trailing dot.
type Answer struct {
	Name string
	Type uint16
	TTL  uint32
	Data string
}

// answer is what is said to a question, packed once and then copied.
type answer struct {
	rest      []byte // all after the question; names in it may point at the question's
	an, ns    uint16
	rcode     int
	answers   []Answer
	questions int // offset of rest in the message
}

// bulk is the number, from those for private use, that stands for a TXT question
// whose answer fits in no packet.
const bulk = 65280

// answerTo returns the answer to a question, which is always the same.
func (h *host) answerTo(kind uint16) *answer {
	if a := h.answers[kind]; a != nil {
		return a
	}
	if h.answers == nil {
		h.answers = map[uint16]*answer{}
	}
	a := newAnswer(h, kind)
	h.answers[kind] = a
	return a
}

// draft is an answer in the making.
type draft struct {
	msg     dns.Msg
	owner   string // of the next record, in presentation form
	seed    uint64
	answers []Answer
}

func newAnswer(h *host, kind uint16) *answer {
	d := &draft{owner: h.name, seed: scatter(uint64(len(h.wire))<<16 | uint64(h.wire[1])<<8 | uint64(kind))}
	for _, c := range h.wire {
		d.seed = scatter(d.seed + uint64(c))
	}
	asked := kind
	if kind == bulk {
		asked = dns.TypeTXT
	}
	d.msg.Question = []dns.Question{{Name: h.name + ".", Qtype: asked, Qclass: dns.ClassINET}}
	d.msg.Compress = true
	if h.missing {
		d.msg.Rcode = dns.RcodeNameError
	} else {
		d.fill(kind)
	}
	if len(d.msg.Answer) == 0 {
		d.msg.Ns = []dns.RR{&dns.SOA{
			Hdr: d.header("example.", dns.TypeSOA, 900), Ns: "ns1.example.", Mbox: "hostmaster.example.",
			Serial: 2026112201, Refresh: 7200, Retry: 3600, Expire: 1209600, Minttl: 300,
		}}
	}
	return d.packed(len(h.wire))
}

func (d *draft) packed(nameLength int) *answer {
	data := pack(&d.msg)
	from := 12 + nameLength + 4
	return &answer{
		rest: data[from:], an: uint16(len(d.msg.Answer)), ns: uint16(len(d.msg.Ns)),
		rcode: d.msg.Rcode, answers: d.answers, questions: from,
	}
}

// below returns a number from 0 to n-1 that depends on the name and the type.
func (d *draft) below(n int) int {
	d.seed = scatter(d.seed + 1)
	return int(d.seed % uint64(n))
}

func (d *draft) ttl() uint32 { return []uint32{5, 30, 60, 300, 300, 3600, 86400}[d.below(7)] }

func (d *draft) header(owner string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// add appends a record to the answers; data is what a reader says of it.
func (d *draft) add(kind uint16, data string, record func(h dns.RR_Header) dns.RR) {
	ttl := d.ttl()
	d.msg.Answer = append(d.msg.Answer, record(d.header(d.owner+".", kind, ttl)))
	d.answers = append(d.answers, Answer{Name: d.owner, Type: kind, TTL: ttl, Data: data})
}

// fill adds the records of an answer.
func (d *draft) fill(kind uint16) {
	switch kind {
	case dns.TypeA, dns.TypeAAAA:
		d.addresses(kind)
	case dns.TypeHTTPS:
		d.https()
	case dns.TypePTR:
		name := fmt.Sprintf("host-%d.lan.example", d.below(1000))
		d.add(kind, name, func(h dns.RR_Header) dns.RR { return &dns.PTR{Hdr: h, Ptr: name + "."} })
	case dns.TypeTXT:
		d.text("v=spf1 include:_spf.example ip4:192.0.2.0/24 -all")
	case bulk:
		for i := range 8 + d.below(12) {
			d.text(fmt.Sprintf("%02d-%s", i, strings.Repeat("0123456789abcdef", 12)))
		}
	case dns.TypeMX:
		for i := range 1 + d.below(3) {
			name := fmt.Sprintf("mx%d.%s", i, d.owner)
			d.add(kind, fmt.Sprintf("%d %s", 10*i, name), func(h dns.RR_Header) dns.RR {
				return &dns.MX{Hdr: h, Preference: uint16(10 * i), Mx: name + "."}
			})
		}
	case dns.TypeSRV:
		d.add(kind, "0 100 389 dc1.corp.example", func(h dns.RR_Header) dns.RR {
			return &dns.SRV{Hdr: h, Weight: 100, Port: 389, Target: "dc1.corp.example."}
		})
	case dns.TypeNS:
		for i := range 2 + d.below(3) {
			name := fmt.Sprintf("ns%d.dns.example", i)
			d.add(kind, name, func(h dns.RR_Header) dns.RR { return &dns.NS{Hdr: h, Ns: name + "."} })
		}
	case dns.TypeSOA:
		d.add(kind, "ns1.dns.example hostmaster.example 7 7200 3600 1209600 300", func(h dns.RR_Header) dns.RR {
			return &dns.SOA{Hdr: h, Ns: "ns1.dns.example.", Mbox: "hostmaster.example.", Serial: 7, Refresh: 7200, Retry: 3600, Expire: 1209600, Minttl: 300}
		})
	case dns.TypeCAA:
		d.add(kind, `0 issue "ca.example"`, func(h dns.RR_Header) dns.RR { return &dns.CAA{Hdr: h, Tag: "issue", Value: "ca.example"} })
	}
}

func (d *draft) text(text string) {
	d.add(dns.TypeTXT, `"`+text+`"`, func(h dns.RR_Header) dns.RR { return &dns.TXT{Hdr: h, Txt: []string{text}} })
}

// chain follows up to three aliases.
func (d *draft) chain() {
	for i := range max(0, d.below(6)-2) {
		target := fmt.Sprintf("e%d.edge%d.%s", d.below(10000), i, Domain(1<<20+d.below(300)))
		d.add(dns.TypeCNAME, target, func(h dns.RR_Header) dns.RR { return &dns.CNAME{Hdr: h, Target: target + "."} })
		d.owner = target
	}
}

func (d *draft) addresses(kind uint16) {
	d.chain()
	if kind == dns.TypeAAAA && d.below(10) < 3 {
		return // there is none of this type
	}
	for range 1 + max(0, d.below(8)-3) {
		if kind == dns.TypeA {
			ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(d.below(256))})
			d.add(kind, ip.String(), func(h dns.RR_Header) dns.RR { return &dns.A{Hdr: h, A: net.IP(ip.AsSlice())} })
			continue
		}
		ip := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0x0f, 13: byte(d.below(256)), 15: byte(1 + d.below(255))})
		d.add(kind, ip.String(), func(h dns.RR_Header) dns.RR { return &dns.AAAA{Hdr: h, AAAA: net.IP(ip.AsSlice())} })
	}
}

func (d *draft) https() {
	if d.below(10) < 6 {
		d.chain()
		return
	}
	d.add(dns.TypeHTTPS, `1 . alpn="h2,h3"`, func(h dns.RR_Header) dns.RR {
		return &dns.HTTPS{SVCB: dns.SVCB{Hdr: h, Priority: 1, Target: ".", Value: []dns.SVCBKeyValue{&dns.SVCBAlpn{Alpn: []string{"h2", "h3"}}}}}
	})
}
