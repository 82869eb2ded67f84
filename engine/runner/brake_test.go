package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// brake presses the brake, or lets it go.
func (b *box) brake(on bool) engine.Decision {
	b.t.Helper()
	d, err := b.runner.SetBrake(b.t.Context(), on, "dave", "looking into it")
	must(b.t, err)
	return d
}

const brakedPlaybook = `
def f(i):
    a = ask("dave", "Go on?", choices = ["Yes"])
    i.set(read = sim.read("x"))
    sim.put("one")
    sim.put("two")
    i.close("done")
`

// TestTheBrake: while it is on, reads and questions go on and effects are held,
// over a restart, too; let go, they are done, once.
func TestTheBrake(t *testing.T) {
	t.Parallel()
	b := playbook(t, brakedPlaybook)
	if d := b.brake(true); !d.Applied {
		t.Fatalf("pressed: got %+v", d)
	}
	if d := b.brake(true); d.Applied || d.Why != "the brake is on already" {
		t.Errorf("pressed again: got %+v", d)
	}
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.answer(b.question().ID, engine.Reply{Choice: "Yes", By: engine.Addressee{Name: "dave"}})
	r := b.status(run, engine.RunHeld)
	if !strings.HasPrefix(r.Waits, "the brake, before sim.put at scripts/a.star:5:") {
		t.Errorf("got waits %q", r.Waits)
	}
	equal(t, "calls", b.world.did("sim.put"), []string{})
	held := b.steps(run)[len(b.steps(run))-1]
	if held.Status != engine.StepNotStarted || held.Held != engine.HeldByBrake || held.Builtin != "sim.put" {
		t.Errorf("got step %+v", held)
	}
	contains(t, "story", b.story(incident), "sim.put is held by the brake")
	b.rebuilds()
	b.status(run, engine.RunHeld)
	if d := b.brake(false); !d.Applied {
		t.Fatalf("let go: got %+v", d)
	}
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put one", "sim.put two"})
	b.rebuilds()
}

// TestHeldStepsAreReleasedOrDropped one by one, while the brake stays on.
func TestHeldStepsAreReleasedOrDropped(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    r = parallel(lambda: sim.put("a"), lambda: attempt(lambda: sim.put("b")), lambda: sim.read("c"))
    i.set(kind = r[1].error.kind, said = r[1].error.message)
    sim.put("d")
`)
	b.brake(true)
	incident, run := b.start()
	r := b.status(run, engine.RunHeld)
	if r.Held != "1.0/1 1.1/1" {
		t.Errorf("got held %q", r.Held)
	}
	if d := b.resolve(run, engine.Resolution{Step: "1.0/1", Outcome: engine.OutcomeRelease}); !d.Applied {
		t.Fatalf("released: %+v", d)
	}
	r = b.status(run, engine.RunHeld)
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put a"})
	if d := b.resolve(run, engine.Resolution{Step: "1.0/1", Outcome: engine.OutcomeRelease}); d.Applied {
		t.Errorf("released twice: %+v", d)
	}
	if d := b.resolve(run, engine.Resolution{Step: "1.1/1", Outcome: engine.OutcomeDrop, Why: "not needed"}); !d.Applied {
		t.Fatalf("dropped: %+v", d)
	}
	b.bell.until(t, "the last step to be held", func() bool { return b.run(run).Held == "3" && b.run(run).Status == engine.RunHeld })
	if kind, said := b.fact(incident, "kind"), b.fact(incident, "said"); kind != "denied" || said != "it was held, and dropped by ana: not needed" {
		t.Errorf("got kind %v and %v", kind, said)
	}
	b.brake(false)
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put a", "sim.put d"})
	b.rebuilds()
}

// TestTheBrakeHoldsUndos: what takes a change back changes the world, too.
func TestTheBrakeHoldsUndos(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.block('02:00:00:00:00:07', expires = '1h')\n")
	incident, run := b.start()
	b.status(run, engine.RunDone)
	b.brake(true)
	c := b.change(incident, engine.ChangeInForce)
	b.advance(2 * 3600e9)
	b.bell.until(t, "the undo to be held", func() bool {
		c = b.changes(incident)[0]
		return c.UndoRun != "" && b.run(c.UndoRun).Status == engine.RunHeld
	})
	equal(t, "calls", b.world.did("sim.unblock"), []string{})
	b.brake(false)
	b.change(incident, engine.ChangeUndone)
}

// TestClosingEndsWhatIsHeld: the run of an incident that is closed from outside
// does not do later what was held.
func TestClosingEndsWhatIsHeld(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.put('x')\n")
	b.brake(true)
	incident, run := b.start()
	b.status(run, engine.RunHeld)
	d, err := b.runner.CloseIncident(t.Context(), incident, "never mind", "resolved", "dave")
	must(t, err)
	if !d.Applied {
		t.Fatalf("got %+v", d)
	}
	b.status(run, engine.RunDone)
	b.brake(false)
	equal(t, "calls", b.world.did("sim.put"), []string{})
}

// TestTheBrakeBetweenAnyTwoCommits: wherever the power fails while the brake is
// pressed, held at and let go, each effect happens once.
func TestTheBrakeBetweenAnyTwoCommits(t *testing.T) {
	t.Parallel()
	for commits := 2; ; commits++ {
		b := playbook(t, "def f(i):\n    parallel(lambda: sim.tag('a'), lambda: sim.mail('b'))\n    sim.tag('c')\n")
		b.brake(true)
		b.power.after(commits, true)
		_, run := b.start()
		b.drive()
		out := b.power.isOut()
		b.reopen()
		b.status(run, engine.RunHeld)
		b.brake(false)
		b.drive()
		b.status(run, engine.RunDone)
		if n := len(b.world.did("sim.tag", "sim.mail")); n != 3 {
			t.Errorf("the power failed after %d commits: got %v", commits, b.world.did())
		}
		if !out || commits > 30 {
			if commits < 4 {
				t.Errorf("the power failed at %d places only", commits-2)
			}
			return
		}
	}
}

// TestTheLimitOfARule: beyond max_changes people are asked, once for all runs of
// the rule; they let it go on, and it counts anew, or drop what waits.
func TestTheLimitOfARule(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"Go on", "Drop them"} {
		b := playbook(t, "def g(i):\n    attempt(lambda: sim.tag('three'))\n\ndef f(i):\n    r = attempt(lambda: sim.tag('one'))\n    s = attempt(lambda: sim.tag('two'))\n    i.set(ok = s.ok, said = s.error.message if s.error else '')\n")
		match := record.EventMatched{MaxChanges: 3, MaxChangesIn: time.Hour}
		_, first := b.startWith(match)
		b.status(first, engine.RunDone)
		second, held := b.startWith(match)
		b.status(held, engine.RunHeld)
		match.Do.File, match.Do.Name = "a.star", "g"
		_, other := b.startWith(match)
		b.status(other, engine.RunHeld)
		equal(t, "calls", b.world.did("sim.tag"), []string{"sim.tag one", "sim.tag two", "sim.tag one"})
		q := b.question()
		contains(t, "the question", q.Text, "netflix made 3 changes within 1h")
		contains(t, "the details", strings.Join(q.Details, " "), "sim.tag at scripts/a.star:6:")
		b.rebuilds()
		b.answer(q.ID, engine.Reply{Choice: choice, By: engine.Addressee{Name: "dave"}, Reason: "I looked"})
		b.status(held, engine.RunDone)
		b.status(other, engine.RunDone)
		if ok := b.fact(second, "ok"); ok != (choice == "Go on") {
			t.Errorf("%s: got %v", choice, ok)
		}
		if choice != "Go on" {
			contains(t, "the error", b.fact(second, "said").(string), "dropped by dave: I looked")
		}
		b.rebuilds()
	}
}

// TestTheLimitIsOfASpan: what was long ago does not count.
func TestTheLimitIsOfASpan(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.tag('x')\n")
	match := record.EventMatched{MaxChanges: 2, MaxChangesIn: time.Hour}
	for range 5 {
		_, run := b.startWith(match)
		b.status(run, engine.RunDone)
		b.clock.set(b.clock.Now().Add(40 * time.Minute))
	}
	if n := len(b.world.did("sim.tag")); n != 5 {
		t.Errorf("got %d effects, want 5", n)
	}
}

// TestHeldWhilePeopleDecide: a run whose step was held before people decided, and
// that was about to wait when they did, does not wait for a word that came.
func TestHeldWhilePeopleDecide(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.tag('x')\n")
	b.close()
	b.idle = true // its records are ours
	b.open()
	match := record.EventMatched{MaxChanges: 1, MaxChangesIn: time.Hour}
	start := func(run string, n int) record.Outcome {
		return b.append(0, record.StepStartedKind, record.StepStarted{
			Run: run, Generation: 1, Number: n, Builtin: "sim.tag", Class: engine.Repeatable, Effect: true, At: "scripts/a.star:2:12",
		})
	}
	_, first := b.startWith(match)
	_, second := b.startWith(match)
	start(first, 1)
	if o := start(first, 2); o.Action != engine.HeldByLimit || len(o.Runs) != 1 {
		t.Fatalf("got %+v, want it held, and people asked", o)
	}
	if o := start(second, 1); o.Action != engine.HeldByLimit || len(o.Runs) != 0 {
		t.Fatalf("got %+v, want it held", o)
	}
	b.append(0, record.RunParkedKind, record.RunParked{Run: first, Generation: 1, Number: 2, Waits: "people"})
	b.append(0, record.StepResolvedKind, record.StepResolved{Run: first, Generation: 1, Number: 2, Outcome: engine.OutcomeRelease, By: "dave", How: "question"})
	if o := b.append(0, record.RunParkedKind, record.RunParked{Run: second, Generation: 1, Number: 1, Waits: "people"}); o.Applied {
		t.Errorf("got %+v: it waits for what nobody is asked", o)
	}
	b.rebuilds()
}

// TestTheLimitAsksAnew: the incident that carried the question is closed; the next
// effect that is held asks again, for all.
func TestTheLimitAsksAnew(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.tag('x')\n    sim.tag('y')\n")
	match := record.EventMatched{MaxChanges: 1, MaxChangesIn: time.Hour}
	incident, first := b.startWith(match)
	b.status(first, engine.RunHeld)
	_, second := b.startWith(match)
	b.status(second, engine.RunHeld)
	b.question()
	_, err := b.runner.CloseIncident(context.Background(), incident, "by hand", "resolved", "dave")
	must(t, err)
	b.status(first, engine.RunDone)
	_, third := b.startWith(match)
	b.status(third, engine.RunHeld)
	b.answer(b.question().ID, engine.Reply{Choice: "Drop them", By: engine.Addressee{Name: "dave"}})
	for _, run := range []string{second, third} {
		b.status(run, engine.RunFailed)
	}
	b.rebuilds()
}
