package rules

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
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
		table, names := newTable(r.IntN(20)), map[string]bool{}
		for range r.IntN(300) {
			name := canonical(randomName(r))
			table.add(name)
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
		if got := s.WantsDNS([]byte(name)); got != want {
			t.Errorf("WantsDNS(%q) on %q: got %v, want %v", name, pattern, got, want)
		}
	})
}

func FuzzParseList(f *testing.F) {
	f.Add("a.example\n192.0.2.0/24 # x\n::1\n\x00\n" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, content string) {
		l := ParseList("lists/x.txt", content)
		below(l.domains, content)
		l.networks.contains(content)
	})
}

// million makes a list of n names and names that are not in it.
func million(n int) (*List, [][]byte) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "host%d.domain%d.example\n", i, i%1000)
	}
	var misses [][]byte
	for i := range 4096 {
		misses = append(misses, fmt.Appendf(nil, "www.site%d.example.org", i))
	}
	return ParseList("lists/big.txt", b.String()), misses
}

func TestWantsDNSDoesNotAllocate(t *testing.T) {
	l, misses := million(1000)
	s := compile(t, map[string]*List{"big": l}, on("dns", dict{"list": "big"}), on("dns", dict{"domains": "netflix.com"}))
	if n := testing.AllocsPerRun(100, func() { s.WantsDNS(misses[0]); s.WantsDNS([]byte("host1.domain1.example")) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkWantsDNS(b *testing.B) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l, misses := million(1_000_000)
	s := Compile(declare("live", on("dns", dict{"list": "big"})), map[string]*List{"big": l})
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if s.WantsDNS(misses[i&4095]) {
			b.Fatal("matched")
		}
		i++
	}
}

func BenchmarkWantsDNSNearMiss(b *testing.B) {
	l, _ := million(1_000_000)
	s := Compile(declare("live", on("dns", dict{"list": "big"})), map[string]*List{"big": l})
	var names [][]byte
	for i := range 4096 {
		names = append(names, fmt.Appendf(nil, "www.none%d.domain%d.example", i, i%1000))
	}
	i := 0
	for b.Loop() {
		if s.WantsDNS(names[i&4095]) {
			b.Fatal("matched")
		}
		i++
	}
}

func BenchmarkParseList(b *testing.B) {
	for b.Loop() {
		million(1_000_000)
	}
}
