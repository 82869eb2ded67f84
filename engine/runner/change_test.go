package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

const blocks = "def f(i):\n    sim.block('02:00:00:00:00:07', expires = '8h', why = 'homework')\n    i.close('blocked')\n"

func TestAChangeExpires(t *testing.T) {
	for _, off := range []bool{false, true} { // the power may be off meanwhile
		t.Run("", func(t *testing.T) {
			t.Parallel()
			b := playbook(t, blocks)
			incident, run := b.play()
			c := b.change(incident, engine.ChangeInForce)
			if c.Title != "block 02:00:00:00:00:07" || c.Why != "homework" || c.Run != run || c.Step != "1" || c.Expires.Sub(c.Made) != 8*time.Hour {
				t.Errorf("got %+v", c)
			}
			if off {
				b.close()
				b.clock.set(b.clock.Now().Add(100 * time.Hour))
				b.open()
			} else {
				b.advance(8 * time.Hour)
			}
			c = b.change(incident, engine.ChangeUndone)
			if c.UndoneBy != "its time is over" || c.Undone.IsZero() || b.run(c.UndoRun).Parent != run {
				t.Errorf("got %+v", c)
			}
			equal(t, "calls", b.world.did("sim.unblock"), []string{"sim.unblock 02:00:00:00:00:07"})
			contains(t, "story", b.story(incident), "changed: block 02:00:00:00:00:07: homework, until 2026-11-22 16:00:00 UTC",
				"timer | time is over: block", "taken back: block 02:00:00:00:00:07")
			if b.incident(incident).Status != engine.IncidentClosed {
				t.Error("an undo that went well reopened the incident")
			}
		})
	}
}

func TestAChangeIsTakenBackEarlyAndOnce(t *testing.T) {
	t.Parallel()
	b := playbook(t, blocks)
	incident, _ := b.play()
	c := b.change(incident, engine.ChangeInForce)
	release := make(chan struct{})
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
		<-release
		return engine.Result{}, nil
	})
	undo := func() engine.Decision {
		t.Helper()
		d, err := b.runner.UndoChange(t.Context(), c.ID, "dave", "homework is done", false)
		must(t, err)
		return d
	}
	if d := undo(); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	if d := undo(); d.Applied || d.Why != "it is being taken back" {
		t.Errorf("twice: got %+v", d)
	}
	close(release)
	b.change(incident, engine.ChangeUndone)
	if d := undo(); d.Applied || d.Why != "it was taken back already" {
		t.Errorf("afterwards: got %+v", d)
	}
	if _, ok, err := b.state.NextTimer(0); ok || err != nil {
		t.Errorf("its timer is left (error %v)", err)
	}
	contains(t, "story", b.story(incident), "dave | takes back block 02:00:00:00:00:07: homework is done")
	equal(t, "calls", b.world.did("sim.unblock"), []string{"sim.unblock 02:00:00:00:00:07"})
}

func TestScriptsTakeBack(t *testing.T) {
	tests := []struct{ name, source, undone string }{
		{"what a builtin changed", "def f(i):\n    b = sim.block('02:00:00:00:00:07')\n    sleep('1h')\n    b.undo()\n    b.undo()\n", "sim.unblock 02:00:00:00:00:07"},
		{"what a function changed", `
def on(n):
    sim.put("on " + n)
    return "it was off"

def off(done, n):
    sim.tag("off %s: %s" % (n, done))

def f(i):
    c = change("lamp " + "1", do = on, undo = off, args = {"n": "1"}, why = "dark")
    sleep("1h")
    c.undo()
`, "sim.tag off 1: it was off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, tt.source)
			incident, run := b.start()
			b.status(run, engine.RunWaiting)
			b.change(incident, engine.ChangeInForce)
			b.reopen()
			b.advance(time.Hour)
			b.status(run, engine.RunDone)
			c := b.change(incident, engine.ChangeUndone)
			if c.UndoneBy != "run "+run {
				t.Errorf("got %+v", c)
			}
			equal(t, "calls", b.world.did("sim.unblock", "sim.tag"), []string{tt.undone})
		})
	}
}

func TestWhatChangedNothingNeedsNoUndo(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    b = sim.block('02:00:00:00:00:07')\n    b.undo()\n    sim.put('after')\n")
	b.world.on("sim.block", func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		r, err := doBlock(ctx, c)
		r.Change = nil // it was blocked already, by somebody else
		return r, err
	})
	incident, _ := b.play()
	equal(t, "calls", b.world.did("sim.unblock", "sim.put"), []string{"sim.put after"})
	if len(b.changes(incident)) != 0 {
		t.Errorf("got changes %+v", b.changes(incident))
	}
}

// TestAnUndoIsTriedForAnHourThenAsks: an undo that fails is tried for an hour, then
// reopens its incident and asks.
func TestAnUndoIsTriedForAnHourThenAsks(t *testing.T) {
	t.Parallel()
	b := playbook(t, blocks)
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Unavailable, "sim: refused")
	})
	incident, _ := b.play()
	made := b.clock.Now()
	b.advance(8 * time.Hour)
	var failed engine.Change
	b.bell.until(t, "the undo has failed", func() bool {
		failed = b.changes(incident)[0]
		if failed.UndoRun != "" && b.run(failed.UndoRun).Status == engine.RunWaiting && b.clock.sleeps(b.clock.Now().Add(time.Hour)) {
			b.clock.set(b.clock.Now().Add(time.Minute))
			b.bell.ring()
		}
		return failed.Status == engine.ChangeUndoFailed
	})
	if took := b.clock.Now().Sub(made) - 8*time.Hour; took < 50*time.Minute || took > 90*time.Minute {
		t.Errorf("got tries for %v, want about an hour", took)
	}
	if got := len(b.world.did("sim.unblock")); got != 7 {
		t.Errorf("got %d tries, want 7", got)
	}
	i := b.incident(incident)
	if i.Status != engine.IncidentOpen || !strings.Contains(failed.Error, "block 02:00:00:00:00:07 could not be taken back: sim: refused") {
		t.Errorf("got incident %s, change %+v", i.Status, failed)
	}
	contains(t, "story", b.story(incident), "| block 02:00:00:00:00:07 could not be taken back: sim: refused")
	q := b.question()
	contains(t, "question", q.Text, "block 02:00:00:00:00:07 could not be taken back: sim: refused. What now?")
	if len(q.To) != 1 || q.To[0].Name != "dave" || q.Incident != incident || len(q.Choices) != 2 {
		t.Errorf("got question %+v, want the engineer asked", q)
	}
	b.world.on("sim.unblock", nil)
	b.answer(q.ID, engine.Reply{Choice: "Try again", By: engine.Addressee{Name: "dave"}})
	b.change(incident, engine.ChangeUndone)
	b.status(failed.UndoRun, engine.RunDone)
	b.rebuilds()
}

// TestAnUndoThatFailedIsLeft, and tried again later by somebody else.
func TestAnUndoThatFailedIsLeft(t *testing.T) {
	t.Parallel()
	b := playbook(t, blocks)
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Denied, "sim: not you")
	})
	incident, _ := b.play()
	b.advance(8 * time.Hour)
	b.answer(b.question().ID, engine.Reply{Choice: "Leave it as it is", By: engine.Addressee{Name: "dave"}})
	failed := b.change(incident, engine.ChangeUndoFailed)
	b.status(failed.UndoRun, engine.RunDone)
	contains(t, "story", b.story(incident), "dave | answers: Leave it as it is")
	b.world.on("sim.unblock", nil)
	d, err := b.runner.UndoChange(t.Context(), failed.ID, "dave", "the switch is back", false)
	must(t, err)
	if !d.Applied {
		t.Fatalf("got %+v, want another try", d)
	}
	b.change(incident, engine.ChangeUndone)
	b.rebuilds()
}

// TestNobodyMinds: where nobody can be asked, the undo fails.
func TestNobodyMinds(t *testing.T) {
	t.Parallel()
	b := playbook(t, blocks)
	b.dave = false
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Denied, "sim: not you")
	})
	incident, _ := b.play()
	b.advance(8 * time.Hour)
	c := b.change(incident, engine.ChangeUndoFailed)
	b.status(c.UndoRun, engine.RunFailed)
	contains(t, "story", b.story(incident), "the run failed: block 02:00:00:00:00:07 could not be taken back")
}

// TestAnUndoOfAPinnedBundle: what was named is called as it was written then.
func TestAnUndoOfAPinnedBundle(t *testing.T) {
	t.Parallel()
	source := "def on():\n    sim.put('on')\n\ndef off(done):\n    sim.tag('NAME')\n\ndef f(i):\n    change('lamp', do = on, undo = off, expires = '1h')\n"
	b := playbook(t, strings.Replace(source, "NAME", "off, old", 1))
	incident, _ := b.play()
	b.activate(strings.Replace(source, "NAME", "off, new", 1))
	b.reopen()
	b.advance(time.Hour)
	b.change(incident, engine.ChangeUndone)
	equal(t, "calls", b.world.did("sim.tag"), []string{"sim.tag off, old"})
}

func TestShadowRunsDoNotAct(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def on(n):
    sim.put("on")

def off(done, n):
    sim.tag("off")

def f(i):
    seen = sim.read("x")
    a = ask("dave", "q?", choices = ["Allow", "Block"], timeout = "2h")
    d = ask("dave", "q?", choices = ["Allow", "Block"], default = "Block", timeout = "2h")
    sim.put("one")
    b = sim.block("02:00:00:00:00:07", expires = "1h")
    b.undo()
    c = change("lamp", do = on, undo = off, args = {"n": 1}, expires = "1h")
    c.undo()
    sim.mail("ana@example.org")
    i.set(seen = seen, a = a.choice, d = d.choice)
`)
	incident, run := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"seen": "x", "a": "Allow", "d": "Block"})
	equal(t, "calls", b.world.did(), []string{"sim.read x"})
	if c := b.changes(incident); len(c) != 0 {
		t.Errorf("got changes %+v, want none in shadow", c)
	}
	if runs, _, err := b.state.Runs(engine.RunFilter{}, "", 10); err != nil || len(runs) != 1 {
		t.Errorf("got runs %+v, %v, want the playbook's alone", runs, err)
	}
}
