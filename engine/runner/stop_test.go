package runner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// several is a playbook whose branches ask, sleep and read.
const several = `
def f(i):
    def asks():
        return ask("dave", "What now?", choices = ["Allow", "Block"], timeout = "9h", default = "Allow").choice
    def sleeps():
        sleep("3h")
        return "slept"
    def reads():
        sim.read("one")
        sleep("10m")
        return sim.read("two")
    i.set(got = " ".join(parallel(asks, sleeps, reads)))
`

// stopped wants a run that stopped to wait for nothing any more.
func (b *box) stopped(run, question string) {
	b.t.Helper()
	q, err := b.state.Question(question)
	must(b.t, err)
	if q.Status != engine.QuestionWithdrawn {
		b.t.Errorf("got the question %s, want it withdrawn", q.Status)
	}
	if d := b.answer(question, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}}); d.Applied || d.Why != "it is withdrawn" {
		b.t.Errorf("got %+v of an answer", d)
	}
	if r := b.run(run); r.Sleeps != "" || r.Held != "" {
		b.t.Errorf("it still sleeps in %q, and is held in %q", r.Sleeps, r.Held)
	}
	if next, ok, err := b.state.NextTimer(0); err != nil || ok {
		b.t.Errorf("got the timer %+v, %v, want none", next, err)
	}
}

// TestARunThatStopsWaitsForNothing: what other branches ask is withdrawn, and they
// sleep no more, in the very record that stops the run; a restart from a later
// step asks and sleeps anew.
func TestARunThatStopsWaitsForNothing(t *testing.T) {
	tests := []struct {
		status string
		stop   func(b *box, run string)
	}{
		{engine.RunQuarantined, func(b *box, run string) {
			for range 3 {
				b.append(0, record.WorkerDiedKind, record.WorkerDied{Run: run, Generation: 1, Why: "memory"})
			}
		}},
		{engine.RunDiverged, func(b *box, run string) {
			b.append(0, record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunDiverged})
		}},
		{engine.RunFailed, func(b *box, run string) {
			b.append(0, record.RunEndedKind, record.RunEnded{
				Run: run, Generation: 1, Status: engine.RunFailed, Error: engine.Errorf(engine.Script, "too many steps"),
			})
		}},
		{engine.RunUndone, func(b *box, run string) {
			if d := b.restart(run, engine.RestartRequest{}); !d.Applied {
				b.t.Errorf("got %+v", d)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.status, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, several)
			incident, run := b.start()
			b.status(run, engine.RunWaiting)
			b.close()
			b.idle = true
			b.open()
			q := b.question()
			if tt.status != engine.RunUndone { // the last result wakes it, and it is not carried any more
				b.clock.set(b.clock.Now().Add(10 * time.Minute))
				b.append(0, record.TimerFiredKind, record.TimerFired{Timer: b.timerOf("1.2/2")})
			}
			tt.stop(b, run)
			if got := b.run(run).Status; got != tt.status {
				t.Fatalf("got the run %s", got)
			}
			b.stopped(run, q.ID)
			if tt.status == engine.RunFailed {
				contains(t, "story", b.story(incident), "the run failed: too many steps; what it still asked is withdrawn")
			}
			b.rebuilds()
			b.stopped(run, q.ID)
			step := "1.2/2"
			if d := b.restart(run, engine.RestartRequest{Step: step}); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			b.bell.until(t, "it asks anew", func() bool { return b.question().ID != q.ID })
			b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
			b.advance(10 * time.Minute)
			b.bell.until(t, "one branch is left", func() bool { return strings.HasPrefix(b.run(run).Waits, "until") && b.run(run).Sleeps == "1.1/1" })
			b.advance(3 * time.Hour)
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"got": "Block slept two"})
			b.rebuilds()
		})
	}
}

// timerOf is the timer of a step that sleeps.
func (b *box) timerOf(step string) string {
	b.t.Helper()
	timers, err := b.state.DueTimers(0, b.clock.Now().Add(100*time.Hour), 100)
	must(b.t, err)
	for _, tm := range timers {
		if tm.Step == step {
			return tm.ID
		}
	}
	b.t.Fatalf("step %s has no timer: %+v", step, timers)
	return ""
}

// nested is a playbook with a parallel in a parallel, and changes in each branch.
const nested = `
def f(i):
    def inner(name):
        sim.tag(name + " in")
        b = sim.block("02:00:00:00:00:" + name)
        return sim.read(name)
    def outer(name):
        sim.tag(name)
        got = parallel(lambda: inner(name + "1"), lambda: inner(name + "2"))
        return ask("dave", name + "?", choices = ["Allow", "Block"]).choice + " " + " ".join(got)
    i.set(got = ", ".join(parallel(outer, each = ["0", "1"])))
`

// TestRestartInsideAParallel: from a step of a branch, or of a branch of a branch:
// what began there or later is left, in whichever branch, the rest stays.
func TestRestartInsideAParallel(t *testing.T) {
	for _, step := range []string{"1.1/3", "1.1/2.0/2", "1.0/2.1/1", "1.0/1", "1"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, nested)
			incident, run := b.start()
			for range 2 {
				b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"got": "Block 01 02, Block 11 12"})
			p := b.preview(run, engine.RestartRequest{Step: step})
			var kept []string
			until := b.began(run, step)
			for _, s := range b.steps(run) {
				if id := engine.StepID(s.Path, s.Number); b.began(run, id) < until {
					kept = append(kept, id)
				}
			}
			if len(p.Undone) == 0 != (step == "1.1/3") {
				t.Errorf("got %v taken back", titles(p.Undone))
			}
			before := len(b.world.did("sim.block"))
			if d := b.restart(run, engine.RestartRequest{Step: step}); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			b.bell.until(t, "it goes on", func() bool { return b.run(run).Generation == 2 })
			for b.settled(run).Status != engine.RunDone {
				b.answer(b.question().ID, engine.Reply{Choice: "Allow", By: engine.Addressee{Name: "dave"}})
			}
			if got := len(b.world.did("sim.block")) - before; got != len(p.Undone) {
				t.Errorf("got %d changes made again, want the %d that were taken back", got, len(p.Undone))
			}
			equal(t, "taken back", b.world.did("sim.unblock"), unblocks(p.Undone))
			for _, s := range b.steps(run) {
				if id := engine.StepID(s.Path, s.Number); slices.Contains(kept, id) != (s.Generation == 1) {
					t.Errorf("step %s is of generation %d, kept are %v", id, s.Generation, kept)
				}
			}
			contains(t, "facts", fmt.Sprint(b.fact(incident, "got")), "Allow 11 12")
			b.rebuilds()
		})
	}
}

func unblocks(changes []engine.Change) []string {
	list := []string{}
	for _, c := range changes {
		list = append(list, "sim.unblock "+strings.TrimPrefix(c.Title, "block "))
	}
	return list
}

// began is where a step of a run's first generation began.
func (b *box) began(run, step string) int {
	b.t.Helper()
	steps, err := b.state.StepsOf(run, 1)
	must(b.t, err)
	return slices.IndexFunc(steps, func(s engine.Step) bool { return engine.StepID(s.Path, s.Number) == step })
}

// TestAnUndoOverTwoBundles: a run that made one change with the scripts of one
// moment and another with those of a later one is undone by both, the newest first.
func TestAnUndoOverTwoBundles(t *testing.T) {
	t.Parallel()
	source := `
def on(n):
    sim.put("on " + n)
    return n

def off(done, n):
    sim.tag("off " + n + " VERSION")

def f(i):
    change("first", do = on, undo = off, args = {"n": "first"})
    sim.read("between")
    change("second", do = on, undo = off, args = {"n": "second"})
    sim.block("02:00:00:00:00:07")
`
	b := playbook(t, strings.ReplaceAll(source, "VERSION", "old"))
	incident, run := b.start()
	b.status(run, engine.RunDone)
	b.activate(strings.ReplaceAll(source, "VERSION", "new"))
	step := ""
	for _, s := range b.steps(run) {
		if s.Builtin == "sim.read" {
			step = engine.StepID(s.Path, s.Number)
		}
	}
	if d := b.restart(run, engine.RestartRequest{Step: step, Current: true}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	b.bell.until(t, "it is done again", func() bool { r := b.run(run); return r.Generation == 2 && r.Status == engine.RunDone })
	equal(t, "taken back for the restart", b.world.did("sim.tag"), []string{"sim.tag off second old"})
	before := len(b.world.did("sim.tag", "sim.unblock"))
	p := b.preview(run, engine.RestartRequest{})
	equal(t, "preview", titles(p.Undone), []string{"block 02:00:00:00:00:07", "second", "first"})
	if d := b.restart(run, engine.RestartRequest{}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	b.bell.until(t, "it is undone", func() bool { return b.run(run).Status == engine.RunUndone })
	equal(t, "taken back", b.world.did("sim.tag", "sim.unblock")[before:], []string{
		"sim.unblock 02:00:00:00:00:07", "sim.tag off second new", "sim.tag off first old",
	})
	for _, c := range b.changes(incident) {
		if c.Status != engine.ChangeUndone {
			t.Errorf("%s: got %s", c.Title, c.Status)
		}
	}
	b.rebuilds()
}

// TestAnUndoWithTheLiveScripts: a change is taken back as its function is written
// now, if a person wants that; where it is gone, the undo says so.
func TestAnUndoWithTheLiveScripts(t *testing.T) {
	t.Parallel()
	source := "def on():\n    sim.put('on')\n\ndef off(done):\n    sim.tag('NAME')\n\ndef f(i):\n    change('lamp', do = on, undo = off)\n"
	b := playbook(t, strings.Replace(source, "NAME", "off, old", 1))
	incident, _ := b.play()
	b.activate(strings.Replace(source, "NAME", "off, new", 1))
	d, err := b.runner.UndoChange(t.Context(), b.change(incident, engine.ChangeInForce).ID, "dave", "the old way is broken", true)
	must(t, err)
	if !d.Applied {
		t.Fatalf("got %+v", d)
	}
	c := b.change(incident, engine.ChangeUndone)
	equal(t, "calls", b.world.did("sim.tag"), []string{"sim.tag off, new"})
	if r := b.status(c.UndoRun, engine.RunDone); r.Bundle != b.bundle || c.Bundle == b.bundle {
		t.Errorf("got the undo by bundle %s of a change by %s, live is %s", r.Bundle, c.Bundle, b.bundle)
	}
	b.rebuilds()
}
