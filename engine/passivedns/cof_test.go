package passivedns_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"larkspur/engine"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/passivedns"
)

// An export into an empty memory makes an equal one: the same export, histories
// and domains that are known.
func TestExportAndImport(t *testing.T) {
	a, b := newBench(t), newBench(t)
	var file bytes.Buffer
	_, err := capturetest.NewTraffic(11, capturetest.TrafficOptions{Packets: 10_000}).Write(&file, capturetest.Format{Link: capturetest.LinkEthernet}, func(*capturetest.Said) {})
	must(t, err)
	a.observe(read(t, &file)...)
	a.observe(messages(t, false,
		capturetest.Lookup{Name: `od\.d\032.example.org`, Type: "TXT", Answers: []string{`od\.d\032.example.org. 1 IN TXT "a\"b\\c\000" "" "long"`}},
		capturetest.Lookup{Name: "svc.example.org", Type: "HTTPS", Answers: []string{`svc.example.org. 1 IN HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1`}},
		capturetest.Lookup{Name: "x.example.org", Type: "SRV", Answers: []string{`x.example.org. 1 IN SRV 1 2 443 Srv.example.org.`}},
		capturetest.Lookup{Name: "y.example.org", Answers: []string{`y.example.org. 1 IN TYPE65280 \# 3 010203`}},
		capturetest.Lookup{Name: "gone.example.org", Rcode: "NXDOMAIN"},
		capturetest.Lookup{Name: "none.example.org"})...)
	var first, second bytes.Buffer
	must(t, a.Export(t.Context(), &first, "home"))
	report, err := b.Import(t.Context(), bytes.NewReader(first.Bytes()))
	must(t, err)
	if n := uint64(bytes.Count(first.Bytes(), []byte("\n"))); report.Lines != n || report.Records != n || report.Refused != nil || n < 1000 {
		t.Errorf("got %+v of %d lines", report, n)
	}
	must(t, b.Export(t.Context(), &second, "home"))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the exports differ:\n%.500s\n%.500s", first.String(), second.String())
	}
	pa, err := a.History(engine.DNSQuery{Domain: "example.org", Limit: 100})
	must(t, err)
	pb, err := b.History(engine.DNSQuery{Domain: "example.org", Limit: 100})
	must(t, err)
	for i := range pa.Records {
		pa.Records[i].Clients = nil
	}
	if !reflect.DeepEqual(pa.Records, pb.Records) || len(pa.Records) < 6 {
		t.Errorf("got %v, want %v", pb.Records, pa.Records)
	}
	if s := b.Domain(messages(t, false, capturetest.Lookup{Name: "other.example.org"})[0]); !s.Known {
		t.Errorf("got %+v", s)
	}
}

// What other programs write is read, too.
func TestImportOfOthers(t *testing.T) {
	b := newBench(t)
	text := strings.Join([]string{
		`{"rrname":"WWW.Example.ORG.","rrtype":"A","rdata":["192.0.2.1","192.0.2.2"],"time_first":1763712000,"time_last":1763798400,"count":5,"bailiwick":"example.org."}`, // DNSDB
		`{"rrname":"example.org","rrtype":"mx","rdata":"10 Mail.Example.org.","zone_time_first":1763712000,"zone_time_last":1763798400,"count":2}`,
		`{"rrname":"example.org","rrtype":"TXT","rdata":"v=spf1 \"-all\"","time_first":"2026-11-20T08:00:00Z","time_last":"2026-11-21 08:00:00"}`, // CIRCL
		`{"rrname":"example.org","rrtype":28,"rdata":"2001:DB8::1","time_first":"1763712000","time_last":1763798400.5}`,
		``,
		`not json`,
		`{"rrname":"a..b","rrtype":"A","rdata":"192.0.2.1","time_first":1763712000,"time_last":1763798400}`,
		`{"rrname":"a.b","rrtype":"WHAT","rdata":"192.0.2.1","time_first":1763712000,"time_last":1763798400}`,
		`{"rrname":"a.b","rrtype":"A","rdata":"example.org","time_first":1763712000,"time_last":1763798400}`,
		`{"rrname":"a.b","rrtype":"A","rdata":"192.0.2.1","time_first":1763798400,"time_last":1763712000}`,
		`{"rrname":"a.b","rrtype":"A","rdata":"192.0.2.1","time_first":1763712000,"time_last":1763798400,"count":-1}`,
		`{"rrname":"` + strings.Repeat("a", 300<<10) + `"}`,
		`{"rrname":"old.example.org","rrtype":"A","rdata":"192.0.2.1","time_first":1263712000,"time_last":1263798400}`,
	}, "\n")
	b.clock.set(start.AddDate(0, 0, -365))
	report, err := b.Import(t.Context(), strings.NewReader(text))
	must(t, err)
	if report.Lines != 13 || report.Records != 5 || report.Expired != 1 {
		t.Errorf("got %+v", report)
	}
	want := map[string]uint64{"json": 6, "rrname": 7, "rrtype": 8, "rdata": 9, "time": 10, "count": 11, "too_long": 12}
	for reason, number := range want {
		if r := report.Refused[reason]; r == nil || r.Count != 1 || !reflect.DeepEqual(r.Lines, []uint64{number}) || r.Text == "" {
			t.Errorf("%s: got %+v, want line %d", reason, r, number)
		}
	}
	b.clock.set(start)
	b.settings.Keep = 0
	for _, l := range []string{"www.example.org A 192.0.2.1", "www.example.org A 192.0.2.2", "example.org MX 10 mail.example.org", `example.org TXT "v=spf1 \"-all\""`, "example.org AAAA 2001:db8::1"} {
		if all := strings.Join(b.lines(engine.DNSQuery{Domain: "example.org"}), "\n"); !strings.Contains(all, l) {
			t.Errorf("%q is missing in\n%s", l, all)
		}
	}
}

func TestImportBreaksOff(t *testing.T) {
	b := newBench(t)
	good := `{"rrname":"a.example.org","rrtype":"A","rdata":"192.0.2.1","time_first":1795334400,"time_last":1795334400}` + "\n"
	report, err := b.Import(t.Context(), io.MultiReader(strings.NewReader(good), iotest.ErrReader(errors.New("cut"))))
	if engine.KindOf(err) != engine.Invalid || report.Records != 1 || len(b.lines(engine.DNSQuery{Domain: "example.org"})) != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
}

// Whatever a line holds, it is taken in or refused, and what is taken in comes out
// of an export that reads as the same.
func FuzzImport(f *testing.F) {
	for _, text := range []string{
		`{"rrname":"a.example.org","rrtype":"A","rdata":"192.0.2.1","time_first":1795334400,"time_last":1795334400,"count":2}`,
		`{"rrname":"a\\.b.example.org","rrtype":"TXT","rdata":["\"x\" \"y\"","z"],"time_first":"2026-11-22T08:00:00Z","time_last":1795334401}`,
		`{"rrname":"a","rrtype":"MX","rdata":"10 b","time_first":1,"time_last":1}`, `{"rrname":"a","rrtype":"HTTPS","rdata":"1 . alpn=h2","time_first":1,"time_last":1}`,
		`{"rrname":"a","rrtype":"TYPE731","rdata":"\\# 3 abcdef","time_first":1,"time_last":1}`, `{"rrname":"a","rrtype":"NAPTR","rdata":"","rcode":"NXDOMAIN","zone_time_first":1,"zone_time_last":1}`,
		"{}\n[]\n\n", `{"rrname":"a","rrtype":"SOA","rdata":"a b 1 2 3 4 5","time_first":1,"time_last":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		passivedns.CheckLines(t, text)
	})
}
