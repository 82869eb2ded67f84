package trigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/rules"
)

// keeper is a sink for many callers. With gate set, Deliver waits for it.
type keeper struct {
	mu     sync.Mutex
	events []engine.Event
	gate   chan struct{}
	err    error
}

func (k *keeper) Deliver(ctx context.Context, e engine.Event) (string, error) {
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return "", k.err
	}
	k.events = append(k.events, e)
	return "e0-1", nil
}

// matching compiles rules with one on.dns each.
func matching(t *testing.T, args ...map[string]engine.Value) func() Matcher {
	t.Helper()
	var d engine.Declarations
	for i, a := range args {
		d.Rules = append(d.Rules, engine.Rule{Name: fmt.Sprint("r", i), Mode: "live", When: []engine.Trigger{{Kind: "dns", Args: engine.MustEncode(a)}}})
	}
	set := rules.Compile(d, nil)
	if p := set.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	return func() Matcher { return set }
}

func source(t *testing.T, write func(w *capturetest.Writer)) capture.Source {
	t.Helper()
	var b bytes.Buffer
	w := capturetest.NewWriter(&b)
	write(w)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	f, err := capture.NewFile(context.Background(), "test.pcap", &b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// newDNS returns a DNS of a capture.
func newDNS(src capture.Source, matcher func() Matcher, sink Sink) *DNS {
	return NewDNS(DNSConfig{Name: "eth1", Messages: capture.NewReader(src), Matcher: matcher, Sink: sink})
}

func ask(name string, id uint16, answers ...string) capturetest.Lookup {
	return capturetest.Lookup{
		Time: testNow, Client: capturetest.At(7, "192.0.2.7:40000"), Server: capturetest.At(53, "192.0.2.53:53"),
		ID: id, Name: name, Answers: answers,
	}
}

func TestDNSDeliversLookups(t *testing.T) {
	src := source(t, func(w *capturetest.Writer) {
		w.Exchange(ask("www.netflix.com", 1, "www.netflix.com. 60 IN A 203.0.113.9"))
		w.Exchange(ask("example.org", 2))
		w.Response(ask("api.netflix.com", 3)) // its query was not seen
		w.Exchange(ask("notnetflix.com", 4))
	})
	k := &keeper{}
	d := newDNS(src, matching(t, map[string]engine.Value{"domains": "netflix.com"}), k)
	if err := d.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(k.events) != 2 {
		t.Fatalf("got %d events, want 2: %v", len(k.events), k.events)
	}
	e := k.events[0]
	if e.Kind != "dns" || e.Source != "eth1" || !e.Time.Equal(testNow) || e.Fields["query"] != "www.netflix.com" || e.Fields["client"] != "192.0.2.7" {
		t.Errorf("got %+v", e)
	}
	if e := k.events[1]; e.Fields["query"] != "api.netflix.com" || e.Fields["response"] != true || e.Fields["query_seen"] != nil {
		t.Errorf("got %+v, want the lone response", e)
	}
	s := d.Stats()
	if s.Capture.Messages != 7 || s.Wanted != 2 || s.Matched != 2 || s.Delivered != 2 || len(s.Dropped) != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestDNSResponsesForRulesThatWantThem(t *testing.T) {
	src := source(t, func(w *capturetest.Writer) {
		w.Exchange(ask("a.example", 1, "a.example. 60 IN A 203.0.113.9"))
		w.Exchange(ask("b.example", 2, "b.example. 60 IN A 203.0.113.8"))
	})
	k := &keeper{}
	d := newDNS(src, matching(t, map[string]engine.Value{"answers": "203.0.113.9"}), k)
	if err := d.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(k.events) != 1 || k.events[0].Fields["query"] != "a.example" || k.events[0].Fields["query_seen"] != true {
		t.Errorf("got %v, want the response of a.example", k.events)
	}
}

func TestDNSNeverWaitsForTheSink(t *testing.T) {
	const extra = 10
	src := source(t, func(w *capturetest.Writer) {
		for i := range dnsQueueLength + 1 + extra {
			w.Query(ask("netflix.com", uint16(i)))
		}
	})
	k := &keeper{gate: make(chan struct{})}
	d := newDNS(gated{src, k.gate}, matching(t, map[string]engine.Value{}), k)
	if err := d.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := d.Stats()
	// One event may be in delivery, the rest of one client's queue is full.
	if n := s.Dropped[DropQueueFull]; n != extra && n != extra+1 {
		t.Errorf("got %d dropped, want %d or one more", n, extra)
	}
	if s.Delivered+s.Dropped[DropQueueFull] != s.Matched {
		t.Errorf("got %+v, want every match delivered or counted", s)
	}
}

// gated opens the gate when the source has ended.
type gated struct {
	capture.Source
	gate chan struct{}
}

func (g gated) Next(ctx context.Context, f *capture.Frame) error {
	err := g.Source.Next(ctx, f)
	if err == io.EOF {
		close(g.gate)
	}
	return err
}

func TestDNSCountsWhatTheSinkRefuses(t *testing.T) {
	for reason, err := range map[string]error{
		"unavailable": engine.Errorf(engine.Unavailable, "ledger: closed"),
		"no_room":     engine.Errorf(engine.Unavailable, "disk full").WithCause(engine.CauseNoRoom),
	} {
		src := source(t, func(w *capturetest.Writer) {
			w.Query(ask("a.example", 1))
			w.Query(ask("b.example", 2))
		})
		d := newDNS(src, matching(t, map[string]engine.Value{}), &keeper{err: err})
		if err := d.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if s := d.Stats(); s.Dropped[reason] != 2 || s.Delivered != 0 {
			t.Errorf("got %+v, want 2 dropped as %s", s, reason)
		}
	}
}

// silent is an interface on which nothing comes.
type silent struct{ capture.Source }

func (silent) Next(ctx context.Context, _ *capture.Frame) error {
	<-ctx.Done()
	return ctx.Err()
}

func (silent) Stats() capture.SourceStats { return capture.SourceStats{} }

func TestDNSEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := newDNS(silent{}, matching(t), &keeper{})
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestDNSWithoutRules(t *testing.T) {
	src := source(t, func(w *capturetest.Writer) { w.Query(ask("a.example", 1)) })
	d := newDNS(src, func() Matcher { return nil }, &keeper{})
	if err := d.Run(context.Background()); err != nil || d.Stats().Wanted != 0 {
		t.Errorf("got %v, %+v", err, d.Stats())
	}
}

func TestLookupFitsAnEvent(t *testing.T) {
	var answers []string
	for i := range 200 {
		answers = append(answers, fmt.Sprintf(`netflix.com. 60 IN TXT "%d%s"`, i, strings.Repeat(`\200`, 200)))
	}
	src := source(t, func(w *capturetest.Writer) { w.ExchangeTCP(ask("netflix.com", 1, answers...)) })
	k := &keeper{}
	d := newDNS(src, matching(t, map[string]engine.Value{"rcodes": "NOERROR"}), k)
	if err := d.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(k.events) != 1 || k.events[0].Fields["answers_cut"] != true {
		t.Fatalf("got %d events, want one with answers cut", len(k.events))
	}
	if data := engine.MustEncode(k.events[0].Fields); len(data) > engine.MaxEventBytes {
		t.Errorf("got %d bytes of fields, want at most %d", len(data), engine.MaxEventBytes)
	}
}

func BenchmarkDNSUnmatched(b *testing.B) {
	var file bytes.Buffer
	w := capturetest.NewWriter(&file)
	for i := range 1000 {
		w.Exchange(capturetest.Lookup{Time: testNow.Add(time.Duration(i) * time.Millisecond), Client: capturetest.At(7, "192.0.2.7:40000"),
			Server: capturetest.At(53, "192.0.2.53:53"), ID: uint16(i), Name: fmt.Sprintf("www.site%d.example", i)})
	}
	set := rules.Compile(engine.Declarations{Rules: []engine.Rule{{Name: "r", Mode: "live",
		When: []engine.Trigger{{Kind: "dns", Args: engine.MustEncode(map[string]engine.Value{"domains": "netflix.com"})}}}}}, nil)
	for b.Loop() {
		f, err := capture.NewFile(context.Background(), "bench.pcap", bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if err := newDNS(f, func() Matcher { return set }, &keeper{}).Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
