package intake_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/rules"
)

type dict = map[string]engine.Value

// clock is virtual; Sleep waits until it is advanced.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	tick  chan struct{} // closed and replaced by each advance
	slept chan struct{} // told of each sleep
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), tick: make(chan struct{}), slept: make(chan struct{}, 100)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	until, tick := c.now.Add(d), c.tick
	c.mu.Unlock()
	c.slept <- struct{}{}
	for c.Now().Before(until) {
		select {
		case <-tick:
			c.mu.Lock()
			tick = c.tick
			c.mu.Unlock()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	close(c.tick)
	c.tick = make(chan struct{})
}

// evaluator answers where and dedup questions as a test says.
type evaluator func(items []intake.Item) ([]intake.Verdict, error)

func (e evaluator) Where(_ context.Context, _ string, items []intake.Item) ([]intake.Verdict, error) {
	return e(items)
}

// box is an intake on a ledger in a temporary directory.
type box struct {
	t        *testing.T
	dir      string
	shards   int
	clock    *clock
	store    *store.Store
	ledger   *ledger.Ledger
	state    *state.State
	intake   *intake.Intake
	evaluate evaluator
	mu       sync.Mutex
	live     *intake.Live
	changed  chan struct{}
	onCommit func()
	stop     func()
}

// open returns an intake with rules; where and dedup functions are evaluate's.
func open(t *testing.T, shards int, evaluate evaluator, list ...engine.Rule) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), shards: shards, clock: newClock(), evaluate: evaluate, changed: make(chan struct{})}
	for i := range list {
		if list[i].Name == "" {
			list[i].Name = "r"
		}
		if list[i].Mode == "" {
			list[i].Mode = "live"
		}
		if list[i].When == nil {
			list[i].When = []engine.Trigger{hook(false)}
		}
		list[i].Do = engine.Handler{File: "a.star", Name: "f"}
	}
	set := rules.Compile(engine.Declarations{Rules: list}, nil)
	if p := set.Problems(); len(p) > 0 {
		t.Fatalf("rules: %+v", p)
	}
	b.live = &intake.Live{Bundle: "b1", Set: set}
	b.start()
	t.Cleanup(func() { b.close() })
	return b
}

func hook(where bool) engine.Trigger {
	return engine.Trigger{Kind: "webhook", Args: engine.MustEncode(dict{"name": "siem"}), Where: where}
}

func (b *box) start() {
	b.t.Helper()
	var err error
	b.store, err = store.OpenLedger(b.dir + "/ledger")
	must(b.t, err)
	b.ledger, err = ledger.Open(ledger.Config{Store: b.store, Clock: b.clock, Shards: b.shards, Node: "test", Projector: state.NewProjector(func([]state.Notice) {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.changed)
		b.changed = make(chan struct{})
		if b.onCommit != nil {
			b.onCommit()
		}
	})})
	must(b.t, err)
	b.state = state.Open(b.store, nil, b.ledger)
	b.intake = intake.New(intake.Config{
		Ledger: b.ledger, State: b.state, Evaluator: b.evaluate, Clock: b.clock,
		Live: func() *intake.Live {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.live
		},
	})
}

// run routes until the test ends, or stop is called.
func (b *box) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	in := b.intake
	go func() { ended <- in.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("the intake ended with %v", err)
		}
		b.stop = nil
	}
}

// deliver delivers n events, many at once.
func (b *box) deliver(n int, fields func(n int) dict) {
	b.t.Helper()
	numbers := make(chan int, n)
	for i := range n {
		numbers <- i
	}
	close(numbers)
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for i := range numbers {
				var f dict
				if fields != nil {
					f = fields(i)
				}
				if _, err := b.intake.Deliver(b.t.Context(), event(fmt.Sprint(i), f)); err != nil {
					b.t.Error(err)
				}
			}
		})
	}
	callers.Wait()
}

func (b *box) close() {
	if b.stop != nil {
		b.stop()
	}
	b.ledger.Close()
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
}

// until waits until fn is true.
func (b *box) until(what string, fn func() bool) {
	b.t.Helper()
	late := time.After(30 * time.Second)
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if fn() {
			return
		}
		select {
		case <-changed:
		case <-late:
			b.t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// take delivers an event, routes it, and says what each rule did: "r opened i0-1".
func (b *box) take(key string, fields dict) []string {
	b.t.Helper()
	found, err := b.intake.Take(b.t.Context(), event(key, fields))
	must(b.t, err)
	list := []string{}
	for _, m := range found {
		list = append(list, m.Rule+" "+m.Action+" "+m.Incident)
	}
	return list
}

func event(key string, fields dict) engine.Event {
	return engine.Event{Kind: "webhook", Source: "siem", Time: time.Date(2026, 11, 22, 7, 59, 0, 0, time.UTC), Key: key, Fields: fields}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestWhatARunExpects: an event that a run expects is offered to it, and, if the run
// takes it, to no rule.
func TestWhatARunExpects(t *testing.T) {
	for _, takes := range []bool{false, true} {
		b := open(t, 1, nil, engine.Rule{})
		b.take("first", dict{"id": "1"})
		set := record.ExpectSet{Generation: 1, Kind: "webhook", Args: hook(false).Args, Match: map[string]string{"id": "7"}, Run: "r0-1", Step: "1", Take: takes}
		rec, err := b.ledger.Offer(t.Context(), 0, ledger.New{Kind: record.ExpectSetKind, Payload: record.Marshal(set)})
		must(t, err)
		b.intake.Expected.Notice([]state.Notice{{Kind: record.ExpectSetKind}})
		o, err := record.Unmarshal[record.Outcome](rec.Outcome)
		must(t, err)
		other, wanted := event("other", dict{"id": "8"}), event("wanted", dict{"id": "7"})
		if !o.Applied || b.intake.Expected.Matches(&other) || !b.intake.Expected.Matches(&wanted) {
			t.Fatalf("got %+v", o)
		}
		if secret, known := b.intake.Expected.Hook("siem"); !known || secret != "siem" {
			t.Errorf("got the hook's secret %q, %v", secret, known)
		}
		if got := b.take("other", dict{"id": "8"}); len(got) != 1 {
			t.Errorf("another event: got %v", got)
		}
		if got := b.take("wanted", dict{"id": "7"}); (len(got) == 0) != takes {
			t.Errorf("take %v: got %v", takes, got)
		}
		if list, err := b.state.Expectations(); err != nil || len(list) > 0 {
			t.Errorf("got %+v, %v afterwards", list, err)
		}
	}
}

func TestDedup(t *testing.T) {
	tests := []struct {
		name string
		rule engine.Rule
		want []string // of hosts a, a, b, a, and one without a host
	}{
		{"absent", engine.Rule{}, []string{"opened i0-1", "opened i0-2", "opened i0-3", "opened i0-4", "opened i0-5"}},
		{"empty: one for the rule", engine.Rule{DedupSet: true, Dedup: []string{}}, []string{"opened i0-1", "attached i0-1", "attached i0-1", "attached i0-1", "attached i0-1"}},
		{"a field", engine.Rule{DedupSet: true, Dedup: []string{"host"}}, []string{"opened i0-1", "attached i0-1", "opened i0-2", "attached i0-1", "opened i0-3"}},
		{"a nested field", engine.Rule{DedupSet: true, Dedup: []string{"at.city"}}, []string{"opened i0-1", "attached i0-1", "opened i0-2", "attached i0-1", "opened i0-3"}},
		{"two fields", engine.Rule{DedupSet: true, Dedup: []string{"host", "n"}}, []string{"opened i0-1", "opened i0-2", "opened i0-3", "opened i0-4", "opened i0-5"}},
		{"a word of every event", engine.Rule{DedupSet: true, Dedup: []string{"source"}}, []string{"opened i0-1", "attached i0-1", "attached i0-1", "attached i0-1", "attached i0-1"}},
		{"a function", engine.Rule{DedupFunc: true}, []string{"opened i0-1", "attached i0-1", "opened i0-2", "attached i0-1", "opened i0-3"}},
	}
	byHost := func(items []intake.Item) ([]intake.Verdict, error) {
		key, err := engine.Encode([]engine.Value{items[0].Event.Fields["host"]})
		return []intake.Verdict{{Key: string(key)}}, err
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, 1, byHost, tt.rule)
			for n, host := range []string{"a", "a", "b", "a", ""} {
				fields := dict{"host": host, "n": int64(n), "at": dict{"city": host}}
				if host == "" {
					fields = dict{"n": int64(n)}
				}
				equal(t, fmt.Sprint("event ", n+1), b.take("", fields), "r "+tt.want[n])
			}
		})
	}
}

func TestAFailingDedupKeepsItsEventsTogether(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]intake.Verdict{"failed": {Err: errors.New("no field host")}, "died": {Died: true}} {
		b := open(t, 1, func([]intake.Item) ([]intake.Verdict, error) { return []intake.Verdict{v}, nil }, engine.Rule{DedupFunc: true})
		equal(t, name, b.take("1", nil), "r opened i0-1")
		equal(t, name, b.take("2", nil), "r attached i0-1")
		if got := b.intake.LastError("r"); got == "" {
			t.Errorf("%s: the rule has no last error", name)
		}
	}
}

// close closes an incident, quiet for a time.
func (b *box) closeIncident(id string, quiet time.Duration) {
	b.t.Helper()
	shard, _, _ := engine.ParseID('i', id)
	_, err := b.ledger.Offer(b.t.Context(), shard, ledger.New{Kind: record.IncidentChangedKind, Payload: record.Marshal(record.IncidentAct{
		Act: record.ActClose, Incident: id, By: "dave", Text: "done", Quiet: quiet,
	})})
	must(b.t, err)
}

func TestQuietAfterTheClose(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		closed time.Duration // quiet of the close itself
		wait   time.Duration
		want   string
	}{
		{"within", 2 * time.Hour, 2*time.Hour - time.Nanosecond, "r quiet i0-1"},
		{"over", 2 * time.Hour, 2 * time.Hour, "r opened i0-2"},
		{"none", 0, 0, "r opened i0-2"},
	}
	for _, tt := range tests {
		b := open(t, 1, nil, engine.Rule{DedupSet: true})
		b.take("1", nil)
		b.closeIncident("i0-1", tt.closed)
		b.clock.advance(tt.wait)
		equal(t, tt.name, b.take("2", nil), tt.want)
	}
}

// TestTheRulesQuiet: the rule's own quiet begins when an incident is closed,
// however that was done.
func TestTheRulesQuiet(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{DedupSet: true, Quiet: 6 * time.Hour})
	b.take("1", nil)
	b.closeIncident("i0-1", 0)
	b.clock.advance(5 * time.Hour)
	equal(t, "within", b.take("2", nil), "r quiet i0-1")
	b.clock.advance(time.Hour)
	equal(t, "over", b.take("3", nil), "r opened i0-2")
	i, err := b.state.Incident("i0-1")
	must(t, err)
	if i.Events != 2 || i.Status != engine.IncidentClosed {
		t.Errorf("got %+v, want the quiet event attached to the closed incident", i)
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{ThrottleCount: 3, ThrottleSpan: time.Hour, Title: "T {n}"})
	step := func(want string) {
		t.Helper()
		equal(t, want, b.take("", dict{"n": int64(1)}), "r "+want)
		b.clock.advance(10 * time.Minute)
	}
	step("opened i0-1")    // :00
	step("opened i0-2")    // :10
	step("opened i0-3")    // :20
	step("throttled i0-4") // :30 the overflow incident opens
	step("throttled i0-4")
	step("throttled i0-4")
	step("opened i0-5") // 1:00, the first is an hour ago
	step("opened i0-6")
	step("opened i0-7")
	step("throttled i0-4") // 1:30: still open
	b.closeIncident("i0-4", 0)
	b.clock.advance(-10 * time.Minute)
	step("throttled i0-8")
	i, err := b.state.Incident("i0-4")
	must(t, err)
	if i.Title != "Too many: r" || i.Events != 4 || i.Rule != "r" {
		t.Errorf("got %+v", i)
	}
	runs, _, err := b.state.Runs(engine.RunFilter{Incident: "i0-4"}, "", 10)
	must(t, err)
	if len(runs) != 0 {
		t.Errorf("got runs %+v of an overflow incident, want none", runs)
	}
	if hits, err := b.state.Hits("r"); err != nil || hits.Hits != 11 {
		t.Errorf("got %+v, %v, want 11 hits", hits, err)
	}
}

func TestWhere(t *testing.T) {
	tests := []struct {
		name    string
		verdict intake.Verdict
		matches bool
		last    string
	}{
		{"true", intake.Verdict{Match: true}, true, ""},
		{"false", intake.Verdict{}, false, ""},
		{"failing", intake.Verdict{Err: errors.New("a.star:3: no field level")}, false, "a.star:3: no field level"},
		{"died", intake.Verdict{Died: true, Err: errors.New("the worker died (time)")}, true, "the worker died (time)"},
		{"died without a word", intake.Verdict{Died: true}, true, "the worker died"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			b := open(t, 1, func(items []intake.Item) ([]intake.Verdict, error) {
				asked++
				if len(items) != 2 || items[0].Rule != "r" || items[1].Trigger != 1 {
					t.Errorf("got items %+v", items)
				}
				return []intake.Verdict{tt.verdict, tt.verdict}, nil
			}, engine.Rule{When: []engine.Trigger{hook(true), hook(true)}}, engine.Rule{Name: "plain"})
			want := []string{"plain opened i0-1"}
			if tt.matches { // once, though both triggers do
				want = append(want, "r opened i0-2")
			}
			equal(t, "matches", b.take("1", nil), want...)
			if got := b.intake.LastError("r"); got != tt.last || asked != 1 {
				t.Errorf("got last error %q after %d questions, want %q after one", got, asked, tt.last)
			}
		})
	}
}

func TestAnEventIsTakenOnceByItsKey(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{})
	id, err := b.intake.Deliver(t.Context(), event("k1", nil))
	must(t, err)
	for range 2 {
		b.clock.advance(3 * 24 * time.Hour)
		if again, err := b.intake.Deliver(t.Context(), event("k1", nil)); err != nil || again != id {
			t.Errorf("got %s, %v, want %s again", again, err, id)
		}
	}
	other := event("k1", nil)
	other.Source = "other"
	if got, err := b.intake.Deliver(t.Context(), other); err != nil || got == id {
		t.Errorf("another source: got %s, %v, want an event of its own", got, err)
	}
	b.clock.advance(24*time.Hour + time.Nanosecond)
	if got, err := b.intake.Deliver(t.Context(), event("k1", nil)); err != nil || got == id {
		t.Errorf("after 7 days: got %s, %v, want a new event", got, err)
	}
	if got := b.intake.Waiting(); got != 3 {
		t.Errorf("got %d events waiting, want 3", got)
	}
}

// TestOldKeysAreForgotten: the memory of keys does not grow for ever.
func TestOldKeysAreForgotten(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{})
	count := func() (n int) {
		view := b.store.View()
		defer view.Close()
		for _, prefix := range []string{"o", "O"} {
			view.Scan([]byte(prefix), nil, false, func(_, _ []byte) bool { n++; return true })
		}
		return n
	}
	for n := range 80 {
		b.take(fmt.Sprint("old ", n), nil)
	}
	if got := count(); got != 320 { // an event and a match, each with its time
		t.Errorf("got %d keys, want 320", got)
	}
	b.clock.advance(8 * 24 * time.Hour)
	for n := range 80 {
		b.take(fmt.Sprint("new ", n), nil)
	}
	if got := count(); got > 400 {
		t.Errorf("got %d keys: old ones are not forgotten", got)
	}
}

func TestLargeEventsAreRefused(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{})
	fits := dict{"x": strings.Repeat("y", engine.MaxEventBytes-len(`{"x":""}`))}
	if _, err := b.intake.Deliver(t.Context(), event("", fits)); err != nil {
		t.Errorf("an event of exactly 16 KB: %v", err)
	}
	_, err := b.intake.Deliver(t.Context(), event("", dict{"x": strings.Repeat("y", engine.MaxEventBytes)}))
	e := engine.AsError(err)
	if e == nil || e.Kind != engine.Invalid || e.Message != "event: its fields are 16392 bytes, at most 16384" || e.Hint != "send less, or send a link to the rest" {
		t.Errorf("got %v", err)
	}
}

func TestWhatACrashLeftIsRouted(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		b := open(t, shards, nil, engine.Rule{DedupSet: true, Dedup: []string{"host"}})
		b.deliver(150, func(n int) dict { return dict{"host": fmt.Sprint(n % 10)} }) // nobody routes them
		b.close()
		b.start()
		b.run()
		b.until("all are routed", func() bool { return b.inbox() == 0 })
		b.stop()
		incidents, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 100)
		must(t, err)
		events := 0
		for _, i := range incidents {
			events += i.Events
		}
		if len(incidents) != 10 || events != 150 || b.intake.Waiting() != 0 {
			t.Errorf("%d shards: got %d incidents with %d events, %d waiting, want 10 with 150, none waiting", shards, len(incidents), events, b.intake.Waiting())
		}
		b.close()
		b.start() // nothing is done twice
		b.run()
		must(t, nil)
	}
}

// inbox counts the events that wait to be routed.
func (b *box) inbox() (n int) {
	view := b.store.View()
	defer view.Close()
	view.Scan([]byte("E"), nil, false, func(_, _ []byte) bool { n++; return true })
	return n
}

// TestRoutingTwiceHasOneEffect: a crash between the matches and the end of an
// event's inbox entry routes it again.
func TestRoutingTwiceHasOneEffect(t *testing.T) {
	t.Parallel()
	b := open(t, 8, nil, engine.Rule{}, engine.Rule{Name: "two"})
	id, err := b.intake.Deliver(t.Context(), event("k", nil))
	must(t, err)
	for _, rule := range []string{"r", "two"} { // the matches, as intake offers them
		shard := b.ledger.ShardOf(rule, id)
		_, err := b.ledger.Offer(t.Context(), shard, ledger.New{Kind: record.EventMatchedKind, Payload: record.Marshal(record.EventMatched{
			Rule: rule, Event: id, Offer: id + "/" + rule, Bundle: "b1", Mode: "live", Dedup: id,
		})})
		must(t, err)
	}
	b.run()
	b.until("it is routed", func() bool { return b.inbox() == 0 })
	incidents, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 100)
	must(t, err)
	if len(incidents) != 2 {
		t.Errorf("got %d incidents, want 2", len(incidents))
	}
}

// TestShardsAndOrder: an incident lies in the shard of its rule and key, and has
// its events in their order.
func TestShardsAndOrder(t *testing.T) {
	t.Parallel()
	b := open(t, 8, nil, engine.Rule{DedupSet: true, Dedup: []string{"host"}})
	b.run()
	for n := range 100 {
		_, err := b.intake.Deliver(t.Context(), event("", dict{"host": fmt.Sprint(n % 10), "n": int64(n)}))
		must(t, err)
		b.clock.advance(time.Millisecond)
	}
	b.until("all are routed", func() bool { return b.inbox() == 0 })
	incidents, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 100)
	must(t, err)
	shards := map[uint16]bool{}
	for _, i := range incidents {
		shard, _, _ := engine.ParseID('i', i.ID)
		shards[shard] = true
		if want := b.ledger.ShardOf("r", i.Dedup); shard != want {
			t.Errorf("incident %s with key %s: want shard %d", i.ID, i.Dedup, want)
		}
		events, _, err := b.state.IncidentEvents(i.ID, "", 100)
		must(t, err)
		last := int64(-1)
		for _, e := range events {
			n := e.Fields["n"].(int64)
			if last >= 0 && n != last+10 {
				t.Errorf("incident %s: got event %d after %d", i.ID, n, last)
			}
			last = n
		}
	}
	if len(incidents) != 10 || len(shards) < 3 {
		t.Errorf("got %d incidents in %d shards, want 10 in most of 8", len(incidents), len(shards))
	}
}

// TestFaultsAreTriedAgain: without rules, or with a worker that cannot be
// started, events wait.
func TestFaultsAreTriedAgain(t *testing.T) {
	t.Parallel()
	faults := 2
	b := open(t, 1, func(items []intake.Item) ([]intake.Verdict, error) {
		if faults--; faults >= 0 {
			return nil, engine.Errorf(engine.Unavailable, "no worker can be started")
		}
		return []intake.Verdict{{Match: true}}, nil
	}, engine.Rule{When: []engine.Trigger{hook(true)}})
	live := b.live
	b.live = nil
	b.run()
	_, err := b.intake.Deliver(t.Context(), event("k", nil))
	must(t, err)
	<-b.clock.slept // no rules yet
	b.mu.Lock()
	b.live = live
	b.mu.Unlock()
	for range 2 {
		b.clock.advance(time.Second)
		<-b.clock.slept
	}
	b.clock.advance(time.Second)
	b.until("it is routed", func() bool { return b.inbox() == 0 })
	incidents, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 10)
	must(t, err)
	if len(incidents) != 1 || faults >= 0 {
		t.Errorf("got %d incidents, %d faults left", len(incidents), faults)
	}
}

// TestDeliverersThatGoAway: an event is routed though whoever delivered it did
// not wait for room in the inbox.
func TestDeliverersThatGoAway(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{})
	const full, more = 1024, 20
	b.deliver(full, nil)
	for n := range more {
		ctx, cancel := context.WithCancel(t.Context())
		b.mu.Lock()
		b.onCommit = cancel // durable, then nobody waits
		b.mu.Unlock()
		if id, err := b.intake.Deliver(ctx, event(fmt.Sprint("more ", n), nil)); err != nil || id == "" {
			t.Fatalf("got %q, %v", id, err)
		}
	}
	b.mu.Lock()
	b.onCommit = nil
	b.mu.Unlock()
	if got := b.intake.Waiting(); got != full+more {
		t.Errorf("got %d waiting, want %d", got, full+more)
	}
	b.run()
	b.until("all are routed", func() bool { return b.inbox() == 0 })
	for b.intake.Waiting() > 0 { // those that were still in memory have no second effect
		runtime.Gosched()
	}
	incidents, err := b.state.Counts()
	must(t, err)
	if incidents.OpenIncidents != full+more {
		t.Errorf("got %d incidents, want %d", incidents.OpenIncidents, full+more)
	}
}

func TestRulesThatAreOffMatchNothing(t *testing.T) {
	t.Parallel()
	b := open(t, 1, nil, engine.Rule{Mode: "off"}, engine.Rule{Name: "shadow", Mode: "shadow"})
	equal(t, "matches", b.take("1", nil), "shadow opened i0-1")
	runs, _, err := b.state.Runs(engine.RunFilter{}, "", 10)
	must(t, err)
	if len(runs) != 1 || runs[0].Mode != "shadow" {
		t.Errorf("got runs %+v, want one in shadow", runs)
	}
}
