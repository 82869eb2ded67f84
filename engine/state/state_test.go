package state_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// clock is a clock that tests advance by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

// box is a ledger with its state in a temporary directory.
type box struct {
	t      testing.TB
	dir    string
	store  *store.Store
	ledger *ledger.Ledger
	state  *state.State
	clock  *clock
}

func open(t testing.TB, dir string, shards int) *box {
	t.Helper()
	return openOn(t, dir, shards, store.OpenLedger)
}

// openOn opens a box on a store that is synced, or is not.
func openOn(t testing.TB, dir string, shards int, open func(dir string) (*store.Store, error)) *box {
	t.Helper()
	s, err := open(dir + "/ledger")
	must(t, err)
	t.Cleanup(func() { s.Close() })
	blobs, err := store.OpenBlobs(dir + "/blobs")
	must(t, err)
	c := &clock{time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	signer, err := ledger.LoadSigner(dir+"/key", "larkspur")
	must(t, err)
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: c, Shards: shards, Node: "test", Signer: signer})
	must(t, err)
	return &box{t, dir, s, l, state.Open(s, blobs, l), c}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *box) append(shard uint16, records ...ledger.New) []record.Outcome {
	b.t.Helper()
	got, err := b.ledger.Append(context.Background(), shard, records...)
	must(b.t, err)
	out := make([]record.Outcome, len(got))
	for i, r := range got {
		out[i], err = record.Unmarshal[record.Outcome](r.Outcome)
		must(b.t, err)
	}
	return out
}

func rec(k record.Kind, payload any) ledger.New {
	return ledger.New{Kind: k, Payload: record.Marshal(payload)}
}

func matched(event, client string) ledger.New {
	return rec(record.EventMatchedKind, record.EventMatched{
		Rule: "netflix", Event: event, EventKind: "dns", Source: "eth1", Offer: event + "/netflix", DedupSet: true, Dedup: client, Severity: "low",
		Type: "streaming", Title: "Netflix from " + client, Do: engine.Handler{File: "netflix.star", Name: "respond"}, Bundle: "b1", Mode: "live",
	})
}

// story plays a whole run on the first shard and returns the run's id.
func (b *box) story(client string) (incident, run string) {
	e := b.append(0, rec(record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1", Time: b.clock.now}))[0].Event
	o := b.append(0, matched(e, client))[0]
	run = o.Run
	b.append(0,
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 1, Builtin: "unifi.client", At: "netflix.star:3:5", Result: engine.MustEncode(nil)}),
		rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 2, Builtin: "ask", At: "netflix.star:4:9", Question: &record.Question{
			Text: "What now?", To: []engine.Addressee{{Name: "dave", Email: "dave@example.org"}}, Choices: []engine.Choice{{Name: "Allow"}, {Name: "Block"}},
			Due: b.clock.now.Add(2 * time.Hour), Default: "Allow", HasDefault: true}}),
		rec(record.RunParkedKind, record.RunParked{Run: run, Generation: 1, Number: 2, Waits: "an answer"}))
	return o.Incident, run
}

func TestStoryOfARun(t *testing.T) {
	b := open(t, t.TempDir(), 1)
	incident, run := b.story("192.0.2.7")
	r, err := b.state.Run(run)
	must(t, err)
	if r.Status != engine.RunWaiting {
		t.Fatalf("got status %q, want waiting", r.Status)
	}
	qs, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10)
	must(t, err)
	if len(qs) != 1 || qs[0].Text != "What now?" {
		t.Fatalf("got questions %+v, want one", qs)
	}
	answer := rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: qs[0].ID, By: "dave", Choice: "Block", How: "link"})
	if o := b.append(0, answer)[0]; !o.Applied {
		t.Fatalf("got %+v, want applied", o)
	}
	if o := b.append(0, answer)[0]; o.Applied || o.Why != "it was answered already" || b.state.Late(o.Why, qs[0].ID) != "it was answered by dave: Block" {
		t.Fatalf("got %+v, want no effect and why", o)
	}
	steps, err := b.state.Journal(run)
	must(t, err)
	if len(steps) != 2 || steps[1].Status != engine.StepDone {
		t.Fatalf("got steps %+v, want the second done", steps)
	}
	b.append(0,
		rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 3, Builtin: "unifi.block", Class: engine.Once, At: "netflix.star:9:9"}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 3, Change: &record.Change{Title: "block", Inverse: "unifi.unblock", Expires: b.clock.now.Add(8 * time.Hour)}}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 4, Builtin: "incident.close", Incident: &record.IncidentAct{Act: record.ActClose, Incident: incident, By: "run " + run, Text: "Block by dave", Quiet: 2 * time.Hour}}),
		rec(record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunDone}))
	counts, err := b.state.Counts()
	must(t, err)
	if want := (engine.Counts{ChangesInForce: 1}); counts != want {
		t.Fatalf("got counts %+v, want %+v", counts, want)
	}
	if o := b.append(0, matched("e0-9", "192.0.2.7"))[0]; o.Action != state.Quiet || o.Incident != incident {
		t.Fatalf("got %+v, want the match attached to the quiet incident", o)
	}
	b.clock.now = b.clock.now.Add(9 * time.Hour)
	due, err := b.state.DueTimers(0, b.clock.now, 10)
	must(t, err)
	if len(due) != 1 || due[0].For != "change" {
		t.Fatalf("got timers %+v, want the change's alone", due)
	}
	o := b.append(0, rec(record.TimerFiredKind, record.TimerFired{Timer: due[0].ID}))[0]
	b.append(0, rec(record.RunEndedKind, record.RunEnded{Run: o.Run, Generation: 1, Status: engine.RunDone}))
	c, err := b.state.Change(o.Change)
	must(t, err)
	if c.Status != engine.ChangeUndone {
		t.Fatalf("got change %+v, want undone", c)
	}
	timeline, _, err := b.state.Timeline(incident, "", 100)
	must(t, err)
	var got string
	for _, e := range timeline {
		got += fmt.Sprintf("%s | %s\n", e.By, e.Text)
	}
	t.Log(got)
}

// dump returns every projected key with its value.
func (b *box) dump() map[string]string {
	view := b.store.View()
	defer view.Close()
	return dumpOf(view)
}

func TestRebuildIsEqualByteForByte(t *testing.T) {
	for _, shards := range []int{1, 8} {
		b := open(t, t.TempDir(), shards)
		for i := range 40 {
			b.story(fmt.Sprintf("192.0.2.%d", i%7))
			b.clock.now = b.clock.now.Add(time.Minute)
		}
		before := b.dump()
		must(t, b.ledger.Rebuild())
		after := b.dump()
		if len(before) != len(after) {
			t.Fatalf("%d shards: got %d keys, want %d", shards, len(after), len(before))
		}
		for k, v := range before {
			if after[k] != v {
				t.Fatalf("key %q: got %q, want %q", k, after[k], v)
			}
		}
	}
}

// TestUnmailedQuestionsStartNoMail: where no mail server is configured, a
// question waits on the page alone.
func TestUnmailedQuestionsStartNoMail(t *testing.T) {
	for _, unmailed := range []bool{false, true} {
		b := open(t, t.TempDir(), 1)
		run := b.append(0, matched("e0-1", "192.0.2.7"))[0].Run
		o := b.append(0, rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 1, Builtin: "ask", Question: &record.Question{
			Text: "What now?", To: []engine.Addressee{{Name: "dave", Email: "dave@example.org"}}, Unmailed: unmailed}}))[0]
		if mails := len(o.Runs); o.Question != "q0-1" || (mails == 0) != unmailed {
			t.Errorf("unmailed %v: got question %q and %d mails", unmailed, o.Question, mails)
		}
	}
}

// TestNothingWaitsOnAnIncidentThatOthersClosed: the order in the ledger decides
// between a close and a wait that begins; the run's own close ends no wait.
func TestNothingWaitsOnAnIncidentThatOthersClosed(t *testing.T) {
	for by, closed := range map[string]bool{"ana": true, "run r0-2": true, "run r0-1": false} {
		b := open(t, t.TempDir(), 1)
		opened := b.append(0, matched("e0-1", "192.0.2.7"))[0]
		start := func(n int, p record.StepStarted) ledger.New {
			p.Run, p.Generation, p.Number = opened.Run, 1, n
			return rec(record.StepStartedKind, p)
		}
		o := b.append(0,
			rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: opened.Incident, By: by, Text: "enough", Code: "resolved"}),
			start(1, record.StepStarted{Builtin: "sleep", Until: b.clock.now.Add(time.Hour)}),
			start(2, record.StepStarted{Builtin: "ask", Question: &record.Question{Text: "?", To: []engine.Addressee{{Name: "dave"}}}}),
			rec(record.RunParkedKind, record.RunParked{Run: opened.Run, Generation: 1, Number: 1, Steps: []string{"2"}, Waits: "both"}))
		if (o[1].Timer == "") != closed || (o[2].Question == "") != closed || o[3].Applied == closed {
			t.Errorf("closed by %s: got %+v", by, o)
		}
		journal, err := b.state.Journal(opened.Run)
		must(t, err)
		for _, s := range journal {
			if (s.Status == engine.StepFailed && s.Error.Kind == engine.Closed) != closed {
				t.Errorf("closed by %s: got step %+v", by, s)
			}
		}
		if _, ok, err := b.state.NextTimer(0); err != nil || ok == closed {
			t.Errorf("closed by %s: got a timer %v, %v", by, ok, err)
		}
		before := b.dump()
		must(t, b.ledger.Rebuild())
		compareDumps(t, before, b.dump())
	}
}
