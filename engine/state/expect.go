package state

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// An expectation is a run's wish for an event to come. It lies in the run's shard,
// from the record that sets it until the run ends; the intake holds events against
// those that are active, and offers one that matches. The first counts.

// Bounds of expectations that are active at once.
const (
	maxExpectedOfRun = 100
	maxExpected      = 1000
)

// Actions of what an expectation decides.
const (
	ExpectedMany  = "many"     // there are too many
	ExpectedTaken = "taken"    // no rule is to see the event
	expectedCame  = "expected" // of a wait that begins: the event is there
	expectedLate  = "late"     // of a wait that begins: its time is over
)

// expectation is what a step of expect set.
type expectation struct {
	Due        time.Time      `json:"due,omitzero"`
	Generation int            `json:"generation"`
	Record     uint64         `json:"record,omitempty"` // record number + 1 of the event that came
	Set        time.Time      `json:"set"`
	SetBy      uint64         `json:"set_by"` // record number + 1 since which it counts
	Take       bool           `json:"take,omitempty"`
	Trigger    engine.Trigger `json:"trigger"`
	Waits      string         `json:"waits,omitempty"` // steps that wait for it, separated by spaces
}

func expectKey(class byte, run, step string) []byte {
	shard, n, _ := engine.ParseID('r', run)
	return append(nounKey(class, shard, n), step...)
}

func (t *tx) expectation(run, step string) (expectation, bool) {
	return get[expectation](t, expectKey(classExpect, run, step))
}

func (t *tx) putExpectation(run, step string, e expectation) {
	t.put(expectKey(classExpect, run, step), e)
}

// over says whether an expectation's time is over at a moment.
func (e expectation) over(now time.Time) bool { return !e.Due.IsZero() && !e.Due.After(now) }

// activeOf lists the steps of a run whose expectations are active.
func (t *tx) activeOf(run string) (steps []string) {
	prefix := expectKey(classExpecting, run, "")
	t.Scan(prefix, nil, false, func(k, _ []byte) bool {
		steps = append(steps, string(k[len(prefix):]))
		return true
	})
	return steps
}

func decideExpect(t *tx, p record.ExpectSet) record.Outcome {
	r, why := t.live(p.Run, p.Generation)
	if why != "" {
		return refuse(why)
	}
	o := record.Outcome{Applied: true, Run: p.Run}
	if e, ok := t.expectation(p.Run, p.Step); ok && e.Generation == p.Generation {
		return refuse("it is set already")
	}
	ofRun, all := 0, 0
	for _, step := range t.activeOf(r.ID) {
		if e, _ := t.expectation(r.ID, step); !e.over(t.now) {
			ofRun++
		}
	}
	t.Scan(key(classExpecting, t.shard), nil, false, func(_, _ []byte) bool {
		all++
		return all <= maxExpected
	})
	switch {
	case ofRun >= maxExpectedOfRun:
		o.Action, o.Why = ExpectedMany, "the run expects 100 events already"
	case all >= maxExpected:
		o.Action, o.Why = ExpectedMany, "runs expect 1,000 events already"
	}
	return o
}

func applyExpect(t *tx, p record.ExpectSet, o record.Outcome) {
	if o.Action != "" {
		return
	}
	for _, step := range t.activeOf(p.Run) {
		if e, _ := t.expectation(p.Run, step); e.over(t.now) {
			t.Delete(expectKey(classExpecting, p.Run, step))
		}
	}
	t.putExpectation(p.Run, p.Step, expectation{
		Due: p.Due, Generation: p.Generation, Set: t.now, SetBy: t.rec + 1, Take: p.Take,
		Trigger: engine.Trigger{Kind: p.Kind, Args: p.Args, Match: p.Match},
	})
	t.mark(expectKey(classExpecting, p.Run, p.Step))
	r, _ := t.run(p.Run)
	if !r.Expects {
		r.Expects = true
		t.putRun(r, r.Status)
	}
}

func decideExpected(t *tx, p record.EventExpected) record.Outcome {
	if o, ok := t.offered(p.Offer); ok {
		return record.Outcome{Action: o.ID, Event: p.Event, Why: "this event is here already"}
	}
	e, ok := t.expectation(p.Run, p.Step)
	_, active := t.Get(expectKey(classExpecting, p.Run, p.Step))
	switch {
	case !ok || !active:
		return refuse("nobody expects it any more")
	case e.over(t.now):
		return refuse("its time is over")
	case t.before(p, e):
		return refuse("it came before it was expected")
	}
	o := record.Outcome{Applied: true, Event: p.Event, Run: p.Run}
	if e.Take {
		o.Action = ExpectedTaken
	}
	if e.Waits != "" {
		o.Woken = []string{p.Run}
	}
	return o
}

// before tells an event that was there before it was expected: by its record, or,
// of another shard, by its time.
func (t *tx) before(p record.EventExpected, e expectation) bool {
	shard, n, _ := engine.ParseID('e', p.Event)
	if shard == t.shard {
		at, ok := t.Get(nounKey(classEvent, shard, n))
		return ok && binary.BigEndian.Uint64(at)+1 < e.SetBy
	}
	return p.Seen.Before(e.Set)
}

func applyExpected(t *tx, p record.EventExpected, o record.Outcome) {
	t.remember(p.Offer, o.Action)
	e, _ := t.expectation(p.Run, p.Step)
	waits := strings.Fields(e.Waits)
	e.Record, e.Waits = t.rec+1, ""
	t.putExpectation(p.Run, p.Step, e)
	t.Delete(expectKey(classExpecting, p.Run, p.Step))
	for _, step := range waits {
		t.clearTimer(p.Run, step)
		t.endStep(p.Run, step, viaEvent)
	}
}

// isExpected says whether the wait for an event ends as it begins, and how.
func (t *tx) isExpected(p record.StepStarted) string {
	e, ok := t.expectation(p.Run, p.Expect.Step)
	switch {
	case ok && e.Record != 0:
		return expectedCame
	case !ok || e.over(t.now):
		return expectedLate
	}
	return ""
}

// waitFor notes a step that waits for an expectation.
func (t *tx) waitFor(p record.StepStarted) {
	e, _ := t.expectation(p.Run, p.Expect.Step)
	e.Waits = with(e.Waits, engine.StepID(p.Path, p.Number))
	t.putExpectation(p.Run, p.Expect.Step, e)
}

// stopExpecting ends the expectations of a run that ends.
func (t *tx) stopExpecting(r engine.Run) engine.Run {
	if r.Expects {
		for _, step := range t.activeOf(r.ID) {
			t.Delete(expectKey(classExpecting, r.ID, step))
		}
		r.Expects = false
	}
	return r
}

// expectAnew arms the expectations that a journal keeps after a cut: those whose
// event came later than that, or never, with all of their time.
func (t *tx) expectAnew(r *engine.Run, until uint64) {
	prefix := expectKey(classExpect, r.ID, "")
	kept := map[string]expectation{}
	t.Scan(prefix, nil, false, func(k, v []byte) bool {
		var e expectation
		if err := nouns.Unmarshal(v, &e); err != nil {
			panic(corrupt{slices.Clone(k), err})
		}
		kept[string(k[len(prefix):])] = e
		return true
	})
	for step, e := range kept {
		path, n, _ := engine.ParseStepID(step)
		switch at, found := t.place(*r, path, n); {
		case !found || at.generation != e.Generation:
			t.Delete(expectKey(classExpect, r.ID, step))
			t.Delete(expectKey(classExpecting, r.ID, step))
		case e.Record == 0 || e.Record >= until:
			if !e.Due.IsZero() {
				e.Due = t.now.Add(e.Due.Sub(e.Set))
			}
			e.Record, e.Set, e.SetBy, e.Waits = 0, t.now, t.rec+1, ""
			t.putExpectation(r.ID, step, e)
			t.mark(expectKey(classExpecting, r.ID, step))
			r.Expects = true
		}
	}
}

// Expectation is an event that a run waits for.
type Expectation struct {
	Run, Step string
	Trigger   engine.Trigger
	Set, Due  time.Time
}

// Expectations lists those of all shards that are active.
func (s *State) Expectations() (list []Expectation, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range s.shards {
		prefix := key(classExpecting, uint16(shard))
		view.Scan(prefix, nil, false, func(k, _ []byte) bool {
			run, step := engine.FormatID('r', uint16(shard), binary.BigEndian.Uint64(k[3:])), string(k[11:])
			if e, ok := get[expectation](view, expectKey(classExpect, run, step)); ok {
				list = append(list, Expectation{Run: run, Step: step, Trigger: e.Trigger, Set: e.Set, Due: e.Due})
			}
			return true
		})
	}
	return list, nil
}

// Expectation returns what a step of a run expects.
func (s *State) Expectation(run, step string) (x Expectation, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	e, ok := get[expectation](view, expectKey(classExpect, run, step))
	if !ok {
		return x, engine.Errorf(engine.NotFound, "run %s expects nothing by step %s", run, step)
	}
	return Expectation{Run: run, Step: step, Trigger: e.Trigger, Set: e.Set, Due: e.Due}, nil
}

// SeenAt is when an event became durable.
func (s *State) SeenAt(event string) (at time.Time, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	shard, n, _ := engine.ParseID('e', event)
	b, ok := view.Get(nounKey(classEvent, shard, n))
	if !ok {
		return at, engine.Errorf(engine.NotFound, "event %q: there is none", event)
	}
	rec, err := ledger.ReadRecord(view, shard, binary.BigEndian.Uint64(b))
	return rec.Header.Time, err
}

// expectedValue is what wait returns: the event, or None, and how long it took.
func expectedValue(event engine.Value, elapsed time.Duration) (engine.Data, error) {
	return engine.Encode(engine.Struct{Type: "expected", Fields: map[string]engine.Value{"event": event, "elapsed": elapsed}})
}

// fillEvent gives a wait its event.
func fillEvent(r store.Reader, shard uint16, e stepEntry, started *record.StepStarted, step *engine.Step) error {
	n := e.Done
	if e.Note != 0 {
		n = e.Note
	}
	rec, err := ledger.ReadRecord(r, shard, n-1)
	if err != nil {
		return err
	}
	if rec.Erased {
		step.Erased = erasedBy(rec).String()
	}
	p, err := unmarshalIf[record.EventExpected](remaining(rec))
	if err != nil {
		return err
	}
	fields, err := p.Fields.Value()
	if err != nil {
		return err
	}
	if fields == nil {
		fields = map[string]engine.Value{}
	}
	step.Result, err = expectedValue(engine.Struct{Type: "event", Fields: map[string]engine.Value{
		"id": p.Event, "time": p.EventTime, "kind": p.EventKind, "source": p.Source, "fields": fields,
	}}, rec.Header.Time.Sub(started.Expect.Since))
	return err
}
