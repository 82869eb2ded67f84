package rules

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"larkspur/engine"
)

// naive says what covers must say.
func naive(names map[string]bool, name string) bool {
	labels := strings.Split(canonical(name), ".")
	for i := range labels {
		if names[strings.Join(labels[i:], ".")] {
			return true
		}
	}
	return false
}

// below tells whether a name in any spelling is one of the table's or lies below one.
func below(t *table, name string) bool { return t.covers([]byte(canonical(name))) }

// seen is a sighting of a query for a name in any spelling, as capture writes it.
func seen(name string) *engine.Sighting {
	return &engine.Sighting{Name: []byte(captured(name)), Type: 1, Proto: "udp", Client: netip.MustParseAddr("192.0.2.7")}
}

// captured writes a name as capture does: without the trailing dot, in lower case,
// what does not print escaped.
func captured(name string) string {
	var out []byte
	for _, c := range []byte(strings.TrimRight(name, ".")) {
		switch {
		case c >= 'A' && c <= 'Z':
			out = append(out, c|0x20)
		case c <= ' ' || c >= 0x7f:
			out = fmt.Appendf(out, `\%03d`, c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// randomName makes a name of few letters, so that names meet.
func randomName(r *rand.Rand) string {
	labels := make([]string, 1+r.IntN(4))
	for i := range labels {
		labels[i] = string("abAB-"[r.IntN(5)]) + strings.Repeat(string("xyXY"[r.IntN(4)]), r.IntN(3))
	}
	return strings.Join(labels, ".")
}

func TestTableAgainstNaive(t *testing.T) {
	for round := range uint64(50) {
		r := rand.New(rand.NewPCG(round, 1))
		table, names := newTable(r.IntN(20), r.IntN(20)), map[string]bool{}
		for range r.IntN(300) {
			name := canonical(randomName(r))
			table.add([]byte(name))
			names[name] = true
		}
		if table.count != len(names) {
			t.Fatalf("round %d: got %d names, want %d", round, table.count, len(names))
		}
		for range 2000 {
			name := randomName(r)
			if got, want := below(table, name), naive(names, name); got != want {
				t.Fatalf("round %d: %q: got %v, want %v", round, name, got, want)
			}
		}
	}
}

// FuzzNames holds matching of any text against the naive way.
func FuzzNames(f *testing.F) {
	f.Add("netflix.com", `www\.netflix.com`)
	f.Add("bücher.example", `B\195\188CHER.example.`)
	f.Add("a.b", `\`)
	f.Add("a.b", `x\25`)
	f.Add("a.b", "..a.b..")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		canon, err := parseDomain(pattern)
		s := Compile(declare("live", on("dns", dict{"domains": pattern})), nil)
		if (err == nil) != (len(s.Problems()) == 0) {
			t.Fatalf("%q: got %v, want problems as %v", pattern, s.Problems(), err)
		}
		if err != nil {
			return
		}
		if again := canonical(canon); again != canon {
			t.Errorf("canonical(%q): got %q", canon, again)
		}
		want := naive(map[string]bool{canon: true}, name)
		if got := len(s.Match(lookup(name, nil))) == 1; got != want {
			t.Errorf("%q on %q: got %v, want %v", name, pattern, got, want)
		}
		if got := s.WantsDNS(seen(name)); got != want {
			t.Errorf("WantsDNS(%q) on %q: got %v, want %v", name, pattern, got, want)
		}
		if got := s.WantsName(seen(name).Name); got != want {
			t.Errorf("WantsName(%q) on %q: got %v, want %v", name, pattern, got, want)
		}
	})
}

func FuzzParseList(f *testing.F) {
	f.Add("a.example\n192.0.2.0/24 # x\n::1\n\x00\n" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, content string) {
		l := ParseList("lists/x.txt", content)
		below(l.domains, content)
	})
}

// million makes a list of n names and sightings of names that are not in it.
func million(n int) (*List, []*engine.Sighting) {
	var misses []*engine.Sighting
	for i := range 4096 {
		misses = append(misses, seen(fmt.Sprintf("www.site%d.example.org", i)))
	}
	return ParseList("lists/big.txt", bigList(n)), misses
}

// bigList is n domains of lengths and endings as lists of popular sites have them:
// 14 bytes on average.
func bigList(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	endings := []string{"com", "com", "com", "com", "net", "org", "de", "co.uk", "ru", "info", "com.br", "io"}
	var b strings.Builder
	for i := range n {
		for range 3 + r.IntN(8) {
			b.WriteByte("abcdefghijklmnopqrstuvwxyz-0123456789"[r.IntN(26)])
		}
		fmt.Fprintf(&b, "%x.%s\n", i%4096, endings[r.IntN(len(endings))])
	}
	return b.String()
}

func TestWantsDNSDoesNotAllocate(t *testing.T) {
	l, misses := million(1000)
	s := compile(t, map[string]*List{"big": l}, on("dns", dict{"list": "big"}), on("dns", dict{"domains": "netflix.com"}),
		on("dns", dict{"clients": list{"198.51.100.0/24", "02:00:00:00:00:09"}}), on("dns", dict{"rcodes": "NXDOMAIN"}), on("dns", dict{"types": "TXT"}))
	hit := seen("host1.netflix.com")
	if n := testing.AllocsPerRun(100, func() { s.WantsDNS(misses[0]); s.WantsDNS(hit) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkWantsDNS(b *testing.B) {
	var before, after runtime.MemStats
	text := bigList(1_000_000)
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := ParseList("lists/big.txt", text)
	runtime.GC()
	runtime.ReadMemStats(&after)
	set := Compile(declare("live", on("dns", dict{"list": "big"})), map[string]*List{"big": l})
	var names, near [][]byte
	for i := range 4096 {
		names = append(names, fmt.Appendf(nil, "www.site%d.example.org", i))
	}
	l.domains.each(func(_ uint32, name []byte) {
		if len(near) < 4096 && len(name) > 12 {
			near = append(near, append([]byte("x"), name...))
		}
	})
	for _, c := range []struct {
		name  string
		names [][]byte
		rules *Set
	}{
		{"list", names, set},
		{"near-misses", near, set},
		{"list+100-rules", names, Compile(manyRules(100), map[string]*List{"big": l})},
		{"100-lists", names, Compile(declare("live", on("dns", dict{"list": hundred})), hundredLists())},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i, one, room := 0, *seen("x"), [256]byte{} // capture writes one name after the other to one place
			for b.Loop() {
				one.Name = append(room[:0], c.names[i&4095]...)
				if c.rules.WantsDNS(&one) && c.name != "near-misses" {
					b.Fatal("matched")
				}
				i++
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		})
	}
	runtime.KeepAlive(text)
}

// manyRules are n rules of all kinds, none of which takes the names of million.
func manyRules(n int) engine.Declarations {
	kinds := []engine.Trigger{
		on("dns", dict{"domains": "netflix.com"}), on("dns", dict{"list": "big", "types": "TXT"}), on("dns", dict{"clients": "198.51.100.0/24"}),
		on("dns", dict{"rcodes": "NXDOMAIN"}), on("dns", dict{"answers": "203.0.113.0/24"}),
	}
	var d engine.Declarations
	for i := range n {
		d.Rules = append(d.Rules, engine.Rule{Name: fmt.Sprint("r", i), Mode: "live", When: kinds[i%len(kinds) : i%len(kinds)+1]})
	}
	return d
}

var hundred = func() list {
	var names list
	for i := range 100 {
		names = append(names, fmt.Sprint("l", i))
	}
	return names
}()

func hundredLists() map[string]*List {
	lists := map[string]*List{}
	for i := range 100 {
		lists[fmt.Sprint("l", i)] = ParseList("x", fmt.Sprintf("host%d.com\n", i))
	}
	return lists
}

func BenchmarkParseList(b *testing.B) {
	text := bigList(1_000_000)
	for b.Loop() {
		ParseList("lists/big.txt", text)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/list")
}
