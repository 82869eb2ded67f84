package state_test

import (
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// total sums the rows of a span of time.
func (b *box) total(by string, since, until time.Time, keep func(engine.TallyRow) bool) (sum engine.Tally) {
	b.t.Helper()
	rows, err := b.state.Tallies(by, since, until)
	must(b.t, err)
	for _, r := range rows {
		if keep == nil || keep(r) {
			sum.Add(r.Tally)
		}
	}
	return sum
}

// TestTalliesCountAStory: what happened is counted once in each span, under its
// rule, type and severity.
func TestTalliesCountAStory(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	begun := b.clock.now
	incident, run := b.story("192.0.2.7")
	b.clock.now = b.clock.now.Add(30 * time.Minute)
	b.append(0, rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: "q0-1", By: "dave", Choice: "Block"}))
	b.clock.now = b.clock.now.Add(90 * time.Minute)
	b.append(0,
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 3, Builtin: "http.get", Error: engine.Errorf(engine.Unavailable, "refused")}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 4, Change: &record.Change{Title: "block", Inverse: "unblock"}}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 5, Builtin: "incident.close", Incident: &record.IncidentAct{Act: record.ActClose, Incident: incident, By: "run", Code: "resolved"}}),
		rec(record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunDone}),
		rec(record.RunEndedKind, record.RunEnded{Run: "r0-2", Generation: 1, Status: engine.RunFailed}), // its mail
		rec(record.UndoRequestedKind, record.UndoRequested{Change: "c0-1", By: "dave"}),
		rec(record.RunEndedKind, record.RunEnded{Run: "r0-3", Generation: 1, Status: engine.RunFailed}))
	want := engine.Tally{
		Events: 1, Matched: 1, Opened: 1, Closed: 1, Reopened: 1, CloseSeconds: 7200, ClosedAs: map[string]int64{"resolved": 1}, ClosedWithin: []int64{0, 0, 0, 1},
		RunsDone: 1, StepsFailed: 1, Asked: 1, Answered: 1, AnswerSeconds: 1800, AnsweredWithin: []int64{0, 0, 1}, Changes: 1, UndoFailed: 1, MailsFailed: 1,
	}
	end := b.clock.now.Add(time.Hour)
	for _, by := range []string{engine.TallyHours, engine.TallySums, engine.TallyDays, engine.TallyAll} {
		if got := b.total(by, begun.Truncate(24*time.Hour), end, nil); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("by %s: got %+v, want %+v", by, got, want)
		}
	}
	first := b.total(engine.TallyHours, begun, begun.Add(time.Hour), func(r engine.TallyRow) bool {
		return r.Rule == "netflix" && r.Type == "streaming" && r.Severity == "low"
	})
	if first.Opened != 1 || first.Answered != 1 || first.Closed != 0 || first.Events != 0 {
		t.Errorf("the first hour of the rule: got %+v", first)
	}
	if _, err := b.state.Tallies("week", begun, end); engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v, want another span refused", err)
	}
}

// TestOldTalliesAreSwept: hours are kept for 35 days, days for longer, and what
// was counted in all stays.
func TestOldTalliesAreSwept(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	begun := b.clock.now
	const days = 40
	for n := range days * 24 {
		if n%3 == 0 {
			b.append(0, rec(record.EventSeenKind, record.EventSeen{Kind: "dns", Source: "eth1"}))
		}
		b.clock.now = b.clock.now.Add(time.Hour)
	}
	for by, want := range map[string]int64{engine.TallyHours: 35 * 8, engine.TallySums: 35 * 8, engine.TallyDays: days * 8, engine.TallyAll: days * 8} {
		got := b.total(by, begun.Truncate(24*time.Hour), b.clock.now, nil).Events
		if got < want || got > want+2 { // the newest row sweeps what is older than itself
			t.Errorf("by %s: got %d events, want %d", by, got, want)
		}
	}
	before := b.dump()
	must(t, b.ledger.Rebuild())
	compareDumps(t, before, b.dump())
}

// TestCodesOfClosesAreBounded: scripts may write any code.
func TestCodesOfClosesAreBounded(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	incident := b.append(0, matched("e0-1", "192.0.2.7"))[0].Incident
	const closes = 40
	for n := range closes {
		b.append(0,
			rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: incident, By: "dave", Code: fmt.Sprint("code ", n)}),
			rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActReopen, Incident: incident, By: "dave"}))
	}
	got := b.total(engine.TallyAll, time.Time{}, b.clock.now, nil)
	if len(got.ClosedAs) != 17 || got.ClosedAs["other"] != closes-16 || got.Closed != closes || got.Reopened != closes {
		t.Errorf("got %+v", got)
	}
}

// TestWhatOnlyTeamsSeeIsCountedApart: the header takes it off for others.
func TestWhatOnlyTeamsSeeIsCountedApart(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 2)
	match := func(n int, team, visible string) record.Outcome {
		return b.append(uint16(n%2), rec(record.EventMatchedKind, record.EventMatched{
			Rule: "r", Offer: fmt.Sprint(n), Severity: "low", Title: "t", Team: team, Visible: visible, Mode: "live", Saves: 5 * time.Minute,
		}))[0]
	}
	match(1, "family", "all")
	secret := match(2, "family", "team")
	b.append(0, rec(record.StepStartedKind, record.StepStarted{Run: secret.Run, Generation: 1, Number: 1, Builtin: "ask", Question: &record.Question{Text: "q?"}}))
	match(3, "family", "team")
	hidden := func() (sum engine.Counts) {
		list, err := b.state.Hidden()
		must(t, err)
		for _, h := range list {
			if h.Team != "family" {
				t.Errorf("got %+v", h)
			}
			sum.OpenIncidents += h.Counts.OpenIncidents
			sum.OpenQuestions += h.Counts.OpenQuestions
		}
		return sum
	}
	if got, want := hidden(), (engine.Counts{OpenIncidents: 2, OpenQuestions: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.append(0,
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: secret.Incident, By: "dave"}),
		rec(record.RunEndedKind, record.RunEnded{Run: secret.Run, Generation: 1, Status: engine.RunDone}))
	if got, want := hidden(), (engine.Counts{OpenIncidents: 1}); got != want {
		t.Errorf("after the close: got %+v, want %+v", got, want)
	}
	team := b.total(engine.TallyAll, time.Time{}, b.clock.now, func(r engine.TallyRow) bool { return r.Team == "family" })
	if team.Opened != 2 || team.Withdrawn != 1 || team.SavedSeconds != 300 {
		t.Errorf("got %+v of the team", team)
	}
}
