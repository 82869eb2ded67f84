package passivedns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/passivedns"
	"larkspur/engine/store"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// clock is set by tests.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a memory in a folder.
type bench struct {
	testing.TB
	*passivedns.Memory
	dir      string
	cache    *store.Cache
	clock    *clock
	settings passivedns.Settings
}

func newBench(t testing.TB) *bench {
	b := &bench{TB: t, dir: filepath.Join(t.TempDir(), "cache"), clock: &clock{now: start}, settings: passivedns.Defaults()}
	b.open()
	t.Cleanup(func() { must(t, b.cache.Close()) })
	return b
}

func (b *bench) open() {
	cache, err := store.OpenCache(b.dir)
	must(b, err)
	b.cache = cache
	b.Memory = passivedns.New(passivedns.Config{Cache: cache, Clock: b.clock, Settings: func() passivedns.Settings { return b.settings }})
}

// restart ends the memory and begins it again; a crash writes nothing before.
func (b *bench) restart(crash bool) {
	if !crash {
		must(b, b.Flush())
	}
	must(b, b.cache.Close())
	b.open()
}

// messages are those of lookups: query and response, or the response alone.
func messages(t testing.TB, responseOnly bool, lookups ...capturetest.Lookup) (list []*capture.Message) {
	var file bytes.Buffer
	w := capturetest.NewWriter(&file)
	for i, l := range lookups {
		if l.Time.IsZero() {
			l.Time = start
		}
		if l.ID == 0 {
			l.ID = uint16(i + 1)
		}
		if !l.Client.Addr.IsValid() {
			l.Client = capturetest.At(7, "192.0.2.7:40000")
		}
		if !l.Server.Addr.IsValid() {
			l.Server = capturetest.At(53, "192.0.2.53:53")
		}
		if responseOnly {
			w.Response(l)
		} else {
			w.Exchange(l)
		}
	}
	return read(t, &file)
}

func read(t testing.TB, file io.Reader) (list []*capture.Message) {
	src, err := capture.NewFile(t.Context(), "test", file)
	must(t, err)
	r := capture.NewReader(src)
	for {
		m, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return list
		}
		must(t, err)
		list = append(list, m.Clone())
	}
}

func (b *bench) observe(list ...*capture.Message) {
	b.Helper()
	for _, m := range list {
		b.Observe("eth1", m)
	}
}

// lines are a history as text: newest first.
func (b *bench) lines(q engine.DNSQuery) (list []string) {
	b.Helper()
	page, err := b.History(q)
	must(b, err)
	for _, r := range page.Records {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %d %s %s %v", r.Name, r.Type, r.Data, r.Rcode, r.Count,
			r.First.Format("15:04:05"), r.Last.Format("15:04:05"), r.Clients)))
	}
	return list
}

func equal(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestHistory(t *testing.T) {
	b := newBench(t)
	b.observe(messages(t, false,
		capturetest.Lookup{Name: "www.Example.org", Answers: []string{"www.example.org. 300 IN CNAME edge.cdn.example.net.", "edge.cdn.example.net. 60 IN A 192.0.2.80", "edge.cdn.example.net. 60 IN A 192.0.2.81"}},
		capturetest.Lookup{Name: "www.example.org", Time: start.Add(time.Minute), Client: capturetest.At(8, "192.0.2.8:40000"), Answers: []string{"www.example.org. 300 IN CNAME edge.cdn.example.net.", "edge.cdn.example.net. 60 IN A 192.0.2.80"}},
		capturetest.Lookup{Name: "example.org", Type: "MX", Time: start.Add(2 * time.Minute), Answers: []string{"example.org. 300 IN MX 10 Mail.example.org."}},
		capturetest.Lookup{Name: "gone.example.org", Time: start.Add(3 * time.Minute), Rcode: "NXDOMAIN"},
		capturetest.Lookup{Name: "www.example.org", Type: "AAAA", Time: start.Add(4 * time.Minute), Answers: []string{"www.example.org. 300 IN CNAME edge.cdn.example.net."}},
		capturetest.Lookup{Name: "notexample.org", Time: start.Add(5 * time.Minute), Answers: []string{"notexample.org. 300 IN A 192.0.2.80"}},
		capturetest.Lookup{Name: "refused.example.org", Time: start.Add(6 * time.Minute), Rcode: "REFUSED"},
		capturetest.Lookup{Name: "txt.example.org", Type: "TXT", Time: start.Add(7 * time.Minute), Answers: []string{`txt.example.org. 300 IN TXT "v=spf1 -all" "more"`}},
	)...)
	look := func() {
		t.Helper()
		equal(t, b.lines(engine.DNSQuery{Domain: "EXAMPLE.org."}), []string{
			`txt.example.org TXT "v=spf1 -all" "more" NOERROR 1 08:07:00 08:07:00 [192.0.2.7]`,
			"www.example.org CNAME edge.cdn.example.net NOERROR 3 08:00:00 08:04:00 []",
			"gone.example.org A  NXDOMAIN 1 08:03:00 08:03:00 [192.0.2.7]",
			"example.org MX 10 mail.example.org NOERROR 1 08:02:00 08:02:00 [192.0.2.7]",
		})
		equal(t, b.lines(engine.DNSQuery{IP: "192.0.2.80"}), []string{
			"notexample.org A 192.0.2.80 NOERROR 1 08:05:00 08:05:00 [192.0.2.7]",
			"edge.cdn.example.net A 192.0.2.80 NOERROR 2 08:00:00 08:01:00 []",
		})
		equal(t, b.lines(engine.DNSQuery{Target: "edge.cdn.example.net"}), []string{"www.example.org CNAME edge.cdn.example.net NOERROR 3 08:00:00 08:04:00 []"})
		equal(t, b.lines(engine.DNSQuery{Target: "mail.example.org"}), []string{"example.org MX 10 mail.example.org NOERROR 1 08:02:00 08:02:00 [192.0.2.7]"})
		equal(t, b.lines(engine.DNSQuery{Domain: "cdn.example.net"}), []string{
			"edge.cdn.example.net AAAA  NOERROR 1 08:04:00 08:04:00 []",
			"edge.cdn.example.net A 192.0.2.80 NOERROR 2 08:00:00 08:01:00 []",
			"edge.cdn.example.net A 192.0.2.81 NOERROR 1 08:00:00 08:00:00 []",
		})
		equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.8"}), []string{"www.example.org A   1 08:01:00 08:01:00 [192.0.2.8]"})
	}
	look() // nothing is written yet
	must(t, b.Flush())
	look()
	b.restart(false)
	look()
}

// The same is counted whether it lies in the table, in the store or in both.
func TestCountsAddUp(t *testing.T) {
	b := newBench(t)
	for n := range 5 {
		b.observe(messages(t, n%2 == 0, capturetest.Lookup{Name: "a.example.org", Time: start.Add(time.Duration(n) * time.Minute), Answers: []string{"a.example.org. 1 IN A 192.0.2.1"}})...)
		if n == 2 {
			must(t, b.Flush())
		}
	}
	equal(t, b.lines(engine.DNSQuery{Domain: "example.org"}), []string{"a.example.org A 192.0.2.1 NOERROR 5 08:00:00 08:04:00 [192.0.2.7]"})
	equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.7"}), []string{"a.example.org A   5 08:00:00 08:04:00 [192.0.2.7]"})
	if s := b.Stats(); s.Records != 1 || s.Asked != 1 || s.Observed != 7 {
		t.Errorf("got %+v", s)
	}
	must(t, b.Flush())
	if s := b.Stats(); s.Domains != 1 || s.Added != 3 {
		t.Errorf("got %+v", s)
	}
}

// The realistic traffic of capturetest gives what decoding it whole gives.
func TestTrafficAgainstTruth(t *testing.T) {
	b := newBench(t)
	var file bytes.Buffer
	_, err := capturetest.NewTraffic(7, capturetest.TrafficOptions{Packets: 20_000}).Write(&file, capturetest.Format{Link: capturetest.LinkEthernet}, func(*capturetest.Said) {})
	must(t, err)
	want := map[string]uint64{}
	for n, m := range read(t, &file) {
		b.observe(m)
		if n%3000 == 0 {
			must(t, b.Flush())
		}
		b.Settle()
		for key, count := range naive(t, m) {
			want[key] += count
		}
	}
	got := map[string]uint64{}
	page, err := b.History(engine.DNSQuery{Domain: ".", Limit: 1 << 30, Whole: true})
	must(t, err)
	for cursor := ""; ; cursor = page.Next {
		page, err = b.History(engine.DNSQuery{Domain: ".", Limit: 1000, Whole: true, Cursor: cursor})
		must(t, err)
		for _, r := range page.Records {
			key := r.Name + " " + r.Type + " " + r.Data + " " + r.Rcode
			if got[key] != 0 {
				t.Fatalf("%s comes twice", key)
			}
			got[key] = r.Count
		}
		if page.Next == "" {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %d entries, want %d", len(got), len(want))
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%q: got %d, want %d", k, got[k], n)
				break
			}
		}
	}
	if s := b.Stats(); len(want) < 1000 || s.Records != int64(len(want)) && s.Records == 0 {
		t.Errorf("got %+v for %d", s, len(want))
	}
}

// naive is what one message says, decoded whole.
func naive(t *testing.T, m *capture.Message) map[string]uint64 {
	if !m.Response() || m.Service != capture.DNS || m.Rcode() != "NOERROR" && m.Rcode() != "NXDOMAIN" {
		return nil
	}
	records, err := m.Records()
	must(t, err)
	out, has, at := map[string]uint64{}, false, string(m.Name)
	for _, r := range records {
		has = has || r.Type == m.TypeName()
		out[r.Name+" "+r.Type+" "+r.Data+" NOERROR"]++
		if r.Type == "CNAME" {
			at = r.Data
		}
	}
	if m.Truncated() || m.Rcode() == "NOERROR" && has {
		return out
	}
	out[at+" "+m.TypeName()+"  "+m.Rcode()]++
	return out
}

func TestDomain(t *testing.T) {
	b := newBench(t)
	first := messages(t, false, capturetest.Lookup{Name: "www.new.example.co.uk"}, capturetest.Lookup{Name: "www.new.example.co.uk", Type: "AAAA"})
	seen := func(m *capture.Message) engine.Seen { b.Helper(); return b.Domain(m) }
	if s := seen(first[0]); s.Known || s.Domain != "example.co.uk" || !s.Since.Equal(start) {
		t.Errorf("the first query: got %+v", s)
	}
	if s := seen(first[2]); !s.Known {
		t.Errorf("another lookup: got %+v", s)
	}
	b.observe(first...)
	b.Settle()
	if s := seen(first[1]); s.Known {
		t.Errorf("the response of the first: got %+v", s)
	}
	b.restart(false)
	later := messages(t, true, capturetest.Lookup{Name: "mail.example.co.uk", Time: start.Add(time.Hour)})
	b.observe(later...)
	b.Settle()
	if s := seen(later[0]); !s.Known || !s.Last.Equal(start) || !s.First.Equal(start) || !s.Since.Equal(start) {
		t.Errorf("after a restart, told of before: got %+v", s)
	}
	b.restart(false)
	forgotten := messages(t, false, capturetest.Lookup{Name: "example.co.uk", Time: start.Add(31*24*time.Hour + time.Hour)})
	b.clock.set(forgotten[0].Time)
	if s := seen(forgotten[0]); s.Known {
		t.Errorf("after its time: got %+v", s)
	}
	must(t, b.Flush())
	list, _, err := b.Domains("", 10)
	must(t, err)
	if len(list) != 1 || !list[0].First.Equal(forgotten[0].Time) {
		t.Errorf("got %+v", list)
	}
	for _, name := range []string{"router", "co.uk", "."} {
		if s := seen(messages(t, false, capturetest.Lookup{Name: name})[0]); !s.Known || s.Domain != name {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t)
	b.settings.Entries = 100
	var all []capturetest.Lookup
	for n := range 300 {
		name := fmt.Sprintf("h%d.d%d.example", n, n)
		all = append(all, capturetest.Lookup{Name: name, Time: start.Add(time.Duration(n) * time.Second), Answers: []string{name + " 1 IN A 192.0.2.1"}})
	}
	b.observe(messages(t, false, all...)...)
	must(t, b.Flush())
	must(t, b.Sweep(t.Context()))
	s := b.Stats()
	if s.Records != 95 || s.Asked != 95 || s.Domains != 95 || s.Evicted != 615 {
		t.Errorf("got %+v", s)
	}
	page, err := b.History(engine.DNSQuery{IP: "192.0.2.1", Limit: 1000})
	must(t, err)
	if len(page.Records) != 95 || page.Records[0].Name != "h299.d299.example" || page.Records[94].Name != "h205.d205.example" {
		t.Errorf("got %d, %+v", len(page.Records), page.Records[0])
	}
	b.clock.set(start.Add(30*24*time.Hour + 250*time.Second))
	must(t, b.Sweep(t.Context()))
	if s := b.Stats(); s.Records != 50 || s.Expired != 3*45 {
		t.Errorf("got %+v", s)
	}
	equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.8"}), nil)
	b.restart(true)
	if s := b.Stats(); len(b.lines(engine.DNSQuery{Domain: "example", Limit: 1000})) != 50 {
		t.Errorf("got %+v", s)
	}
}

// A cache whose folder is deleted begins anew, and so does the memory.
func TestDeletedCache(t *testing.T) {
	b := newBench(t)
	b.observe(messages(t, false, capturetest.Lookup{Name: "www.example.org", Answers: []string{"www.example.org 1 IN A 192.0.2.1"}})...)
	must(t, b.Flush())
	must(t, os.RemoveAll(b.dir))
	must(t, b.Flush())
	if s := b.Stats(); s.Records != 0 || !s.Since.IsZero() {
		t.Errorf("got %+v", s)
	}
	later := messages(t, false, capturetest.Lookup{Name: "www.example.org", Time: start.Add(time.Hour), Answers: []string{"www.example.org 1 IN A 192.0.2.1"}})
	if s := b.Domain(later[0]); s.Known || !s.Since.Equal(start.Add(time.Hour)) {
		t.Errorf("got %+v", s)
	}
	b.observe(later...)
	must(t, b.Flush())
	equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.7"}), []string{"www.example.org A   1 09:00:00 09:00:00 [192.0.2.7]"})
}

// Observe allocates nothing once its batches are there.
func TestObserveAllocatesNothing(t *testing.T) {
	b := newBench(t)
	list := messages(t, false, capturetest.Lookup{Name: "www.example.org", Answers: []string{"www.example.org 1 IN A 192.0.2.1"}})
	for range 10 {
		b.observe(list...)
		b.Settle()
	}
	if n := testing.AllocsPerRun(1000, func() { b.Observe("eth1", list[0]); b.Observe("eth1", list[1]) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

// What nobody takes in is counted, and waits for nobody.
func TestBehind(t *testing.T) {
	b := newBench(t)
	list := messages(t, false, capturetest.Lookup{Name: "www.example.org"})
	for range 100_000 {
		b.observe(list...)
	}
	s := b.Stats()
	if s.Dropped[passivedns.DropBehind] == 0 || s.Observed+s.Dropped[passivedns.DropBehind] != 200_000 {
		t.Errorf("got %+v", s)
	}
}

func TestWrongQueries(t *testing.T) {
	b := newBench(t)
	for _, q := range []engine.DNSQuery{{}, {Domain: "a", IP: "192.0.2.1"}, {IP: "nonsense"}, {Client: "fe80::1%eth0"}, {Domain: "a..b"}, {Domain: strings.Repeat("a", 64)},
		{Domain: "a", Cursor: "x"}, {Domain: "a", Cursor: "dAAAAAAAAA"}} {
		if _, err := b.History(q); engine.KindOf(err) != engine.Invalid {
			t.Errorf("%+v: got %v", q, err)
		}
	}
	b.settings.Clients = false
	if _, err := b.History(engine.DNSQuery{Client: "192.0.2.7"}); engine.KindOf(err) != engine.Conflict {
		t.Errorf("got %v", err)
	}
}

// Who is forgotten is in no file, and what is left knows nothing of them.
func TestForget(t *testing.T) {
	b := newBench(t)
	b.observe(messages(t, false,
		capturetest.Lookup{Name: "private-matter.example", Answers: []string{"private-matter.example. 1 IN A 192.0.2.1"}},
		capturetest.Lookup{Name: "mail.example.org", Type: "TXT", Client: capturetest.At(8, "192.0.2.8:40000"), Answers: []string{`mail.example.org. 1 IN TXT "write to dave@example.org"`}},
		capturetest.Lookup{Name: "www.example.org", Client: capturetest.At(8, "192.0.2.8:40000"), Answers: []string{"www.example.org. 1 IN A 192.0.2.2"}})...)
	must(t, b.Flush())
	must(t, b.Forget(func(text []byte) bool {
		return string(text) == "192.0.2.7" || bytes.Contains(text, []byte("dave@example.org"))
	}))
	look := func() {
		t.Helper()
		equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.7"}), nil)
		equal(t, b.lines(engine.DNSQuery{Client: "192.0.2.8"}), []string{"www.example.org A   1 08:00:00 08:00:00 [192.0.2.8]"})
		equal(t, b.lines(engine.DNSQuery{Domain: "."}), []string{
			"private-matter.example A 192.0.2.1 NOERROR 1 08:00:00 08:00:00 []",
			"www.example.org A 192.0.2.2 NOERROR 1 08:00:00 08:00:00 [192.0.2.8]",
		})
	}
	look()
	b.restart(false)
	look()
	for _, name := range []string{"dave@example.org"} {
		files, err := filepath.Glob(filepath.Join(b.dir, "*"))
		must(t, err)
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(name)) {
				t.Errorf("%s still holds %s", filepath.Base(file), name)
			}
		}
	}
}
