package passivedns_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/trigger"
	"larkspur/rules"
)

// sensor is a source of messages, as a live one is.
type sensor struct{ left []*capture.Message }

func (s *sensor) Next(context.Context) (*capture.Message, error) {
	if len(s.left) == 0 {
		return nil, io.EOF
	}
	m := s.left[0]
	s.left = s.left[1:]
	return m, nil
}

func (s *sensor) Stats() capture.Stats { return capture.Stats{} }

// sink keeps what a rule matched.
type sink struct {
	mu     sync.Mutex // guards events
	events []engine.Event
}

func (s *sink) Deliver(_ context.Context, e engine.Event) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return "", nil
}

// see lets messages pass a live sensor, and returns what a rule matches of them,
// while the memory takes them in beside.
func (b *bench) see(args map[string]engine.Value, list ...*capture.Message) (queries []string) {
	b.Helper()
	d := engine.Declarations{Rules: []engine.Rule{{Name: "new", Mode: "live", When: []engine.Trigger{{Kind: "dns", Args: engine.MustEncode(args)}}}}}
	set := rules.Compile(d, nil)
	if p := set.Problems(); len(p) > 0 {
		b.Fatal(p)
	}
	ctx, stop := context.WithCancel(b.Context())
	var background sync.WaitGroup
	background.Go(func() {
		for ctx.Err() == nil {
			b.Settle()
		}
	})
	events := &sink{}
	err := trigger.NewDNS(trigger.DNSConfig{
		Name: "eth1", Messages: &sensor{list}, Matcher: func() trigger.Matcher { return set }, Sink: events, Memory: b.Memory,
	}).Run(b.Context())
	stop()
	background.Wait()
	must(b, err)
	for _, e := range events.events {
		queries = append(queries, e.Fields["query"].(string))
	}
	slices.Sort(queries)
	return queries
}

func TestNewlySeenDomainsFire(t *testing.T) {
	b := newBench(t)
	always := map[string]engine.Value{"first_seen": true}
	answered := map[string]engine.Value{"first_seen": true, "rcodes": []engine.Value{"NOERROR"}}
	week := map[string]engine.Value{"first_seen": 7 * 24 * time.Hour}
	at := func(days int, names ...string) []*capture.Message {
		var list []capturetest.Lookup
		for _, name := range names {
			for _, kind := range []string{"A", "AAAA"} {
				list = append(list, capturetest.Lookup{Name: name, Type: kind, Time: start.AddDate(0, 0, days)})
			}
		}
		all := messages(t, false, list...)
		slices.SortStableFunc(all, func(x, y *capture.Message) int { // queries of both types come before their responses
			if x.Response() != y.Response() && y.Response() {
				return -1
			}
			if x.Response() != y.Response() {
				return 1
			}
			return 0
		})
		b.clock.set(start.AddDate(0, 0, days))
		return all
	}
	equal(t, b.see(always, at(0, "www.a.example", "b.example")...), []string{"b.example", "www.a.example"})
	equal(t, b.see(always, at(1, "other.a.example")...), nil)
	equal(t, b.see(week, at(1, "young.example")...), nil) // the memory is too young to know
	b.restart(false)
	equal(t, b.see(always, at(2, "a.example", "c.example")...), []string{"c.example"})
	equal(t, b.see(answered, at(3, "d.example", "c.example")...), []string{"d.example"})
	equal(t, b.see(week, at(9, "b.example", "a.example", "d.example", "e.example")...), []string{"b.example", "e.example"})
	b.restart(false)
	equal(t, b.see(always, at(34, "c.example", "e.example")...), []string{"c.example"}) // after its time it is new again
}
