package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// deadlines lists those of an incident: "name status due left breached".
func (b *box) deadlines(incident string) string {
	b.t.Helper()
	list, err := b.state.Deadlines(incident)
	must(b.t, err)
	var s strings.Builder
	for _, d := range list {
		name := d.Name
		if d.Of == engine.DeadlineOfQuestion {
			name = d.Question
		}
		fmt.Fprintf(&s, "%s %s", name, d.Status)
		if !d.Due.IsZero() {
			fmt.Fprintf(&s, " until %s", d.Due.UTC().Format("Mon 15:04"))
		}
		if d.Status == engine.DeadlinePaused {
			fmt.Fprintf(&s, " %s left", d.Left)
		}
		s.WriteString("; ")
	}
	return strings.TrimSuffix(s.String(), "; ")
}

// due waits until the deadlines of an incident are as wanted.
func (b *box) due(incident, want string) {
	b.t.Helper()
	b.bell.until(b.t, "the deadlines are "+want, func() bool { return b.deadlines(incident) == want })
}

const section = `
def late(i):
    i.note("it is late")

def f(i):
    t = i.timer("contain")
    t.start("4h", on_breach = late)
    sleep("1h")
    t.pause()
    sleep("1d")
    t.resume()
    sleep(%s)
    t.stop()
`

// TestASectionIsTimed: what is left is kept while it is paused, and what is stopped
// is over.
func TestASectionIsTimed(t *testing.T) {
	t.Parallel()
	b := playbook(t, strings.Replace(section, "%s", `"2h"`, 1))
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.due(incident, "contain running until Sun 12:00")
	b.advance(time.Hour)
	b.due(incident, "contain paused 3h0m0s left")
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(24 * time.Hour)
	b.due(incident, "contain running until Mon 12:00")
	b.advance(2 * time.Hour)
	b.status(run, engine.RunDone)
	b.due(incident, "contain stopped")
	contains(t, "the story", b.story(incident), "starts the timer contain: 4h", "pauses the timer contain, 3h left", "resumes the timer contain", "stops the timer contain")
	if s := b.story(incident); strings.Contains(s, "it is late") {
		t.Errorf("got a breach:\n%s", s)
	}
}

// TestASectionIsBreached: the handler is a run of its own, once, whatever dies.
func TestASectionIsBreached(t *testing.T) {
	t.Parallel()
	b := playbook(t, strings.Replace(section, "%s", `"10h"`, 1))
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(time.Hour)
	b.due(incident, "contain paused 3h0m0s left")
	b.status(run, engine.RunWaiting)
	b.advance(24 * time.Hour)
	b.due(incident, "contain running until Mon 12:00")
	b.status(run, engine.RunWaiting)
	b.advance(3 * time.Hour)
	b.due(incident, "contain breached")
	if i := b.incident(incident); i.Breached != 1 || !i.Due.IsZero() {
		t.Errorf("got %d breached, due %s, want 1 and none", i.Breached, i.Due)
	}
	d, err := b.state.Deadline("section " + incident + " contain")
	must(t, err)
	if r := b.status(d.BreachRun, engine.RunDone); r.Purpose != "breach" || r.Parent != run {
		t.Errorf("got run %+v, want one of purpose breach", r)
	}
	b.reopen()
	b.advance(7 * time.Hour)
	b.status(run, engine.RunDone)
	b.due(incident, "contain stopped")
	if n := strings.Count(b.story(incident), "it is late"); n != 1 {
		t.Errorf("got %d breaches:\n%s", n, b.story(incident))
	}
	if c, err := b.state.Counts(); err != nil || c.Overdue != 0 {
		t.Errorf("got %d overdue, %v, want none", c.Overdue, err)
	}
}

// TestHoursOfWork: a section counts in the hours of a calendar, which may change.
func TestHoursOfWork(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.timer("a").start("2h", hours = "office")
    i.timer("b").start("2h", hours = "")
    e = attempt(lambda: i.timer("c").start("2h", hours = "home")).error
    n = attempt(lambda: i.timer("c").resume()).error
    i.set(e = e.message, n = n.kind)
    sleep("5d")
`)
	b.setHours("mon-fri 09:00-17:30", "Europe/London")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.due(incident, "a running until Mon 11:00; b running until Sun 10:00")
	b.facts(incident, map[string]engine.Value{"e": `hours: there is no calendar "home"`, "n": "not_found"})
	b.setHours("mon-fri 09:00-17:30", "Europe/London", "2026-11-23")
	b.runner.CalendarsChanged()
	b.due(incident, "a running until Tue 11:00; b running until Sun 10:00")
	b.close()
	b.setHours("mon-fri 10:00-17:30", "America/New_York")
	b.open()
	b.due(incident, "a running until Mon 17:00; b running until Sun 10:00")
}

// limits is a match whose incident has deadlines.
func limits(hours string) record.EventMatched {
	return record.EventMatched{
		SLA: []record.Limit{{Name: "close", Limit: 8 * time.Hour}, {Name: "respond", Limit: time.Hour}}, Hours: hours,
		OnBreach: &engine.Handler{File: "a.star", Name: "late"}, Args: engine.MustEncode(map[string]engine.Value{"who": "ana"}),
	}
}

const limited = `
def late(i, who):
    i.note("late, " + who)

def f(i, who):
    pass
`

// TestDeadlinesOfARule: what meets them, what breaches them, and what opening again
// does.
func TestDeadlinesOfARule(t *testing.T) {
	ctx := context.Background()
	note := func(b *box, i string) { b.did(b.runner.Note(ctx, i, "looking", "ana")) }
	shut := func(b *box, i string) { b.did(b.runner.CloseIncident(ctx, i, "done", "", "ana")) }
	again := func(b *box, i string) { b.did(b.runner.ReopenIncident(ctx, i, "not yet", "ana")) }
	byRun := func(act, reason string) func(b *box, i string) {
		return func(b *box, i string) {
			b.append(0, record.IncidentChangedKind, record.IncidentAct{Act: act, Incident: i, By: "run r0-9", Text: reason})
		}
	}
	pass := func(d time.Duration) func(b *box, i string) { return func(b *box, _ string) { b.advance(d) } }
	breached := func(b *box, i string) { b.due(i, "close running until Sun 16:00; respond breached") }
	for _, tt := range []struct {
		name  string
		does  []func(b *box, i string)
		want  string
		notes int
	}{
		{"nobody does anything", nil, "close running until Sun 16:00; respond running until Sun 09:00", 0},
		{"a note responds", []func(*box, string){note}, "close running until Sun 16:00; respond met", 0},
		{"a run does not", []func(*box, string){byRun(record.ActNote, "beep")}, "close running until Sun 16:00; respond running until Sun 09:00", 0},
		{"nobody responds", []func(*box, string){pass(time.Hour)}, "close running until Sun 16:00; respond breached", 1},
		{"late is met, too", []func(*box, string){pass(time.Hour), breached, note}, "close running until Sun 16:00; respond met", 1},
		{"closed by a person", []func(*box, string){shut}, "close met; respond met", 0},
		{"closed by a run", []func(*box, string){byRun(record.ActClose, "auto")}, "close met; respond stopped", 0},
		{"opened again by a person", []func(*box, string){note, shut, again}, "close running until Sun 16:00; respond met", 0},
		{"opened again by a run", []func(*box, string){note, shut, byRun(record.ActReopen, "")}, "close running until Sun 16:00; respond running until Sun 09:00", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, limited)
			incident, run := b.startWith(limits(""))
			b.status(run, engine.RunDone)
			b.due(incident, "close running until Sun 16:00; respond running until Sun 09:00")
			for _, do := range tt.does {
				do(b, incident)
			}
			b.due(incident, tt.want)
			b.bell.until(t, "the handler was called", func() bool { return strings.Count(b.story(incident), "late, ana") == tt.notes })
		})
	}
}

// TestAQuestionIsTimed: the handler is called while the question stays open.
func TestAQuestionIsTimed(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def late(i):
    i.escalate("high")

def f(i):
    a = ask("dave", "Well?", choices = ["yes"], sla = "1h", on_breach = late)
    i.set(r = a.choice)
`)
	b.setHours("mon-fri 09:00-17:30", "Europe/London")
	incident, run := b.startWith(record.EventMatched{Hours: "office"})
	b.status(run, engine.RunWaiting)
	b.due(incident, "q0-1 running until Mon 10:00")
	b.advance(26 * time.Hour)
	b.due(incident, "q0-1 breached")
	b.bell.until(t, "it is escalated", func() bool { return b.incident(incident).Severity == "high" })
	b.status(run, engine.RunWaiting)
	b.answer("q0-1", engine.Reply{Choice: "yes", By: engine.Addressee{Name: "dave"}})
	b.status(run, engine.RunDone)
	b.due(incident, "q0-1 met")
	b.facts(incident, map[string]engine.Value{"r": "yes"})
}

// TestClosingStopsTimers: all of them, and none begins on a closed incident.
func TestClosingStopsTimers(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def late(i):
    i.note("late")

def f(i):
    i.timer("a").start("4h", on_breach = late)
    i.timer("b").start("4h", on_breach = late)
    i.timer("b").pause()
    i.close("done")
    i.timer("b").resume()
    e = attempt(lambda: i.timer("c").start("4h")).error
    i.set(e = "%s: %s" % (e.kind, e.message))
`)
	incident, run := b.start()
	b.status(run, engine.RunDone)
	b.due(incident, "a stopped; b stopped")
	b.facts(incident, map[string]engine.Value{"e": `conflict: timer "c": the incident is closed`})
	if next, ok, err := b.state.NextTimer(0); err != nil || ok {
		t.Errorf("got timer %+v, %v, want none", next, err)
	}
}

// TestARestartStopsWhatItLeaves: a timer that a step began that is left is stopped,
// one before goes on.
func TestARestartStopsWhatItLeaves(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    i.timer("a").start("4h")
    sleep("1h")
    i.timer("b").start("4h")
    sleep("10h")
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(time.Hour)
	b.due(incident, "a running until Sun 12:00; b running until Sun 13:00")
	b.status(run, engine.RunWaiting)
	_, err := b.runner.Restart(context.Background(), run, engine.RestartRequest{Step: "2", By: "dave", How: "page"})
	must(t, err)
	b.due(incident, "a running until Sun 12:00; b stopped")
	b.advance(time.Hour)
	b.due(incident, "a running until Sun 12:00; b running until Sun 14:00")
}

// TestAHeldClockBreachesNothing: whoever offers it; what fell due is breached once
// the clock is accepted.
func TestAHeldClockBreachesNothing(t *testing.T) {
	t.Parallel()
	b := playbook(t, limited)
	incident, run := b.startWith(limits(""))
	b.status(run, engine.RunDone)
	b.due(incident, "close running until Sun 16:00; respond running until Sun 09:00")
	now := b.clock.Now()
	b.append(0, record.ClockHeldKind, record.ClockHeld{On: true, From: now, To: now, Why: "it jumped"})
	tm, _, err := b.state.NextTimer(0)
	must(t, err)
	b.clock.set(now.Add(2 * time.Hour))
	if o := b.append(0, record.DeadlineBreachedKind, record.DeadlineBreached{Deadline: tm.Target, Timer: tm.ID}); o.Applied || o.Why != "the clock jumped, and nobody has said yet that it is right" {
		t.Errorf("got %+v, want it refused", o)
	}
	if got := b.deadlines(incident); got != "close running until Sun 16:00; respond running until Sun 09:00" {
		t.Errorf("got %s", got)
	}
	b.append(0, record.ClockHeldKind, record.ClockHeld{By: "dave", How: engine.ClockAccepted, From: now, To: now})
	b.due(incident, "close running until Sun 16:00; respond breached")
	if o := b.append(0, record.TimerFiredKind, record.TimerFired{Timer: tm.ID}); o.Applied {
		t.Errorf("got %+v for a timer that is gone", o)
	}
}

// TestDeadlinesInShadow: the handler of a rule in shadow mode touches nothing.
func TestDeadlinesInShadow(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def late(i, who):
    sim.put(what = "alarm")
    i.note("late, " + who)

def slow(i):
    sim.put(what = "slow")

def f(i, who):
    i.timer("part").start("30m", on_breach = slow)
    a = ask("dave", "Well?", choices = ["yes"], sla = "1m", on_breach = slow)    # is not sent, and has no deadline
`)
	m := limits("")
	m.Mode = "shadow"
	incident, run := b.startWith(m)
	b.status(run, engine.RunDone)
	b.due(incident, "close running until Sun 16:00; respond running until Sun 09:00; part running until Sun 08:30")
	b.advance(30 * time.Minute)
	b.due(incident, "close running until Sun 16:00; respond running until Sun 09:00; part breached")
	b.advance(30 * time.Minute)
	b.bell.until(t, "the handler was called", func() bool { return strings.Contains(b.story(incident), "late, ana") })
	if done := b.world.did(); len(done) > 0 {
		t.Errorf("got effects %v", done)
	}
}

// TestWrongTimers: what a script is told.
func TestWrongTimers(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    errors = [attempt(fn).error for fn in [
        lambda: i.timer("dave@example.org").start("1h"),
        lambda: i.timer("a").start("0s"),
        lambda: i.timer("a").pause(),
    ]]
    i.timer("a").start("1h")
    i.timer("a").resume()
    i.timer("a").stop()
    i.timer("a").pause()
    i.timer("a").stop()
    i.set(r = "; ".join([e.message for e in errors]))
`)
	incident, run := b.start()
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"r": `timer: name: got "dave@example.org", want up to 60 letters, digits, spaces, - and _; timer: limit: got 0s, want a duration; timer "a": it was never started`})
}
