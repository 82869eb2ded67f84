package state_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// erase erases records and makes the projections anew.
func (b *box) erase(shard uint16, numbers ...uint64) record.Outcome {
	b.t.Helper()
	e := record.Erased{Because: "the test says so", By: "ana", Done: true, Erasure: "x1", How: "command", What: record.Selection{Incident: "i0-1"}}
	done, err := b.ledger.Erase(context.Background(), shard, e, numbers)
	must(b.t, err)
	must(b.t, b.ledger.Rebuild())
	o, err := record.Unmarshal[record.Outcome](done[len(done)-1].Outcome)
	must(b.t, err)
	return o
}

// all returns the numbers of a shard's records.
func (b *box) all(shard uint16) (numbers []uint64) {
	for n := range b.ledger.Size(shard) {
		numbers = append(numbers, n)
	}
	return numbers
}

const sentence = "erased on 2026-11-22 because the test says so"

// TestAnErasedStory: what pages and interface read of an incident whose every
// record is erased is the sentence, never an error or an empty text.
func TestAnErasedStory(t *testing.T) {
	b := open(t, t.TempDir(), 1)
	e := b.append(0, rec(record.EventSeenKind, record.EventSeen{Kind: "webhook", Source: "alarm", Time: b.clock.now, Fields: engine.MustEncode(map[string]engine.Value{"who": "marker"})}))[0].Event
	o := b.append(0, rec(record.EventMatchedKind, record.EventMatched{
		Rule: "alarm", Event: e, EventKind: "webhook", Source: "alarm", Offer: "marker", DedupSet: true, Dedup: "marker", Severity: "low", Type: "alarm", Team: "soc", Visible: "team",
		Title: "marker", Args: engine.MustEncode(map[string]engine.Value{"a": "marker"}), Fields: engine.MustEncode(map[string]engine.Value{"who": "marker"}),
		Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live"}), rec(record.EventRoutedKind, record.EventRouted{Event: e}))[0]
	run := o.Run
	asked := b.append(0,
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 1, Builtin: "incident.set", At: "a.star:1:1", Incident: &record.IncidentAct{Act: record.ActSet, Incident: o.Incident, By: "run " + run, Fields: engine.MustEncode(map[string]engine.Value{"marker": "marker"}), Order: []string{"marker"}}}),
		rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 2, Builtin: "ask", At: "a.star:2:1", Question: &record.Question{
			Text: "marker?", To: []engine.Addressee{{Name: "dave", Email: "marker@example.org"}}, Choices: []engine.Choice{{Name: "marker"}}}}),
		rec(record.RunParkedKind, record.RunParked{Run: run, Generation: 1, Number: 2, Waits: "marker"}))
	question := asked[1].Question
	b.append(0,
		rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: question, By: "marker", Choice: "marker", Reason: "marker", How: "link"}),
		rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 3, Builtin: "unifi.block", Class: engine.Once, At: "a.star:3:1", Args: engine.MustEncode("marker")}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 3, Error: engine.Errorf(engine.Denied, "marker")}),
		rec(record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunFailed, Error: engine.Errorf(engine.Script, "marker"), Backtrace: "marker"}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActNote, Incident: o.Incident, By: "marker", Text: "marker"}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: o.Incident, By: "marker", Text: "marker", Code: "marker"}),
		rec(record.RunEndedKind, record.RunEnded{Run: asked[1].Runs[0], Generation: 1, Status: engine.RunDone}))
	if o := b.erase(0, b.all(0)...); !o.Applied {
		t.Fatalf("got %+v, want it applied", o)
	}
	for k, v := range b.dump() {
		if strings.Contains(k+v, "marker") {
			t.Errorf("key %q still holds it: %s", k, v)
		}
	}
	i, err := b.state.Incident(o.Incident)
	must(t, err)
	if i.Title != sentence || i.Reason != sentence || i.Erased.String() != sentence || i.Visible != "team" || i.Status != engine.IncidentClosed {
		t.Errorf("got %+v", i)
	}
	q, err := b.state.Question(question)
	must(t, err)
	if q.Text != sentence || q.Erased == nil || q.Answer == nil || q.Status != engine.QuestionAnswered {
		t.Errorf("got %+v", q)
	}
	r, err := b.state.Run(run)
	must(t, err)
	if r.Erased == nil || r.Error.Message != sentence || r.Status != engine.RunFailed {
		t.Errorf("got %+v", r)
	}
	steps, err := b.state.Steps(run)
	must(t, err)
	for _, s := range steps {
		if s.Erased != sentence || s.Builtin == "" || s.At == "" {
			t.Errorf("got step %+v", s)
		}
	}
	if len(steps) != 3 || steps[2].Status != engine.StepFailed || steps[2].Error.Message != sentence {
		t.Errorf("got steps %+v", steps)
	}
	timeline, _, err := b.state.Timeline(o.Incident, "", 100)
	must(t, err)
	for _, e := range timeline {
		if !strings.HasSuffix(e.Text, ": "+sentence) && e.Text != "mail handed to the mail server" { // that record holds nothing of anybody
			t.Errorf("got %+v in the timeline", e)
		}
	}
	events, _, err := b.state.IncidentEvents(o.Incident, "", 10)
	must(t, err)
	if len(events) != 1 || events[0].Erased == nil || events[0].Source != "alarm" {
		t.Errorf("got events %+v", events)
	}
	event, err := b.state.Event(e)
	if err != nil || event.Erased == nil || event.Kind != "webhook" {
		t.Errorf("got %+v, %v", event, err)
	}
	records, _, err := b.state.Audit(engine.AuditFilter{Incident: o.Incident}, "", 100)
	must(t, err)
	text, err := json.Marshal(records)
	if err != nil || len(records) < 9 || strings.Contains(string(text), "marker") {
		t.Errorf("got %d records, %v: %s", len(records), err, text)
	}
	if got := b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActReopen, Incident: o.Incident, By: "dave"}))[0]; got.Applied || !strings.Contains(got.Why, sentence) {
		t.Errorf("got %+v, want that it stays closed", got)
	}
}

// TestErasingWhatIsInUseHasNoEffect: an incident that was opened again between
// the plan and the record keeps what it holds.
func TestErasingWhatIsInUseHasNoEffect(t *testing.T) {
	b := open(t, t.TempDir(), 1)
	incident, _ := b.story("192.0.2.7")
	e := record.Erased{Because: "x", By: "ana", Erasure: "x1", Incidents: []string{incident}}
	done, err := b.ledger.Erase(t.Context(), 0, e, b.all(0))
	must(t, err)
	if len(done) != 1 || !strings.Contains(string(done[0].Outcome), "is open: close it first") {
		t.Errorf("got %+v", done)
	}
	must(t, b.ledger.Records(0, 0, func(r ledger.Record) bool {
		if r.Erased {
			t.Errorf("record %d is erased", r.Header.Record)
		}
		return true
	}))
}

// TestARebuildIsEqualAfterErasures: erasures at random times of records at
// random, with a long story before, between and after them.
func TestARebuildIsEqualAfterErasures(t *testing.T) {
	for _, shards := range []int{1, 4} {
		b := open(t, t.TempDir(), shards)
		var loads []*workload
		for shard := range shards {
			loads = append(loads, &workload{b: b, rnd: rand.New(rand.NewPCG(7, uint64(shard))), shard: uint16(shard), ids: map[byte][]string{}, seen: map[record.Kind]int{}})
		}
		for n := range 400 {
			w := loads[n%shards]
			w.step()
			if n%120 != 119 {
				continue
			}
			for shard := range shards {
				b.erase(uint16(shard), slices.DeleteFunc(b.all(uint16(shard)), func(uint64) bool { return w.often(3) })...)
			}
		}
		before := b.dump()
		must(t, b.ledger.Rebuild())
		compareDumps(t, before, b.dump())
	}
}
