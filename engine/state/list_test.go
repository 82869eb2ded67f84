package state_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// incidents opens n incidents, some of them closed, many in a frame.
func (b *box) incidents(n int) {
	b.t.Helper()
	severities := []string{"low", "medium", "high"}
	for first := 0; first < n; first += 50 {
		for shard := range b.ledger.Shards() {
			var list []ledger.New
			for i := first; i < min(first+50, n); i++ {
				if i%b.ledger.Shards() != shard {
					continue
				}
				list = append(list, rec(record.EventMatchedKind, record.EventMatched{
					Rule: fmt.Sprint("rule", i%3), Offer: fmt.Sprint(i), Severity: severities[i%3], Type: fmt.Sprint("type", i%2),
					Title: fmt.Sprintf("Netflix from 192.0.2.%d", i), Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live",
				}))
			}
			if len(list) == 0 {
				continue
			}
			outcomes := b.append(uint16(shard), list...)
			list = nil
			for k, o := range outcomes {
				if k%4 == 0 {
					list = append(list, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: o.Incident, By: "dave"}))
				}
			}
			b.append(uint16(shard), list...)
		}
		b.clock.now = b.clock.now.Add(time.Minute)
	}
}

func TestPagesShowEachOnceNewestFirst(t *testing.T) {
	const n = 1000
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := open(t, t.TempDir(), shards)
			b.incidents(n)
			tests := []struct {
				name   string
				filter engine.IncidentFilter
				keep   func(engine.Incident) bool
			}{
				{"all", engine.IncidentFilter{}, func(engine.Incident) bool { return true }},
				{"open", engine.IncidentFilter{Status: engine.IncidentOpen}, func(i engine.Incident) bool { return i.Status == engine.IncidentOpen }},
				{"closed", engine.IncidentFilter{Status: engine.IncidentClosed}, func(i engine.Incident) bool { return i.Status == engine.IncidentClosed }},
				{"rule", engine.IncidentFilter{Rule: "rule1"}, func(i engine.Incident) bool { return i.Rule == "rule1" }},
				{"several", engine.IncidentFilter{Status: engine.IncidentOpen, Type: "type1", Severity: "high"}, func(i engine.Incident) bool {
					return i.Status == engine.IncidentOpen && i.Type == "type1" && i.Severity == "high"
				}},
				{"text", engine.IncidentFilter{Text: "NETFLIX 192.0.2.77"}, func(i engine.Incident) bool { return i.Title == "Netflix from 192.0.2.77" }},
				{"text and more", engine.IncidentFilter{Text: "netf", Rule: "rule1", Status: engine.IncidentOpen}, func(i engine.Incident) bool {
					return i.Rule == "rule1" && i.Status == engine.IncidentOpen
				}},
				{"nothing", engine.IncidentFilter{Owner: "nobody"}, func(engine.Incident) bool { return false }},
			}
			all := every(t, func(c string) ([]engine.Incident, string, error) {
				return b.state.Incidents(engine.IncidentFilter{}, c, 500)
			})
			if len(all) != n {
				t.Fatalf("got %d incidents, want %d", len(all), n)
			}
			for n, tt := range tests {
				size := 7 // and larger pages for the others, which cost less
				if n > 1 {
					size = 300
				}
				pages := 0
				got := every(t, func(c string) ([]engine.Incident, string, error) {
					pages++
					items, next, err := b.state.Incidents(tt.filter, c, size)
					if len(items) > size {
						t.Errorf("%s: got a page of %d", tt.name, len(items))
					}
					return items, next, err
				})
				want := slices.DeleteFunc(slices.Clone(all), func(i engine.Incident) bool { return !tt.keep(i) })
				if !slices.EqualFunc(got, want, func(a, b engine.Incident) bool { return a.ID == b.ID }) {
					t.Errorf("%s: got %d incidents, want %d in the order of the whole list", tt.name, len(got), len(want))
				}
				if pages > len(want)/size+1 {
					t.Errorf("%s: got %d pages of %d incidents", tt.name, pages, len(want))
				}
			}
			last := map[uint16]uint64{}
			for _, i := range all {
				shard, number, _ := engine.ParseID('i', i.ID)
				if before, ok := last[shard]; ok && number >= before {
					t.Errorf("incident %s comes after number %d", i.ID, before)
				}
				last[shard] = number
			}
		})
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	for _, cursor := range []string{"x", "0", "0.", "1.5", "-1.5", "0.!", strings.Repeat("9", 100)} {
		if _, _, err := b.state.Incidents(engine.IncidentFilter{}, cursor, 7); engine.KindOf(err) != engine.Invalid {
			t.Errorf("%q: got %v, want it refused", cursor, err)
		}
	}
	for _, id := range []string{"", "i", "i0-99", "r0-1", "i7-1", "i0-01"} {
		if _, err := b.state.Incident(id); engine.KindOf(err) != engine.NotFound {
			t.Errorf("%q: got %v, want not_found", id, err)
		}
		if _, _, err := b.state.Timeline(id, "", 7); id != "i0-99" && engine.KindOf(err) != engine.NotFound {
			t.Errorf("timeline of %q: got %v, want not_found", id, err)
		}
	}
}

func TestTimelinesArePaged(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	incident, _ := b.story("192.0.2.7")
	for n := range 40 {
		b.append(0, rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActNote, Incident: incident, By: "ana", Text: fmt.Sprint("note ", n)}))
	}
	entries := every(t, func(c string) ([]engine.TimelineEntry, string, error) { return b.state.Timeline(incident, c, 7) })
	var notes []string
	for n, e := range entries {
		if n > 0 && e.Record <= entries[n-1].Record {
			t.Errorf("entry %d: record %d after %d", n, e.Record, entries[n-1].Record)
		}
		if strings.HasPrefix(e.Text, "note ") {
			notes = append(notes, e.Text)
		}
	}
	if len(notes) != 40 || notes[39] != "note 39" {
		t.Errorf("got notes %v", notes)
	}
}

// TestSentences: what an incident's story says of each kind of record.
func TestSentences(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	o := b.append(0, matched("e0-1", "192.0.2.7"))[0]
	i, run := o.Incident, o.Run
	started := func(n int, builtin string) ledger.New {
		return rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: n, Builtin: builtin, Class: engine.Once, At: "a.star:1:1"})
	}
	done := func(d record.StepDone) ledger.New {
		d.Run, d.Generation = run, 1
		return rec(record.StepDoneKind, d)
	}
	ask := record.StepStarted{Run: run, Generation: 1, Number: 4, Builtin: "ask", Question: &record.Question{
		Text: "What now?", To: []engine.Addressee{{Name: "dave"}, {Email: "guest@example.org"}}, Due: b.clock.now.Add(time.Hour), Default: "Allow", HasDefault: true,
	}}
	act := func(a record.IncidentAct) ledger.New {
		a.Incident = i
		return rec(record.IncidentChangedKind, a)
	}
	change := &record.Change{Title: "block dave's phone", Why: "homework", Inverse: "unblock", Expires: b.clock.now.Add(8 * time.Hour)}
	sleep := record.StepStarted{Run: run, Generation: 1, Number: 6, Builtin: "sleep", Until: b.clock.now.Add(time.Hour)}
	tests := []struct {
		record ledger.New
		by     string
		want   string // empty: it is not told
	}{
		{matched("e0-2", "192.0.2.7"), "rule netflix", "dns event e0-2 from eth1 matched again: attached"},
		{done(record.StepDone{Number: 1, Builtin: "unifi.client"}), "", ""}, // reads are on the run's page
		{done(record.StepDone{Number: 2, Builtin: "http.get", Error: engine.Errorf(engine.Unavailable, "http: refused")}), "run " + run, "http.get did not work: http: refused"},
		{started(3, "unifi.block"), "", ""},
		{done(record.StepDone{Number: 3, Change: change}), "run " + run, "changed: block dave's phone: homework, until 2026-11-22 16:00:00 UTC"},
		{rec(record.StepStartedKind, ask), "run " + run, "asks dave, guest@example.org: What now?"},
		{rec(record.QuestionAnsweredKind, record.QuestionAnswered{
			Question: "q0-1", By: "dave", Choice: "Block", Reason: "homework first",
			Fields: engine.MustEncode(map[string]engine.Value{"why": "late", "how": int64(2)}),
		}), "dave", "answers: Block; how: 2; why: late (homework first)"},
		{rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: "q0-1", By: "ana", Choice: "Allow"}), "", ""}, // no effect
		{started(5, "ssh.run"), "", ""},
		{done(record.StepDone{Number: 5}), "run " + run, "ssh.run"},
		{done(record.StepDone{Number: 7, Builtin: "incident.set", Incident: &record.IncidentAct{Act: record.ActSet, Incident: i, By: "run " + run, Order: []string{"owner", "device"}, Fields: engine.MustEncode(map[string]engine.Value{})}}), "run " + run, "sets owner, device"},
		{act(record.IncidentAct{Act: record.ActNote, By: "ana", Text: "called them"}), "ana", "called them"},
		{act(record.IncidentAct{Act: record.ActClose, By: "ana", Text: "a false alarm"}), "ana", "closes: a false alarm"},
		{act(record.IncidentAct{Act: record.ActReopen, By: "dave"}), "dave", "reopens"},
		{rec(record.StepStartedKind, sleep), "run " + run, "sleeps until 2026-11-22 09:00:00 UTC"},
		{rec(record.UndoRequestedKind, record.UndoRequested{Change: "c0-1", By: "dave", Why: "it is late"}), "dave", "takes back block dave's phone: it is late"},
		{rec(record.RunEndedKind, record.RunEnded{Run: "r0-3", Generation: 1, Status: engine.RunDone}), "run r0-3", "taken back: block dave's phone"},
		{rec(record.WorkerDiedKind, record.WorkerDied{Run: run, Generation: 1, Why: "memory"}), "", ""}, // not before it has an effect on people
		{rec(record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunFailed, Error: &engine.Error{Kind: engine.Script, Message: "x is None", At: "a.star:7:3"}}), "run " + run, "the run failed: x is None (a.star:7:3)"},
	}
	entries, _, err := b.state.Timeline(i, "", 500)
	must(t, err)
	if e := entries[0]; e.Text != "opened by dns event e0-1 from eth1" || e.By != "rule netflix" || e.Run != run || e.Kind != "event_matched" {
		t.Errorf("got %+v", e)
	}
	for _, tt := range tests {
		before := len(entries)
		b.append(0, tt.record)
		entries, _, err = b.state.Timeline(i, "", 500)
		must(t, err)
		got := ""
		if len(entries) > before {
			e := entries[len(entries)-1]
			got = e.By + " | " + e.Text
		}
		want := ""
		if tt.want != "" {
			want = tt.by + " | " + tt.want
		}
		if got != want {
			t.Errorf("%s %s: got %q, want %q", tt.record.Kind, tt.record.Payload, got, want)
		}
	}
}

func TestQuestionsThatTimeOutAreTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		has  bool
		want string
	}{{true, "timer | nobody answered in time: Allow"}, {false, "timer | nobody answered in time"}} {
		b := open(t, t.TempDir(), 1)
		o := b.append(0, matched("e0-1", "192.0.2.7"))[0]
		a := b.append(0, rec(record.StepStartedKind, record.StepStarted{Run: o.Run, Generation: 1, Number: 1, Builtin: "ask", Question: &record.Question{
			Text: "q?", To: []engine.Addressee{{Name: "dave"}}, Due: b.clock.now.Add(time.Hour), Default: "Allow", HasDefault: tt.has,
		}}))[0]
		b.append(0, rec(record.TimerFiredKind, record.TimerFired{Timer: a.Timer}))
		entries, _, err := b.state.Timeline(o.Incident, "", 10)
		must(t, err)
		if e := entries[len(entries)-1]; e.By+" | "+e.Text != tt.want {
			t.Errorf("got %q by %q, want %q", e.Text, e.By, tt.want)
		}
	}
}

// TestAuditOfOneIncident: a record is in it if it is about the incident, its
// runs, questions or changes; and no other.
func TestAuditOfOneIncident(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		b := open(t, t.TempDir(), shards)
		one, run := b.story("192.0.2.7")
		other, _ := b.story("192.0.2.8")
		q := every(t, func(c string) ([]engine.Question, string, error) {
			return b.state.Questions(engine.QuestionFilter{Incident: one}, c, 10)
		})[0]
		b.append(0, rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: q.ID, By: "dave", Choice: "Block"}))
		b.append(0, rec(record.LoggedInKind, record.LoggedIn{Who: one})) // a name that looks like it
		want := []string{"event_seen", "event_matched", "step_done", "step_started", "run_parked", "question_answered"}
		records := every(t, func(c string) ([]engine.AuditRecord, string, error) {
			return b.state.Audit(engine.AuditFilter{Incident: one}, c, 2)
		})
		var kinds []string
		for n, r := range records {
			kinds = append(kinds, r.Kind)
			if strings.Contains(string(r.Payload), other) {
				t.Errorf("got a record of %s: %s", other, r.Payload)
			}
			if n > 0 && r.Shard == records[n-1].Shard && r.Record >= records[n-1].Record {
				t.Errorf("record %d comes after %d", r.Record, records[n-1].Record)
			}
		}
		slices.Reverse(kinds)
		if !slices.Equal(kinds, want) {
			t.Errorf("%d shards: got %v of run %s, want %v", shards, kinds, run, want)
		}
		var out bytes.Buffer
		must(t, b.state.Export(t.Context(), &out, engine.AuditFilter{Incident: one}))
		exported := 0
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, `"payload"`) {
				exported++
			}
		}
		if exported != len(want) {
			t.Errorf("%d shards: got %d exported records, want %d:\n%s", shards, exported, len(want), out.String())
		}
	}
}

func TestAuditOfATime(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	var times []time.Time
	for range 10 {
		b.clock.now = b.clock.now.Add(time.Hour)
		times = append(times, b.clock.now)
		b.append(0, rec(record.LoggedInKind, record.LoggedIn{Who: "dave"}))
	}
	got := every(t, func(c string) ([]engine.AuditRecord, string, error) {
		return b.state.Audit(engine.AuditFilter{Since: times[3], Until: times[7]}, c, 3)
	})
	if len(got) != 4 || !got[0].Time.Equal(times[6]) || !got[3].Time.Equal(times[3]) {
		t.Errorf("got %d records: %+v", len(got), got)
	}
}

func TestEventsOfAnIncidentAreBounded(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	for first := 0; first < engine.MaxEventsPerIncident+100; first += 100 {
		var list []ledger.New
		for n := first; n < first+100; n++ {
			list = append(list, matched(fmt.Sprint("e0-", n+1), "192.0.2.7"))
		}
		b.append(0, list...)
	}
	i, err := b.state.Incident("i0-1")
	must(t, err)
	events := every(t, func(c string) ([]engine.Event, string, error) { return b.state.IncidentEvents("i0-1", c, 300) })
	if i.Events != engine.MaxEventsPerIncident+100 || len(events) != engine.MaxEventsPerIncident {
		t.Errorf("got %d events counted, %d listed", i.Events, len(events))
	}
}
