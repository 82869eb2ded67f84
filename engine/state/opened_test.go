package state_test

import (
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

func outage(offer string, dedup ...string) record.IncidentOpened {
	p := record.IncidentOpened{
		Run: "r7-1", Rule: "check", Offer: offer, Severity: "high", Type: "outage", Title: "blog is down", Bundle: "b1", Mode: "live",
		Do: &engine.Handler{File: "a.star", Name: "repair"},
	}
	if len(dedup) > 0 {
		p.DedupSet, p.Dedup = true, dedup[0]
	}
	return p
}

// TestAnOpeningIsDecidedOnce: offered again it names the same incident and starts
// nothing, also when that was closed meanwhile; an open one of the same type and
// values is found instead.
func TestAnOpeningIsDecidedOnce(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	one := func(p record.IncidentOpened) record.Outcome { return b.append(0, rec(record.IncidentOpenedKind, p))[0] }
	first := one(outage("a", `["blog"]`))
	if !first.Applied || first.Action != "opened" || first.Run == "" {
		t.Fatalf("got %+v, want a new incident with a run", first)
	}
	r, err := b.state.Run(first.Run)
	must(t, err)
	if r.Incident != first.Incident || r.Parent != "r7-1" || r.Purpose != "playbook" || r.Handler.Name != "repair" {
		t.Errorf("got run %+v", r)
	}
	for name, tt := range map[string]struct {
		p       record.IncidentOpened
		applied bool
		action  string
		same    bool
	}{
		"again":        {outage("a", `["blog"]`), false, "opened", true},
		"found":        {outage("b", `["blog"]`), true, "attached", true},
		"other values": {outage("c", `["shop"]`), true, "opened", false},
		"no dedup":     {outage("d"), true, "opened", false},
	} {
		o := one(tt.p)
		if o.Applied != tt.applied || o.Action != tt.action || (o.Incident == first.Incident) != tt.same || (o.Run != "") != (!tt.same) {
			t.Errorf("%s: got %+v", name, o)
		}
	}
	b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: first.Incident, By: "dave", Text: "up"}))
	if o := one(outage("b", `["blog"]`)); o.Action != "attached" || o.Incident != first.Incident {
		t.Errorf("what found it, again: got %+v", o)
	}
	if o := one(outage("e", `["blog"]`)); o.Action != "opened" || o.Incident == first.Incident {
		t.Errorf("after the close: got %+v, want a new one", o)
	}
	late := outage("f")
	late.Run, late.Generation = first.Run, 9
	if o := one(late); o.Applied || o.Incident != "" {
		t.Errorf("by a run that was restarted: got %+v", o)
	}
}

// TestOpenedIncidentsAreFound: by their filters, their age and their values.
func TestOpenedIncidentsAreFound(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		b := open(t, t.TempDir(), shards)
		begun := b.clock.now
		for n := range 40 {
			p := outage(fmt.Sprint(n), fmt.Sprintf("[%d]", n%10))
			p.Type, p.DedupSet = fmt.Sprint("t", n%2), false
			if n%4 == 0 { // a test's, in whatever order
				p.Opened = b.clock.now.Add(-time.Duration(n) * time.Hour)
			}
			b.append(uint16(n%shards), rec(record.IncidentOpenedKind, p))
			b.clock.now = b.clock.now.Add(time.Minute)
		}
		all := every(t, func(c string) ([]engine.Incident, string, error) {
			return b.state.Incidents(engine.IncidentFilter{}, c, 7)
		})
		for name, f := range map[string]engine.IncidentFilter{
			"since":        {Since: begun.Add(10 * time.Minute)},
			"long since":   {Since: begun.Add(-20 * time.Hour)},
			"dedup":        {Dedup: "[3]"},
			"dedup, type":  {Dedup: "[3]", Type: "t1"},
			"none is left": {Since: b.clock.now.Add(time.Hour)},
		} {
			want := 0
			for _, i := range all {
				if !i.Opened.Before(f.Since) && (f.Dedup == "" || f.Dedup == i.Dedup) && (f.Type == "" || f.Type == i.Type) {
					want++
				}
			}
			got := every(t, func(c string) ([]engine.Incident, string, error) { return b.state.Incidents(f, c, 7) })
			if len(got) != want {
				t.Errorf("%d shards, %s: got %d, want %d", shards, name, len(got), want)
			}
		}
	}
}

// TestTheLeastBusyIsDecidedByTheLog: of assigns at once each sees what those
// before it did; an outcome names nobody.
func TestTheLeastBusyIsDecidedByTheLog(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	var incidents []string
	for n := range 5 {
		incidents = append(incidents, b.append(0, rec(record.IncidentOpenedKind, outage(fmt.Sprint(n))))[0].Incident)
	}
	assign := func(incident string, busy ...int) record.Outcome {
		return b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{
			Act: record.ActAssign, Incident: incident, Team: "family", Among: []string{"dave", "ana"}, Busy: busy, By: "ana",
		}))[0]
	}
	owner := func(id string) string {
		i, err := b.state.Incident(id)
		must(t, err)
		return i.Owner
	}
	got := ""
	for _, id := range incidents[:4] {
		assign(id)
		got += owner(id) + " "
	}
	if got != "dave ana dave ana " {
		t.Errorf("got %q", got)
	}
	assign(incidents[0]) // it counts as nobody's
	if o := assign(incidents[4], 1, 0); owner(incidents[4]) != "ana" || o.Picked != 2 {
		t.Errorf("busy elsewhere: got %s, %+v", owner(incidents[4]), o)
	}
	if owner(incidents[0]) != "dave" {
		t.Errorf("got %s, want it left to dave", owner(incidents[0]))
	}
	story, _, err := b.state.Timeline(incidents[1], "", 10)
	must(t, err)
	if e := story[len(story)-1]; e.Text != "assigns it to ana of the team family" || e.By != "ana" {
		t.Errorf("got %+v", e)
	}
}

// TestActsHaveEffectOnce: what stands already, and what a run of another shard
// offers again, has no effect.
func TestActsHaveEffectOnce(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	id := b.append(0, rec(record.IncidentOpenedKind, outage("a")))[0].Incident
	for _, tt := range []struct {
		act     record.IncidentAct
		applied bool
	}{
		{record.IncidentAct{Act: record.ActEscalate, Severity: "high"}, false},
		{record.IncidentAct{Act: record.ActEscalate, Severity: "critical"}, true},
		{record.IncidentAct{Act: record.ActAssign, Owner: "ana"}, true},
		{record.IncidentAct{Act: record.ActAssign, Owner: "ana"}, false},
		{record.IncidentAct{Act: record.ActAssign, Team: "family"}, true},
		{record.IncidentAct{Act: record.ActNote, Text: "once", Offer: "x"}, true},
		{record.IncidentAct{Act: record.ActNote, Text: "once", Offer: "x"}, false},
	} {
		tt.act.Incident, tt.act.By = id, "dave"
		if o := b.append(0, rec(record.IncidentChangedKind, tt.act))[0]; o.Applied != tt.applied {
			t.Errorf("%+v: got %+v", tt.act, o)
		}
	}
	i, err := b.state.Incident(id)
	must(t, err)
	if i.Owner != "" || i.Team != "family" || i.Severity != "critical" {
		t.Errorf("got %+v", i)
	}
}

// TestOpeningsAreCountedByTheMinute: as long as baselines look back.
func TestOpeningsAreCountedByTheMinute(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 8)
	now := b.clock.now
	for n, ago := range []time.Duration{0, 59 * time.Minute, time.Hour, 7 * 24 * time.Hour, 7*24*time.Hour + 30*time.Minute} {
		p := outage(fmt.Sprint(n))
		p.Opened = now.Add(-ago)
		b.append(uint16(n%8), rec(record.IncidentOpenedKind, p))
	}
	week := now.Add(-7 * 24 * time.Hour)
	for name, tt := range map[string]struct {
		kind     string
		from, to time.Time
		want     int64
	}{
		"the last hour":  {"outage", now.Add(-time.Hour), now, 2},
		"a week before":  {"outage", week.Add(-time.Hour), week, 2},
		"its first half": {"outage", week.Add(-time.Hour), week.Add(-30 * time.Minute), 1},
		"another type":   {"phishing", now.Add(-time.Hour), now, 0},
	} {
		if got, err := b.state.Opened(tt.kind, tt.from, tt.to); got != tt.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, tt.want)
		}
	}
}

// TestWhatATeamSeesMovesWithItsIncident: assigned to another team, an incident that
// only its team sees is counted for that one, with its questions and changes.
func TestWhatATeamSeesMovesWithItsIncident(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	p := outage("a")
	p.Team, p.Visible = "family", "team"
	o := b.append(0, rec(record.IncidentOpenedKind, p))[0]
	b.append(0,
		rec(record.StepStartedKind, record.StepStarted{Run: o.Run, Generation: 1, Number: 1, Builtin: "ask", Question: &record.Question{Text: "q?"}}),
		rec(record.StepDoneKind, record.StepDone{Run: o.Run, Generation: 1, Number: 2, Change: &record.Change{Title: "block", Inverse: "unblock"}}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActAssign, Incident: o.Incident, Team: "office", Owner: "ana", By: "dave"}))
	got, err := b.state.Hidden()
	must(t, err)
	want := engine.Hidden{Team: "office", Owner: "ana", Counts: engine.Counts{OpenIncidents: 1, OpenQuestions: 1, ChangesInForce: 1}}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
