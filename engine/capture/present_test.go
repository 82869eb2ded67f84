package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// miekgData is the presentation of a record by miekg/dns alone, names in lower
// case and without the trailing dot; ok is false where it has none.
func miekgData(raw []byte, r outline) (text string, ok bool) {
	rr, end, err := dns.UnpackRR(raw[:r.end], r.start)
	if err != nil || end != r.end {
		return "", false
	}
	if _, unknown := rr.(*dns.RFC3597); unknown {
		return "", false
	}
	normaliseNames(reflect.ValueOf(rr).Elem())
	return strings.CutPrefix(rr.String(), rr.Header().String())
}

// record returns a response with one answer of this type and data, and where it
// lies.
func record(kind uint16, data []byte) ([]byte, outline) {
	raw := lookup(1).Query()
	raw[2], raw[7] = 0x80, 1
	start := len(raw)
	raw = append(raw, 0xc0, headerSize)
	raw = binary.BigEndian.AppendUint16(raw, kind)
	raw = append(raw, 0, 1, 0, 0, 0, 60)
	raw = append(binary.BigEndian.AppendUint16(raw, uint16(len(data))), data...)
	w := recordWalk{raw: raw, off: start}
	r, err := w.next()
	if err != nil {
		panic(err)
	}
	return raw, r
}

// FuzzPresentation holds what we write of a record's data against miekg/dns, for
// all that both accept.
func FuzzPresentation(f *testing.F) {
	for _, kind := range []string{"MX 10 a;b.Example.", `TXT "a\"b" "\\c"`, `SRV 1 2 3 \@.a\.b.`, `NAPTR 1 2 "s" "a\"" "!x!" r.`, "SOA a. b. 1 2 3 4 5", `CAA 0 issue "x;y"`,
		`HTTPS 1 . alpn="h2,h\\\\,3" port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1 ech="AAAA" key65280="a b"`, "NSEC b. A NS TYPE65280", "DS 1 2 3 abcd",
		"RRSIG A 8 2 300 20261122000000 20251122000000 1 a. AAAA", "URI 1 2 \"https://example.org/\"", "LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m"} {
		rr, err := dns.NewRR(". IN " + kind)
		if err != nil {
			f.Fatal(err)
		}
		wire := make([]byte, 4096)
		n, err := dns.PackRR(rr, wire, 0, nil, false)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rr.Header().Rrtype, wire[1+recordHeaderSize:n])
	}
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		if len(data) == 0 || len(data) > 60000 || isName(kind) {
			return
		}
		raw, r := record(kind, data)
		got := string(r.appendData([]byte("x"), raw)[1:])
		if got == string(appendGeneric(nil, data)) || kind == dns.TypeA || kind == dns.TypeAAAA {
			return
		}
		want, ok := miekgData(raw, r)
		if strings.Contains(want, "None") { // TYPE0
			return
		}
		differs := kind == dns.TypeCAA || kind == dns.TypeURI // where miekg/dns takes a backslash for an escape
		if differs && bytes.IndexByte(data, '\\') >= 0 {
			return
		}
		if !ok || got != want {
			t.Fatalf("type %s, data %x:\ngot  %s\nwant %s, %v", typeName(kind), data, got, want, ok)
		}
	})
}

func TestDataThatBreaksItsRulesIsGeneric(t *testing.T) {
	for name, test := range map[string]struct {
		kind uint16
		data string
	}{
		"MX without a name":          {dns.TypeMX, "000a"},
		"MX with more":               {dns.TypeMX, "000a0000"},
		"MX that points forward":     {dns.TypeMX, "000ac0ff"},
		"MX that points to itself":   {dns.TypeMX, "000ac031"},
		"SOA cut":                    {dns.TypeSOA, "0000000000010000"},
		"TXT longer than the record": {dns.TypeTXT, "0361"},
		"DS of two bytes":            {dns.TypeDS, "0001"},
		"TLSA of two bytes":          {dns.TypeTLSA, "0301"},
		"RP that points forward":     {dns.TypeRP, "c02e0000"},
		"HIP with a compressed name": {dns.TypeHIP, "0102000211aabbc00c"},
		"NSEC with an empty window":  {dns.TypeNSEC, "000000"},
		"NSEC out of order":          {dns.TypeNSEC, "00010140000140"},
		"SVCB keys out of order":     {dns.TypeSVCB, "00010000030002000000010000"},
		"SVCB with half a port":      {dns.TypeSVCB, "0001000003000101"},
		"ALPN of nothing":            {dns.TypeHTTPS, "0001000001000100"},
		"LOC of another version":     {dns.TypeLOC, "01000000000000000000000000000000"},
		"a type without text form":   {dns.TypeNULL, "abcd"},
		"an unknown type":            {65280, "abcd"},
	} {
		data, err := hex.DecodeString(test.data)
		if err != nil {
			t.Fatal(err)
		}
		raw, r := record(test.kind, data)
		if got, want := string(r.appendData(nil, raw)), string(appendGeneric(nil, data)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestPresentationAllocatesNothing(t *testing.T) {
	var room []byte
	for _, text := range []string{
		"A 192.0.2.1", "AAAA 2001:db8::1", "CNAME a.example.", "MX 10 a.example.", `TXT "a" "b"`, "SOA a. b. 1 2 3 4 5", "SRV 1 2 3 a.",
		"HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1", `CAA 0 issue "ca.example"`, "RRSIG A 8 2 300 20261122000000 20251122000000 1 a. AAAA", "NSEC b. A NS",
	} {
		rr, err := dns.NewRR("example.org. IN " + text)
		if err != nil {
			t.Fatal(err)
		}
		m := message(t, packed(t, rr))
		n := testing.AllocsPerRun(50, func() {
			for w := m.Answers(); w.Next(); {
				room = w.AppendData(w.AppendName(room[:0]))
			}
		})
		if n != 0 {
			t.Errorf("%s: got %v allocations, want none", text, n)
		}
	}
}
