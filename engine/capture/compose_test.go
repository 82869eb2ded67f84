package capture

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"larkspur/engine"
)

var asked = Said{
	Time: start, Client: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("192.0.2.53:53"),
	ClientMAC: MAC{2, 0, 0, 0, 0, 7}, ID: 4711, Name: "WWW.Example.org.", Type: "AAAA", Flags: flagRD,
}

func TestComposedQuery(t *testing.T) {
	m, err := Compose(asked)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"client": "192.0.2.7", "client_port": int64(40000), "server": "192.0.2.53", "server_port": int64(53),
		"proto": "udp", "id": int64(4711), "response": false, "opcode": "QUERY", "query": "www.example.org", "type": "AAAA", "class": "IN",
		"rcode": "NOERROR", "flags": []any{"RD"}, "answers": []any{}, "client_mac": "02:00:00:00:00:07",
	}
	if got := m.Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestComposedResponse(t *testing.T) {
	answers := []Record{
		{Name: "www.example.org", Type: "CNAME", TTL: 60, Data: "web.example.org"},
		{Name: "web.example.org", Type: "AAAA", TTL: 300, Data: "2001:db8::80"},
		{Name: "web.example.org", Type: "AAAA", TTL: 300, Data: "::ffff:192.0.2.80"},
		{Name: "web.example.org", Type: "A", TTL: 300, Data: "192.0.2.80"},
		{Name: "example.org", Type: "MX", TTL: 1, Data: "10 mail.example.org"},
		{Name: "example.org", Type: "TXT", TTL: 1<<32 - 1, Data: `"v=spf1 -all" "a\"b;c"`},
		{Name: "example.org", Type: "TYPE65280", TTL: 1, Data: `\# 2 abcd`},
		{Name: "example.org", Type: "A", TTL: 1, Data: `\# 1 ab`},
		{Name: "example.org", Type: "HTTPS", TTL: 1},
		{Name: `a\032b\.example.org`, Type: "NS", TTL: 1, Data: `ns\046x.example.org`},
	}
	s := asked
	s.Response, s.Rcode, s.Answers = true, "badvers", answers
	m, err := Compose(s)
	if err != nil {
		t.Fatal(err)
	}
	answers[9].Name = `a\032b\046example.org`
	got, err := m.Records()
	if err != nil || !reflect.DeepEqual(got, answers) {
		t.Errorf("got  %v, %v\nwant %v", got, err, answers)
	}
	if !m.Response() || m.Rcode() != "BADVERS" || m.Client != asked.Client {
		t.Errorf("got %+v", m.Fields())
	}
}

func TestComposedFromLittle(t *testing.T) {
	for name, s := range map[string]Said{
		"nothing": {}, "a response alone": {Response: true, Rcode: "2"}, "the root": {Name: ".", Type: "ns"},
		"UTF-8": {Name: "müsli.example"}, "raw bytes": {Name: "a b\xff.example", Type: "type65280", Class: "CLASS7"},
	} {
		m, err := Compose(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f := m.Fields(); f["client"] != "" || f["server"] != "" || f["client_port"] != int64(0) {
			t.Errorf("%s: got %v, want nobody", name, f)
		}
	}
	m, _ := Compose(Said{Name: "müsli.example"})
	if got, want := string(m.Name), `m\195\188sli.example`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestComposeRefuses(t *testing.T) {
	long := strings.Repeat("a", 64) + ".example"
	for want, s := range map[string]Said{
		`DNS rcode: got "NOPE"`:         {Rcode: "NOPE"},
		`DNS rcode: got "4096"`:         {Rcode: "4096"},
		`DNS type: got "TYPE65536"`:     {Name: "a.example", Type: "TYPE65536"},
		`DNS class: got "-1"`:           {Name: "a.example", Class: "-1"},
		"DNS message about \"" + long:   {Name: long},
		`DNS message about "a..b"`:      {Name: "a..b"},
		`DNS record "a.example" of typ`: {Answers: []Record{{Name: "a.example", Type: "A", Data: "2001:db8::1"}}},
		`"192.0.2.1\nb.example`:         {Answers: []Record{{Name: "a.example", Type: "NS", Data: "192.0.2.1\nb.example. NS x"}}},
		"got 1 bytes, want 2":           {Answers: []Record{{Name: "a.example", Type: "A", Data: `\# 2 ab`}}},
		`"; no more"`:                   {Answers: []Record{{Name: "a.example", Type: "NS", Data: "; no more"}}},
		"DNS message about \"\"":        {Answers: []Record{{Name: long, Type: "NS", Data: "b.example"}}},
	} {
		if m, err := Compose(s); err == nil || !strings.Contains(err.Error(), want) || engine.KindOf(err) != engine.Invalid {
			t.Errorf("%+v: got %v, %v; want an error with %q", s, m, err, want)
		}
	}
}

func TestFromWire(t *testing.T) {
	query := lookup(1).Query()
	var m Message
	w := Wire{Time: start, Client: asked.Client, Server: netip.MustParseAddrPort("192.0.2.53:5353"), Proto: TCP, Raw: query}
	if err := FromWire(&m, w); err != nil || string(m.Name) != "host1.example.org" || m.Service != MDNS || m.Proto != TCP || m.Client != asked.Client {
		t.Errorf("got %+v, %v", m, err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = FromWire(&m, w) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
	for want, raw := range map[Reason][]byte{BadHeader: query[:11], BadQuestion: query[:20]} {
		var got Reason
		if err := FromWire(&m, Wire{Raw: raw}); !errors.As(err, &got) || got != want {
			t.Errorf("%d bytes: got %v, want %v", len(raw), err, want)
		}
	}
}

// FuzzCompose makes messages of whatever a log may say; what it makes says the
// same.
func FuzzCompose(f *testing.F) {
	f.Add("www.example.org", "A", "NOERROR", "www.example.org", "CNAME", "web.example.org")
	f.Add(`a\.b.example`, "TYPE65280", "RCODE24", ".", "TXT", `"a" "b\"c"`)
	f.Add("", "", "", "", "SVCB", `1 . alpn="h2,h3"`)
	f.Fuzz(func(t *testing.T, name, kind, rcode, owner, of, data string) {
		m, err := Compose(Said{Time: start, Name: name, Type: kind, Rcode: rcode, Response: true, Answers: []Record{{Name: owner, Type: of, Data: data}}})
		if err != nil {
			return
		}
		records, err := m.Records()
		if err != nil || len(records) != 1 {
			t.Fatalf("records: got %v, %v", records, err)
		}
		again, err := Compose(Said{Time: start, Name: string(m.Name), Type: m.TypeName(), Rcode: m.Rcode(), Response: true, Answers: records})
		if err != nil {
			t.Fatalf("%+v: %v", records, err)
		}
		if twice, err := again.Records(); err != nil || !reflect.DeepEqual(records, twice) || string(again.Name) != string(m.Name) || again.Type != m.Type {
			t.Fatalf("got  %v, %v\nwant %v", twice, err, records)
		}
	})
}
