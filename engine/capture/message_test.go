package capture

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

// message returns the message that raw is as a datagram from the server.
func message(t *testing.T, raw []byte) *Message {
	t.Helper()
	messages, stats := decode(LinkEthernet, capturetest.Datagram(server, client, nil, raw))
	if len(messages) != 1 {
		t.Fatalf("got %d messages, want 1 (%+v)", len(messages), stats)
	}
	return messages[0]
}

func TestNames(t *testing.T) {
	for wire, want := range map[string]string{
		"\x00":                                    ".",
		"\x03www\x07Example\x03ORG\x00":           "www.example.org",
		"\x01.\x01\\\x00":                         `\046.\092`,
		"\x05a b\x00c\x00":                        `a\032b\000c`,
		"\x02\xc3\xa4\x04_dns\x00":                `\195\164._dns`,
		"\x07\"(;@$'~\x00":                        `"(;@$'~`,
		"\x01\x7f\x00":                            `\127`,
		strings.Repeat("\x01a", 127) + "\x00":     strings.Repeat("a.", 126) + "a",
		"\x3f" + strings.Repeat("Z", 63) + "\x00": strings.Repeat("z", 63),
	} {
		got, end, err := appendName(nil, []byte(wire), 0)
		if err != nil || string(got) != want || end != len(wire) {
			t.Errorf("%q: got %q, end %d, %v; want %q, end %d", wire, got, end, err, want, len(wire))
		}
	}
}

func TestCompressedName(t *testing.T) {
	msg := []byte("\x07example\x03org\x00\x03www\xc0\x00\xc0\x0d!")
	got, end, err := appendName([]byte("x "), msg, 19)
	if err != nil || string(got) != "x www.example.org" || end != 21 {
		t.Errorf("got %q, %d, %v; want %q, 21", got, end, err, "x www.example.org")
	}
}

func TestMalformedNames(t *testing.T) {
	for name, test := range map[string]struct {
		wire string
		off  int
		want error
	}{
		"nothing":        {"", 0, errCut},
		"no end":         {"\x01a", 0, errCut},
		"half a label":   {"\x05abc", 0, errCut},
		"half a pointer": {"\x01a\xc0", 0, errCut},
		"to itself":      {"\xc0\x00", 0, errName},
		"forward":        {"\xc0\x02\x00", 0, errName},
		"two in a loop":  {"\x01a\xc0\x04\x01b\xc0\x00", 4, errName},
		"into the label": {"\x01a\xc0\x01", 0, errName},
		"label type 01":  {"\x40", 0, errName},
		"label type 10":  {"\x80", 0, errName},
		"256 bytes":      {strings.Repeat("\x01a", 127) + "\x01a\x00", 0, errName},
	} {
		if _, _, err := appendName(nil, []byte(test.wire), test.off); err != test.want {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

// A chain of pointers, each to the one before, costs no more than its bound.
func TestChainOfPointersIsBounded(t *testing.T) {
	chain := []byte{0}
	for at := 0; at < 400; at += 2 {
		target := max(at-1, 0)
		chain = append(chain, 0xc0|byte(target>>8), byte(target))
	}
	if _, _, err := appendName(nil, chain, len(chain)-2); err != errName {
		t.Errorf("got %v, want %v", err, errName)
	}
	if _, _, err := appendName(nil, chain, 2*100-1); err != nil {
		t.Errorf("100 pointers: got %v, want none", err)
	}
}

// presented returns the record of a response that says text in zone file form.
func presented(t *testing.T, text string) Record {
	t.Helper()
	rr, err := dns.NewRR("Name.example.org. 300 " + text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answered(t, rr)
}

func answered(t *testing.T, rr dns.RR) Record {
	t.Helper()
	records, err := message(t, packed(t, rr)).Records()
	if err != nil || len(records) != 1 {
		t.Fatalf("%v: got %v, %v; want one record", rr, records, err)
	}
	return records[0]
}

// packed returns a response with these answers.
func packed(t *testing.T, answers ...dns.RR) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("name.example.org.", dns.TypeA)
	m.Response, m.Compress, m.Answer = true, true, answers
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRecordData(t *testing.T) {
	for text, want := range map[string]string{
		"IN A 192.0.2.1":                          "192.0.2.1",
		"IN AAAA 2001:db8::1":                     "2001:db8::1",
		"IN AAAA ::ffff:192.0.2.1":                "::ffff:192.0.2.1",
		"IN CNAME WWW.Example.Org.":               "www.example.org",
		"IN NS .":                                 ".",
		`IN PTR My\032Printer._ipp._tcp.local.`:   `my\032printer._ipp._tcp.local`,
		"IN MX 10 Mail.example.org.":              "10 mail.example.org",
		"IN SRV 1 2 443 Host.example.org.":        "1 2 443 host.example.org",
		"IN SRV 0 0 0 .":                          "0 0 0 .",
		"IN SOA Ns.example.org. A.b. 1 2 3 4 5":   "ns.example.org a.b 1 2 3 4 5",
		`IN TXT "v=spf1 -all" "a \"b\" \195\164"`: `"v=spf1 -all" "a \"b\" \195\164"`,
		`IN HTTPS 1 . alpn="h2,h3"`:               `1 . alpn="h2,h3"`,
		`IN HTTPS 0 Svc.example.org.`:             `0 svc.example.org`,
		`IN CAA 0 issue "example.org"`:            `0 issue "example.org"`,
		`IN TYPE65280 \# 3 0a0b0c`:                `\# 3 0a0b0c`,
		`IN NULL \# 2 0102`:                       `\# 2 0102`,
		"IN NSEC Next.example.org. A MX":          "next.example.org A MX",
	} {
		r := presented(t, text)
		if r.Data != want {
			t.Errorf("%s: got %q, want %q", text, r.Data, want)
		}
		if r.Name != "name.example.org" || r.TTL != 300 || r.Type != strings.Fields(text)[1] {
			t.Errorf("%s: got %+v", text, r)
		}
	}
}

func TestRecordThatBreaksTheRulesOfItsType(t *testing.T) {
	for kind, data := range map[uint16]string{
		dns.TypeA: "c00002", dns.TypeAAAA: "20010db8", dns.TypeMX: "00", dns.TypeTXT: "05aa",
		dns.TypeCNAME: "0161000000", dns.TypeOPT: "0001", dns.TypeTSIG: "00",
	} {
		r := answered(t, &dns.RFC3597{Hdr: dns.RR_Header{Name: "name.example.org.", Rrtype: kind, Class: 1}, Rdata: data})
		want := fmt.Sprintf(`\# %d %s`, len(data)/2, data)
		if r.Data != want || r.Type != typeName(kind) {
			t.Errorf("type %d: got %+v, want %s", kind, r, want)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	l := lookup(1)
	l.Answers = append(l.Answers, "host1.example.org. 5 IN CNAME a.example.org.")
	raw := l.Response()
	second := message(t, raw)
	for cut := len(lookup(1).Response()) + 1; cut < len(raw); cut++ {
		records, err := message(t, raw[:cut]).Records()
		if err == nil || len(records) != 1 {
			t.Errorf("cut to %d of %d bytes: got %v, %v; want the first record and an error", cut, len(raw), records, err)
		}
	}
	if records, err := message(t, raw[:len(lookup(1).Response())]).Records(); err != nil || len(records) != 1 {
		t.Errorf("ending between records: got %v, %v; want one record", records, err)
	}
	loop := slices.Clone(raw)
	loop[len(loop)-2], loop[len(loop)-1] = 0xc0|byte((len(loop)-2)>>8), byte(len(loop)-2) // the CNAME points at its own pointer
	if _, err := message(t, loop).Records(); err == nil {
		t.Error("a loop in a CNAME: got no error")
	}
	if records, err := second.Records(); err != nil || len(records) != 2 {
		t.Errorf("whole: got %v, %v", records, err)
	}
}

func TestHeaderTexts(t *testing.T) {
	raw := lookup(1).Response()
	for _, test := range []struct {
		flags         uint16
		opcode, rcode string
		names         []string
	}{
		{0x8180, "QUERY", "NOERROR", []string{"RD", "RA"}},
		{0x8583, "QUERY", "NXDOMAIN", []string{"AA", "RD", "RA"}},
		{0xffff, "OPCODE15", "RCODE15", []string{"AA", "TC", "RD", "RA", "Z", "AD", "CD"}},
		{0xa805, "UPDATE", "REFUSED", []string{}},
		{0xa000, "NOTIFY", "NOERROR", []string{}},
	} {
		binary.BigEndian.PutUint16(raw[2:], test.flags)
		m := message(t, raw)
		if m.Opcode() != test.opcode || m.Rcode() != test.rcode || !slices.Equal(m.FlagNames(), test.names) {
			t.Errorf("%#x: got %s, %s, %v; want %+v", test.flags, m.Opcode(), m.Rcode(), m.FlagNames(), test)
		}
	}
}

func TestExtendedRcode(t *testing.T) {
	for code, want := range map[int]string{dns.RcodeBadVers: "BADVERS", dns.RcodeBadCookie: "BADCOOKIE", 0xfff: "RCODE4095", dns.RcodeServerFailure: "SERVFAIL"} {
		m := new(dns.Msg)
		m.SetQuestion("example.org.", dns.TypeA)
		m.Response = true
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeA, Class: 1}, A: []byte{192, 0, 2, 1}}}
		m.SetEdns0(1232, false)
		m.Rcode = code
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := message(t, raw).Rcode(); got != want {
			t.Errorf("%d: got %s, want %s", code, got, want)
		}
	}
}

func TestTypeAndClassNames(t *testing.T) {
	raw := lookup(1).Query()
	for code, want := range map[uint16][2]string{
		1: {"A", "IN"}, 28: {"AAAA", "CLASS28"}, 0: {"TYPE0", "CLASS0"}, 255: {"ANY", "ANY"}, 65280: {"TYPE65280", "CLASS65280"}, 65: {"HTTPS", "CLASS65"}, 3: {"MD", "CH"},
	} {
		binary.BigEndian.PutUint16(raw[len(raw)-4:], code)
		binary.BigEndian.PutUint16(raw[len(raw)-2:], code)
		if m := message(t, raw); m.TypeName() != want[0] || m.ClassName() != want[1] {
			t.Errorf("%d: got %s %s, want %v", code, m.TypeName(), m.ClassName(), want)
		}
	}
}

func TestMessageWithoutQuestion(t *testing.T) {
	for _, header := range []string{"12348005000000000000000000", "123480050001000000000000"} {
		raw, _ := hex.DecodeString(header)
		m := message(t, raw[:12])
		if m.Question || m.TypeName() != "" || m.ClassName() != "" || len(m.Name) != 0 || m.Rcode() != "REFUSED" {
			t.Errorf("%s: got %+v", header, m)
		}
		if records, err := m.Records(); err != nil || len(records) != 0 {
			t.Errorf("%s: records: got %v, %v", header, records, err)
		}
	}
}

func TestFields(t *testing.T) {
	l := lookup(4711)
	l.Name = "Host4711.example.ORG"
	messages, _ := decode(LinkEthernet, l.QueryFrame(), l.ResponseFrame())
	want := map[string]any{
		"client": "192.0.2.7", "client_port": int64(40000), "server": "192.0.2.53", "server_port": int64(53),
		"proto": "udp", "id": int64(4711), "response": false, "opcode": "QUERY", "query": "host4711.example.org", "type": "A", "class": "IN",
		"rcode": "NOERROR", "flags": []any{"RD"}, "answers": []any{}, "client_mac": "02:00:00:00:00:07",
	}
	if got := messages[0].Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("query:\n got %v\nwant %v", got, want)
	}
	want["response"], want["flags"] = true, []any{"RD", "RA"}
	want["answers"] = []any{map[string]any{"name": "host4711.example.org", "type": "A", "ttl": int64(300), "data": "192.0.2.80"}}
	if got := messages[1].Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("response:\n got %v\nwant %v", got, want)
	}
	messages, _ = decode(LinkRaw, ipQuery(1))
	if mac, there := messages[0].Fields()["client_mac"]; there {
		t.Errorf("client_mac of a link without addresses: got %v, want none", mac)
	}
}

func TestDecodedAndClone(t *testing.T) {
	m := message(t, lookup(1).Response())
	full, err := m.Decoded()
	if err != nil || len(full.Answer) != 1 {
		t.Fatalf("got %v, %v", full, err)
	}
	if again, _ := m.Decoded(); again != full {
		t.Error("decoded twice")
	}
	c := m.Clone()
	c.Name[0], c.Raw[0] = 'X', 0xff
	if m.Name[0] == 'X' || m.Raw[0] == 0xff {
		t.Error("the clone shares bytes")
	}
	if _, err := message(t, append(lookup(1).Query()[:10:10], append([]byte{0, 1}, lookup(1).Query()[12:]...)...)).Decoded(); err != nil {
		t.Errorf("a lying count: got %v", err)
	}
}
