package rules

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

type dict = map[string]engine.Value
type list = []engine.Value

// on makes a trigger at x.star:7:3.
func on(kind string, args dict) engine.Trigger {
	return engine.Trigger{Kind: kind, Args: engine.MustEncode(args), At: engine.Position{File: "scripts/x.star", Line: 7, Col: 3}}
}

func declare(mode string, when ...engine.Trigger) engine.Declarations {
	return engine.Declarations{Rules: []engine.Rule{{Name: "r", Mode: mode, When: when}}}
}

// compile makes a live set of triggers that have no problems.
func compile(t *testing.T, lists map[string]*List, when ...engine.Trigger) *Set {
	t.Helper()
	s := Compile(declare("live", when...), lists)
	if p := s.Problems(); len(p) > 0 {
		t.Fatalf("got problems %v, want none", p)
	}
	return s
}

// lookup makes a DNS event of a query, with fields changed by more.
func lookup(name string, more dict) *engine.Event {
	fields := dict{
		"query": name, "type": "A", "client": "192.0.2.7", "client_mac": "02:00:00:00:00:07",
		"client_port": int64(40000), "server": "192.0.2.53", "server_port": int64(53), "proto": "udp", "response": false,
	}
	for k, v := range more {
		fields[k] = v
	}
	return &engine.Event{Kind: "dns", Source: "eth1", Time: time.Unix(0, 0).UTC(), Fields: fields}
}

// answered makes a response with records "TYPE DATA".
func answered(name string, more dict, records ...string) *engine.Event {
	var answers list
	for _, r := range records {
		kind, data, _ := strings.Cut(r, " ")
		answers = append(answers, dict{"name": name, "type": kind, "ttl": int64(60), "data": data})
	}
	e := lookup(name, dict{"response": true, "rcode": "NOERROR", "answers": answers})
	for k, v := range more {
		e.Fields[k] = v
	}
	return e
}

// sightingOf is what capture says of a message before an event is made of it.
func sightingOf(e *engine.Event) *engine.Sighting {
	s := sighting(e)
	s.Name = []byte(captured(text(e.Fields, "query")))
	return &s
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"netflix.com", "netflix.com", true},
		{"netflix.com", "www.netflix.com", true},
		{"netflix.com", "a.b.c.netflix.com", true},
		{"netflix.com", "WWW.NetFlix.COM.", true},
		{"Netflix.COM.", "www.netflix.com", true},
		{"netflix.com", "notnetflix.com", false},
		{"netflix.com", "netflix.com.evil.example", false},
		{"netflix.com", "netflix.co", false},
		{"netflix.com", "netflix.comx", false},
		{"netflix.com", "netflix-com", false},
		{"netflix.com", "com", false},
		{"netflix.com", "", false},
		{"netflix.com", ".", false},
		{"netflix.com", `www\.netflix.com`, false},   // one label "www.netflix"
		{"netflix.com", `www\046netflix.com`, false}, // the same
		{"netflix.com", `www.net\102lix.com`, true},  // an f, escaped
		{"netflix.com", `www.net\070lix.com`, true},  // an F, escaped
		{"netflix.com", `www.netflix.com\.`, false},  // the label "com."
		{"netflix.com", `a\\.netflix.com`, true},     // the label `a\`
		{"netflix.com", `a\255b.netflix.com`, true},  // a byte that is no text
		{"netflix.com", "netﬂix.com", true},          // a ligature maps to fl, as in a browser
		{"netflix.com", "nеtflix.com", false},        // a Cyrillic letter
		{"bücher.example", "xn--bcher-kva.example", true},
		{"bücher.example", "www.XN--BCHER-KVA.example", true},
		{"xn--bcher-kva.example", "bücher.example", true},
		{"BÜCHER.example", `b\195\188cher.example`, true},
		{"bücher.example", "bucher.example", false},
		{"_dmarc.example.org", "_dmarc.example.org", true},
		{"local", "printer.local", true},
		{"com", "netflix.com", true},
	} {
		s := compile(t, nil, on("dns", dict{"domains": list{"other.example", c.pattern}}))
		if got := len(s.Match(lookup(c.name, nil))) == 1; got != c.want {
			t.Errorf("%q on %q: got %v, want %v", c.name, c.pattern, got, c.want)
		}
		if got := s.WantsDNS(seen(c.name)); got != c.want {
			t.Errorf("%q on %q: WantsDNS: got %v, want %v", c.name, c.pattern, got, c.want)
		}
	}
}

const day = 24 * time.Hour

// at is a time so long after that of events.
func at(after time.Duration) time.Time { return time.Unix(0, 0).UTC().Add(after) }

func TestDNSArguments(t *testing.T) {
	watch := map[string]*List{
		"watch": ParseList("lists/watch.txt", "bad.example\n203.0.113.0/24 # a network\n2001:db8::1\n"),
		"more":  ParseList("lists/more.txt", "more.example"),
	}
	name := "www.example.org"
	for _, c := range []struct {
		what string
		args dict
		e    *engine.Event
		want bool
	}{
		{"no arguments", dict{}, lookup(name, nil), true},
		{"None is absent", dict{"types": nil, "domains": nil, "first_seen": false}, lookup(name, nil), true},
		{"one string", dict{"domains": "example.org"}, lookup(name, nil), true},
		{"a tuple", dict{"domains": engine.Tuple{"example.org"}}, lookup(name, nil), true},
		{"type", dict{"types": "a"}, lookup(name, nil), true},
		{"other type", dict{"types": list{"AAAA", "TXT"}}, lookup(name, nil), false},
		{"type by number", dict{"types": list{int64(1)}}, lookup(name, nil), true},
		{"unnamed type", dict{"types": "TYPE65399"}, lookup(name, dict{"type": "TYPE65399"}), true},
		{"unnamed type by number", dict{"types": int64(65399)}, lookup(name, dict{"type": "TYPE65399"}), true},
		{"client", dict{"clients": "192.0.2.7"}, lookup(name, nil), true},
		{"other client", dict{"clients": "192.0.2.70"}, lookup(name, nil), false},
		{"network", dict{"clients": list{"198.51.100.0/24", "192.0.2.0/28"}}, lookup(name, nil), true},
		{"beside the network", dict{"clients": "192.0.2.8/29"}, lookup(name, nil), false},
		{"mapped address", dict{"clients": "::ffff:192.0.2.7"}, lookup(name, nil), true},
		{"IPv6 network", dict{"clients": "2001:db8::/32"}, lookup(name, dict{"client": "2001:db8::7"}), true},
		{"MAC", dict{"clients": "02-00-00-00-00-07"}, lookup(name, nil), true},
		{"other MAC", dict{"clients": "02:00:00:00:00:08"}, lookup(name, nil), false},
		{"no MAC seen", dict{"clients": "02:00:00:00:00:08"}, lookup(name, dict{"client_mac": nil}), false},
		{"list", dict{"list": "watch"}, lookup("x.bad.example", nil), true},
		{"list by path", dict{"list": "lists/watch.txt"}, lookup("bad.example", nil), true},
		{"several lists", dict{"list": list{"more", "watch"}}, lookup("bad.example", nil), true},
		{"in the other list", dict{"list": list{"watch", "more"}}, lookup("www.more.example", nil), true},
		{"not in list", dict{"list": "watch"}, lookup(name, nil), false},
		{"list and domains", dict{"list": "watch", "domains": "example.org"}, lookup("bad.example", nil), false},
		{"list's address answered", dict{"list": "watch"}, answered(name, dict{"query_seen": true}, "A 203.0.113.9"), true},
		{"list's IPv6 address answered", dict{"list": "watch"}, answered(name, dict{"query_seen": true}, "AAAA 2001:db8:0::1"), true},
		{"list's name and address: the query was it", dict{"list": "watch"}, answered("bad.example", dict{"query_seen": true}, "A 203.0.113.9"), false},
		{"other address answered", dict{"list": "watch"}, answered(name, nil, "A 198.51.100.9"), false},

		{"response after its query", dict{}, answered(name, dict{"query_seen": true}), false},
		{"response alone", dict{}, answered(name, nil), true},
		{"rcode", dict{"rcodes": "NXDOMAIN"}, answered(name, dict{"rcode": "NXDOMAIN", "query_seen": true}), true},
		{"other rcode", dict{"rcodes": list{"servfail", int64(3)}}, answered(name, nil), false},
		{"rcode by number", dict{"rcodes": int64(3)}, answered(name, dict{"rcode": "NXDOMAIN"}), true},
		{"rcode of a query", dict{"rcodes": "NOERROR"}, lookup(name, dict{"rcode": "NOERROR"}), false},
		{"rcode and domain", dict{"rcodes": "NOERROR", "domains": "example.com"}, answered(name, nil), false},
		{"answer", dict{"answers": "203.0.113.9"}, answered(name, dict{"query_seen": true}, "CNAME x.example", "A 203.0.113.9"), true},
		{"answer in network", dict{"answers": list{"203.0.113.0/24"}}, answered(name, nil, "A 203.0.113.9"), true},
		{"answer beside", dict{"answers": "203.0.113.8"}, answered(name, nil, "A 203.0.113.9"), false},
		{"answer of a query", dict{"answers": "203.0.113.9"}, lookup(name, nil), false},
		{"CNAME", dict{"answers": "cdn.example"}, answered(name, nil, "CNAME Edge.CDN.example."), true},
		{"CNAME look-alike", dict{"answers": "cdn.example"}, answered(name, nil, "CNAME edge.notcdn.example"), false},
		{"name in a TXT", dict{"answers": "cdn.example"}, answered(name, nil, "TXT cdn.example"), false},

		{"first seen", dict{"first_seen": true}, lookup(name, dict{"first_seen": true}), true},
		{"seen before", dict{"first_seen": true}, lookup(name, dict{"first_seen": false, "last_seen": at(-time.Hour)}), false},
		{"nobody looked whether it was seen", dict{"first_seen": true}, lookup(name, nil), false},
		{"not for a week", dict{"first_seen": 7 * day}, lookup(name, dict{"first_seen": false, "last_seen": at(-8 * day), "memory_since": at(-30 * day)}), true},
		{"never, by a memory of a month", dict{"first_seen": 7 * day}, lookup(name, dict{"first_seen": true, "memory_since": at(-30 * day)}), true},
		{"never, by a memory of a day", dict{"first_seen": 7 * day}, lookup(name, dict{"first_seen": true, "memory_since": at(-day)}), false},
		{"a day ago", dict{"first_seen": 7 * day}, lookup(name, dict{"first_seen": false, "last_seen": at(-day), "memory_since": at(-30 * day)}), false},

		{"mDNS unasked", dict{}, lookup("printer.local", dict{"server_port": int64(5353)}), false},
		{"LLMNR unasked", dict{}, lookup("printer", dict{"server_port": int64(5355)}), false},
		{"mDNS by field", dict{}, lookup("printer.local", dict{"proto": "mdns"}), false},
		{"mDNS asked", dict{"proto": "mdns"}, lookup("printer.local", dict{"server_port": int64(5353)}), true},
		{"LLMNR asked", dict{"proto": list{"llmnr", "mdns"}}, lookup("printer", dict{"server_port": int64(5355)}), true},
		{"DNS to mDNS rule", dict{"proto": "mdns"}, lookup(name, nil), false},
		{"client port 5353", dict{}, lookup(name, dict{"client_port": int64(5353)}), true},
		{"client port 5353 to a high port", dict{}, lookup(name, dict{"client_port": int64(5353), "server_port": int64(40000)}), false},
		{"tcp", dict{"proto": "TCP"}, lookup(name, dict{"proto": "tcp"}), true},
		{"udp", dict{"proto": "tcp"}, lookup(name, nil), false},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := compile(t, watch, on("dns", c.args))
			if got := len(s.Match(c.e)) == 1; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := s.Matches(c.e); got != c.want {
				t.Errorf("Matches: got %v, want %v", got, c.want)
			}
			// What the memory of lookups knows comes later.
			if got := s.WantsDNS(sightingOf(c.e)); got != c.want && (c.want || !s.WantsFirstSeen()) {
				t.Errorf("WantsDNS: got %v, want %v", got, c.want)
			}
		})
	}
}

func TestHits(t *testing.T) {
	d := engine.Declarations{Rules: []engine.Rule{
		{Name: "off", Mode: "off", When: []engine.Trigger{on("dns", dict{})}},
		{Name: "two", Mode: "live", When: []engine.Trigger{on("dns", dict{"types": "AAAA"}), on("dns", dict{"domains": "example.org"}), on("webhook", dict{"name": "w"}), on("dns", dict{})}},
		{Name: "shadow", Mode: "shadow", When: []engine.Trigger{on("dns", dict{})}},
	}}
	s := Compile(d, nil)
	var got []string
	for _, h := range s.Match(lookup("example.org", nil)) {
		got = append(got, h.Rule.Name+" "+string(rune('0'+h.Trigger)))
	}
	if want := "two 1, two 3, shadow 0"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWantsDNSOfOffRules(t *testing.T) {
	s := Compile(declare("off", on("dns", dict{})), nil)
	if s.WantsDNS(seen("example.org")) {
		t.Error("got true, want false: the only rule is off")
	}
	if (&Set{}).WantsDNS(seen("example.org")) {
		t.Error("got true, want false: no rules")
	}
}

// TestMissesAreRememberedAsMisses asks twice for names of which some share their
// place in the memory of misses.
func TestMissesAreRememberedAsMisses(t *testing.T) {
	s := compile(t, nil, on("dns", dict{"domains": "netflix.com"}))
	for range 2 {
		for i := range 3 * memoPlaces {
			name := fmt.Sprintf("host%d.example.org", i)
			if s.WantsDNS(seen(name)) {
				t.Fatalf("%s: got true, want false", name)
			}
			if i%1000 == 0 && !s.WantsDNS(seen(fmt.Sprintf("host%d.netflix.com", i))) {
				t.Fatalf("host%d.netflix.com: got false, want true", i)
			}
		}
	}
}

func TestWebhook(t *testing.T) {
	guarded := on("webhook", dict{"name": "siem", "secret": engine.Secret{Name: "siem_key"}})
	guarded.Match = map[string]string{"alert.level": "high*"}
	s := compile(t, nil, on("webhook", dict{"name": "plain"}), guarded)
	event := func(source, level string) *engine.Event {
		return &engine.Event{Kind: "webhook", Source: source, Fields: dict{"alert": dict{"level": level}}}
	}
	for _, c := range []struct {
		e    *engine.Event
		want int
	}{
		{event("plain", "low"), 1}, {event("siem", "low"), 0}, {event("siem", "highest"), 1}, {event("other", "high"), 0},
	} {
		if got := len(s.Match(c.e)); got != c.want {
			t.Errorf("%v: got %d hits, want %d", c.e, got, c.want)
		}
	}
	for name, want := range map[string]string{"plain": "plain", "siem": "siem_key"} {
		if got, known := s.Hook(name); got != want || !known {
			t.Errorf("hook %q: got %q, %v, want %q", name, got, known, want)
		}
	}
	if _, known := s.Hook("other"); known {
		t.Error("hook other: got known, want unknown")
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		when engine.Trigger
		want string
	}{
		{on("dns", dict{"domains": "*.example.org"}), `on.dns: domains: "*.example.org": write "example.org", which matches the name and all below it`},
		{on("dns", dict{"domains": ".example.org"}), `on.dns: domains: ".example.org": write "example.org", which matches the name and all below it`},
		{on("dns", dict{"domains": "https://example.org/"}), `on.dns: domains: "https://example.org/" is no domain: want a name alone, such as example.org`},
		{on("dns", dict{"domains": "192.0.2.1"}), `on.dns: domains: "192.0.2.1" is an address, not a domain`},
		{on("dns", dict{"domains": ""}), `on.dns: domains: "" is no domain`},
		{on("dns", dict{"domains": "a..b"}), `on.dns: domains: "a..b" is no domain: a label of 0 bytes, want 1 to 63`},
		{on("dns", dict{"domains": "a b"}), `on.dns: domains: "a b" is no domain: it holds ' '`},
		{on("dns", dict{"domains": list{}}), `on.dns: domains: empty, so nothing could match`},
		{on("dns", dict{"domains": list{true}}), `on.dns: domains: got a bool, want a string or a list of strings`},
		{on("dns", dict{"types": "AAAAA"}), `on.dns: types: got "AAAAA", want a DNS record type such as A, AAAA or TXT`},
		{on("dns", dict{"rcodes": "NOPE"}), `on.dns: rcodes: got "NOPE", want a DNS response code such as NXDOMAIN`},
		{on("dns", dict{"clients": "192.0.2.7/24"}), `on.dns: clients: "192.0.2.7/24" has bits set beyond its length: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address`},
		{on("dns", dict{"clients": "phone"}), `on.dns: clients: got "phone", want an address, a network or a MAC address`},
		{on("dns", dict{"answers": "192.0.2.7/24"}), `on.dns: answers: "192.0.2.7/24" has bits set beyond its length: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address`},
		{on("dns", dict{"proto": "quic"}), `on.dns: proto: got "quic", want udp, tcp, mdns, llmnr`},
		{on("dns", dict{"list": "none"}), `on.dns: list: no list "none"`},
		{on("dns", dict{"first_seen": "often"}), `on.dns: first_seen: got a string, want True or a duration such as "7d"`},
		{on("dns", dict{"first_seen": -time.Hour}), `on.dns: first_seen: got -1h0m0s, want True or a duration such as "7d"`},
		{on("dns", dict{"domain": "x.example"}), `on.dns: no argument "domain"`},
		{on("email", dict{}), `on.email: not in this version`},
		{on("webhook", dict{}), `on.webhook: name: got "", want letters a-z, digits, dots, hyphens or underscores, at most 64`},
		{on("webhook", dict{"name": "a/b"}), `on.webhook: name: got "a/b", want letters a-z, digits, dots, hyphens or underscores, at most 64`},
		{on("webhook", dict{"name": "x", "secret": "plain text"}), `on.webhook: secret: got a string, want secret("NAME")`},
		{engine.Trigger{Kind: "dns", Args: engine.Data("[]"), At: engine.Position{File: "scripts/x.star", Line: 7, Col: 3}}, `on.dns: arguments: got []interface {}, want a dict`},
	} {
		t.Run(c.want, func(t *testing.T) {
			got := Compile(declare("live", c.when), nil).Problems()
			if len(got) != 1 || got[0].Message != c.want {
				t.Fatalf("got  %v\nwant %s", got, c.want)
			}
			if p := got[0]; p.File != "scripts/x.star" || p.Line != 7 || p.Col != 3 || p.Severity != "error" {
				t.Errorf("got %v, want an error at scripts/x.star:7:3", p)
			}
		})
	}
}

func TestProblemOfTwoSecrets(t *testing.T) {
	s := Compile(declare("live", on("webhook", dict{"name": "x"}), on("webhook", dict{"name": "x", "secret": engine.Secret{Name: "y"}})), nil)
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0].Message, `guards hook "x" with secret "y", another rule with "x"`) {
		t.Errorf("got %v", p)
	}
}

func TestParseList(t *testing.T) {
	l := ParseList("lists/bad.txt", "# a comment\n\nBad.example.  # why\r\n192.0.2.1\n192.0.2.0/24\n2001:db8::/32\n"+
		strings.Repeat("ab", 32)+"\n||ads.example^\n192.0.2.1/24\n0.0.0.0 hosts.example\nlast.example")
	for name, want := range map[string]bool{"bad.example": true, "last.example": true, "ads.example": false, "hosts.example": false} {
		if got := below(l.domains, name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for a, want := range map[string]bool{"192.0.2.1": true, "192.0.2.200": true, "192.0.3.1": false, "2001:db8::5": true, "2001:db9::5": false, "x": false} {
		addr, _ := netip.ParseAddr(a)
		if got := l.networks.contains(addr); got != want {
			t.Errorf("%s: got %v, want %v", a, got, want)
		}
	}
	var lines []int
	for _, p := range l.Problems() {
		lines = append(lines, p.Line)
		if p.Severity != "warning" || p.File != "lists/bad.txt" {
			t.Errorf("got %v, want a warning of lists/bad.txt", p)
		}
	}
	if len(lines) != 3 || lines[0] != 8 || lines[1] != 9 || lines[2] != 10 {
		t.Errorf("got problems at lines %v, want 8, 9, 10", lines)
	}
}

func TestParseListBoundsItsProblems(t *testing.T) {
	got := ParseList("lists/x.txt", strings.Repeat("no domain!\n", 500)).Problems()
	if len(got) != maxListProblems+1 || got[maxListProblems].Message != "480 more lines cannot be used" {
		t.Errorf("got %d problems, last %v", len(got), got[len(got)-1])
	}
}
