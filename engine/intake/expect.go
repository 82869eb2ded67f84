package intake

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/rules"
)

// Expected is what runs expect, compiled like the rules in force. Which event an
// expectation gets is decided in the ledger; here is only known which ones to offer.
// It is read again when a record has changed it: before the run that expects goes
// on, so that no event is missed. Safe for concurrent use.
type Expected struct {
	state *state.State
	live  func() *Live
	stale atomic.Bool
	some  atomic.Bool

	mu    sync.Mutex // guards what follows
	base  *rules.Set // that it was compiled beside
	set   *rules.Set
	known map[string]state.Expectation // by run and step
}

func newExpected(cfg Config) *Expected {
	e := &Expected{state: cfg.State, live: cfg.Live}
	e.stale.Store(true)
	return e
}

// Notice hears of what was committed. It never blocks.
func (e *Expected) Notice(notices []state.Notice) {
	for _, n := range notices {
		switch n.Kind {
		case record.ExpectSetKind:
			e.stale.Store(true)
		case record.EventExpectedKind, record.RunEndedKind, record.WorkerDiedKind, record.RunRestartedKind:
			if e.some.Load() || n.Kind == record.RunRestartedKind {
				e.stale.Store(true)
			}
		}
	}
}

// now returns what is expected, nil for nothing.
func (e *Expected) now() (*rules.Set, map[string]state.Expectation, error) {
	live := e.live()
	if live == nil || !e.stale.Load() && !e.some.Load() {
		return nil, nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stale.Swap(false) || e.base != live.Set {
		list, err := e.state.Expectations()
		if err != nil {
			e.stale.Store(true)
			return nil, nil, err
		}
		e.base, e.set, e.known = live.Set, live.Set.Beside(asRules(list...)), map[string]state.Expectation{}
		for _, x := range list {
			e.known[x.Run+" "+x.Step] = x
		}
		e.some.Store(len(list) > 0)
	}
	return e.set, e.known, nil
}

// asRules makes rules of expectations, so that the same matcher takes both.
func asRules(list ...state.Expectation) []engine.Rule {
	all := make([]engine.Rule, len(list))
	for i, x := range list {
		all[i] = engine.Rule{Name: x.Run + " " + x.Step, When: []engine.Trigger{x.Trigger}}
	}
	return all
}

// Check says what is wrong with a trigger that a run wants to expect.
func (e *Expected) Check(t engine.Trigger) error {
	live := e.live()
	if live == nil {
		return engine.Errorf(engine.Unavailable, "expect: no rules are live yet")
	}
	set, known, err := e.now()
	if err != nil {
		return err
	}
	var others []state.Expectation
	for _, x := range known {
		others = append(others, x)
	}
	all := live.Set.Beside(asRules(append(others, state.Expectation{Trigger: t})...))
	if had := problems(set); len(all.Problems()) > had {
		p := all.Problems()[len(all.Problems())-1]
		return engine.Errorf(engine.Invalid, "expect: %s", p.Message).WithHint("%s", p.Hint)
	}
	return nil
}

func problems(s *rules.Set) int {
	if s == nil {
		return 0
	}
	return len(s.Problems())
}

// WantsDNS tells whether an expectation could match a message. What cannot be read
// yet may be expected.
func (e *Expected) WantsDNS(seen *engine.Sighting) bool {
	set, _, err := e.now()
	return err != nil || set != nil && set.WantsDNS(seen)
}

// WantsFirstSeen tells whether an expectation asks what the memory of lookups knows.
func (e *Expected) WantsFirstSeen() bool {
	set, _, err := e.now()
	return err == nil && set != nil && set.WantsFirstSeen()
}

// Matches tells whether an expectation matches an event.
func (e *Expected) Matches(event *engine.Event) bool {
	set, _, err := e.now()
	return err != nil || set != nil && set.Matches(event)
}

// Hook returns the name of the secret that guards a webhook which a run expects.
func (e *Expected) Hook(name string) (secret string, known bool) {
	if set, _, _ := e.now(); set != nil {
		return set.Hook(name)
	}
	return "", false
}

// Watched is what the triggers hold what they see against: rules, and what runs
// expect.
type Watched struct {
	Rules    *rules.Set
	Expected *Expected
}

// WantsDNS tells whether any of both could match a message.
func (w Watched) WantsDNS(seen *engine.Sighting) bool {
	return w.Rules.WantsDNS(seen) || w.Expected.WantsDNS(seen)
}

// WantsFirstSeen tells whether any of both asks what the memory of lookups knows.
func (w Watched) WantsFirstSeen() bool {
	return w.Rules.WantsFirstSeen() || w.Expected.WantsFirstSeen()
}

// Matches tells whether any of both matches an event.
func (w Watched) Matches(e *engine.Event) bool { return w.Rules.Matches(e) || w.Expected.Matches(e) }

// expect offers events to those who expect them, and says which of a batch no rule
// is to see.
func (in *Intake) expect(ctx context.Context, batch []engine.Event) (taken []bool, err error) {
	taken = make([]bool, len(batch))
	set, _, err := in.Expected.now()
	if set == nil || err != nil {
		return taken, err
	}
	for i := range batch {
		for _, h := range set.Match(&batch[i]) {
			o, err := in.offerExpected(ctx, batch[i], h.Rule.Name)
			if err != nil {
				return nil, err
			}
			taken[i] = taken[i] || o.Action == state.ExpectedTaken
		}
	}
	return taken, nil
}

func (in *Intake) offerExpected(ctx context.Context, e engine.Event, by string) (record.Outcome, error) {
	run, step, _ := strings.Cut(by, " ")
	fields, err := engine.Encode(e.Fields)
	if err != nil {
		return record.Outcome{}, err
	}
	seen, err := in.cfg.State.SeenAt(e.ID)
	if err != nil {
		return record.Outcome{}, err
	}
	shard, _, _ := engine.ParseID('r', run)
	rec, err := in.cfg.Ledger.Offer(ctx, shard, ledger.New{Kind: record.EventExpectedKind, Payload: record.Marshal(record.EventExpected{
		Event: e.ID, EventKind: e.Kind, EventTime: e.Time.UTC(), Fields: fields, Offer: e.ID + "/" + by, Run: run, Seen: seen, Source: e.Source, Step: step,
	})})
	if err != nil {
		return record.Outcome{}, err
	}
	return record.Unmarshal[record.Outcome](rec.Outcome)
}
