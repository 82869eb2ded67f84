package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// house is a playbook whose outcome depends on an answer, with changes on both
// sides of it.
const house = `
def on(n):
    sim.tag("on " + n)
    return n

def off(done, n):
    sim.tag("off " + done)

def f(i):
    sim.block("02:00:00:00:00:01")
    a = ask("dave", "What now?", choices = ["Allow", "Block"])
    i.set(choice = a.choice)
    sim.put("did " + a.choice)
    if a.choice == "Block":
        sim.block("02:00:00:00:00:02", expires = "8h")
        change("lamp", do = on, undo = off, args = {"n": "lamp"})
    i.close(a.choice)
`

func (b *box) restart(run string, in engine.RestartRequest) engine.Decision {
	b.t.Helper()
	in.By, in.How = "ana", "page"
	d, err := b.runner.Restart(context.Background(), run, in)
	must(b.t, err)
	return d
}

func (b *box) preview(run string, in engine.RestartRequest) engine.RestartPreview {
	b.t.Helper()
	p, err := b.runner.PreviewRestart(context.Background(), run, in)
	must(b.t, err)
	return p
}

// houseDone plays the house to its end: Block.
func houseDone(t *testing.T) (b *box, incident, run string) {
	t.Helper()
	b = playbook(t, house)
	incident, run = b.start()
	b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
	b.status(run, engine.RunDone)
	return b, incident, run
}

func titles(changes []engine.Change) []string {
	list := []string{}
	for _, c := range changes {
		list = append(list, c.Title)
	}
	return list
}

func builtins(steps []engine.Step) []string {
	list := []string{}
	for _, s := range steps {
		list = append(list, engine.StepID(s.Path, s.Number)+" "+s.Builtin)
	}
	return list
}

// TestRestartWithAnotherAnswer: what later steps changed is taken back, the newest
// first; then the run goes on with the answer, and the old branch stays.
func TestRestartWithAnotherAnswer(t *testing.T) {
	t.Parallel()
	b, incident, run := houseDone(t)
	p := b.preview(run, engine.RestartRequest{Step: "2"})
	equal(t, "undone", titles(p.Undone), []string{"lamp", "block 02:00:00:00:00:02"})
	equal(t, "cannot", builtins(p.Cannot), []string{"4 sim.put"})
	if p.Cannot[0].At != "scripts/a.star:13:12" || len(p.Unknown) > 0 || len(p.Questions) > 0 || p.Step != "2" || p.Generation != 1 || p.Closed {
		t.Errorf("got %+v", p)
	}
	before := b.world.did()
	if d := b.restart(run, engine.RestartRequest{Step: "2", Answer: engine.Data(`"Allow"`), Why: "dave changed his mind"}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	r := b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did()[len(before):], []string{"sim.tag off lamp", "sim.unblock 02:00:00:00:00:02", "sim.put did Allow"})
	b.facts(incident, map[string]engine.Value{"choice": "Allow"})
	if r.Generation != 2 || r.Restart != nil || len(r.Branches) != 1 || b.incident(incident).Reason != "Allow" {
		t.Errorf("got %+v", r)
	}
	left := r.Branches[0]
	if left.Step != "2" || left.By != "ana" || left.Status != engine.RunDone || left.Why != "dave changed his mind" || left.Bundle != b.bundle {
		t.Errorf("got the branch %+v", left)
	}
	for _, c := range b.changes(incident) {
		if want := map[bool]string{true: engine.ChangeInForce, false: engine.ChangeUndone}[c.Step == "1"]; c.Status != want {
			t.Errorf("%s: got %s, want %s", c.Title, c.Status, want)
		}
	}
	contains(t, "story", b.story(incident), "ana | restarts the run from step 2 with another answer, and takes 2 changes back first: dave changed his mind",
		"taken back: lamp", "taken back: block 02:00:00:00:00:02", "run "+run+" | closes: Allow")
	steps := b.steps(run)
	equal(t, "steps", builtins(steps), []string{"1 sim.block", "2 ask", "3 incident.set", "4 sim.put", "5 incident.close"})
	if steps[0].Generation != 1 || !steps[1].Given || steps[2].Generation != 0 {
		t.Errorf("got %+v", steps)
	}
	old, err := b.state.StepsOf(run, 1)
	must(t, err)
	if len(old) != 8 || old[1].Given || old[7].Builtin != "incident.close" {
		t.Errorf("got the old branch %v", builtins(old))
	}
	if _, err := b.state.StepsOf(run, 3); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v of a generation that is none", err)
	}
	if got := slices.DeleteFunc(append([]engine.Call{}, b.world.calls...), func(c engine.Call) bool { return c.Name != "sim.put" }); got[0].Key != run+"/1/4" || got[1].Key != run+"/2/4" {
		t.Errorf("got the keys %s and %s", got[0].Key, got[1].Key)
	}
	b.rebuilds()
}

// TestRestartInTheMiddleOfAChange: a step of do, or the one that puts the change
// in force, leaves all of do, or what was taken back would be listed as in force.
func TestRestartInTheMiddleOfAChange(t *testing.T) {
	t.Parallel()
	const lamp = `
def on(n):
    sim.tag("plug in")
    sim.tag("on " + n)
    return n

def off(done, n):
    sim.tag("off " + done)

def f(i):
    sim.put("before")
    change("lamp", do = on, undo = off, args = {"n": "lamp"})
`
	for _, step := range []string{"3", "4"} {
		b := playbook(t, lamp)
		_, run := b.start()
		b.status(run, engine.RunDone)
		before := len(b.world.did())
		equal(t, "undone", titles(b.preview(run, engine.RestartRequest{Step: step}).Undone), []string{"lamp"})
		if d := b.restart(run, engine.RestartRequest{Step: step}); !d.Applied {
			t.Fatalf("got %+v", d)
		}
		b.status(run, engine.RunDone)
		equal(t, "calls after step "+step, b.world.did()[before:], []string{"sim.tag off lamp", "sim.tag plug in", "sim.tag on lamp"})
	}
	b := playbook(t, lamp) // one that was taken back before is done again, too
	incident, run := b.start()
	b.status(run, engine.RunDone)
	_, err := b.runner.UndoChange(context.Background(), b.changes(incident)[0].ID, "ana", "", false)
	must(t, err)
	b.bell.until(t, "it is taken back", func() bool { return b.changes(incident)[0].Status == engine.ChangeUndone })
	before := len(b.world.did())
	b.restart(run, engine.RestartRequest{Step: "4"})
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did()[before:], []string{"sim.tag plug in", "sim.tag on lamp"})
}

// TestRestartInEveryStatus: from the step of the ask, whatever the run is.
func TestRestartInEveryStatus(t *testing.T) {
	answer := func(b *box) {
		b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
	}
	tests := []struct {
		status string
		source string
		bring  func(b *box, run string)
	}{
		{engine.RunWaiting, house, func(b *box, run string) { b.question() }},
		{engine.RunDone, house, func(b *box, run string) { answer(b) }},
		{engine.RunFailed, house + "    fail('no')\n", func(b *box, run string) { answer(b) }},
		{engine.RunInDoubt, house, func(b *box, run string) {
			b.world.on("sim.put", func(context.Context, *engine.Call) (engine.Result, error) {
				b.power.after(0, true)
				return engine.Result{}, nil
			})
			answer(b)
			b.drive()
			b.world.on("sim.put", nil)
			b.reopen()
		}},
		{engine.RunUndone, house, func(b *box, run string) {
			answer(b)
			b.status(run, engine.RunDone)
			if d := b.restart(run, engine.RestartRequest{}); !d.Applied {
				b.t.Errorf("got %+v", d)
			}
		}},
		{engine.RunDiverged, house, func(b *box, run string) {
			q := b.question()
			b.close()
			b.idle = true
			b.open()
			b.answer(q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
			b.append(0, record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 3, Builtin: "sim.tag", At: "elsewhere"})
			b.idle = false
			b.reopen()
		}},
		{engine.RunQuarantined, house, func(b *box, run string) {
			q := b.question()
			b.close()
			b.idle = true
			b.open()
			b.answer(q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
			for range 3 {
				b.append(0, record.WorkerDiedKind, record.WorkerDied{Run: run, Generation: 1, Why: "memory"})
			}
			b.idle = false
			b.reopen()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.status, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, tt.source)
			incident, run := b.start()
			tt.bring(b, run)
			b.status(run, tt.status)
			before := len(b.world.did())
			p := b.preview(run, engine.RestartRequest{Step: "2"})
			if want := tt.status == engine.RunInDoubt; want != (len(p.Unknown) == 1) {
				t.Errorf("got unknown %v", builtins(p.Unknown))
			}
			if want := tt.status == engine.RunWaiting; want != (len(p.Questions) == 1) {
				t.Errorf("got questions %v", p.Questions)
			}
			if d := b.restart(run, engine.RestartRequest{Step: "2", Answer: engine.Data(`{"choice": "Allow", "reason": "well"}`)}); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			end := engine.RunDone
			if tt.status == engine.RunFailed {
				end = engine.RunFailed
			}
			b.bell.until(t, "the run came to its end", func() bool { r := b.run(run); return r.Status == end && r.Generation == 2 })
			did := b.world.did()[before:]
			if did[len(did)-1] != "sim.put did Allow" {
				t.Errorf("got calls %v", did)
			}
			b.facts(incident, map[string]engine.Value{"choice": "Allow"})
			if qs, _, _ := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10); len(qs) > 0 {
				t.Errorf("got questions %+v still open", qs)
			}
			if left := b.run(run).Branches[0]; left.Status != tt.status {
				t.Errorf("got the branch left as %s", left.Status)
			}
			b.rebuilds()
		})
	}
}

// TestRestartOfARunThatRuns: its carrying is stopped, and what an effect changed
// meanwhile is taken back, too.
func TestRestartOfARunThatRuns(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.put('a')\n    sim.block('02:00:00:00:00:07', expires = '8h')\n    sim.put('b')\n")
	begun, finish := make(chan struct{}, 2), make(chan struct{})
	b.world.on("sim.block", func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		begun <- struct{}{}
		<-finish
		return doBlock(ctx, c)
	})
	incident, run := b.start()
	<-begun
	p := b.preview(run, engine.RestartRequest{Step: "1"})
	equal(t, "unknown", builtins(p.Unknown), []string{"2 sim.block"})
	if d := b.restart(run, engine.RestartRequest{Step: "1"}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	close(finish)
	b.status(run, engine.RunDone)
	var late engine.Change
	b.bell.until(t, "the late change is taken back", func() bool {
		for _, c := range b.changes(incident) {
			if c.Status == engine.ChangeUndone {
				late = c
			}
		}
		return late.ID != ""
	})
	contains(t, "undone by", late.UndoneBy, "the restart of run "+run)
	if n := len(b.changes(incident)); n < 2 {
		t.Errorf("got %d changes, want that of the new branch, too", n)
	}
	b.rebuilds()
}

// TestRestartWithTheLiveScripts: the corrected script goes on from where it was
// wrong; one that differs before is refused, and both were known before.
func TestRestartWithTheLiveScripts(t *testing.T) {
	t.Parallel()
	source := "def f(i):\n    a = sim.read('one')\n    b = sim.put('two')\n    fail('oops')\n"
	b := playbook(t, source)
	incident, run := b.start()
	b.status(run, engine.RunFailed)
	if p := b.preview(run, engine.RestartRequest{Step: "2", Current: true}); p.Differs != nil || p.Bundle != b.bundle {
		t.Errorf("got %+v of the same scripts", p)
	}
	b.activate("# a remark\n" + strings.Replace(source, "    fail('oops')\n", "    i.set(a = a, b = b)\n", 1))
	calls := len(b.world.did())
	records := b.ledger.Size(0)
	if p := b.preview(run, engine.RestartRequest{Step: "2", Current: true}); p.Differs != nil || p.Bundle != b.bundle {
		t.Errorf("got %+v, want no difference", p)
	}
	b.activate(strings.Replace(source, "'two'", "'deux'", 1))
	records++
	p := b.preview(run, engine.RestartRequest{Step: "2", Current: true})
	if p.Differs == nil || p.Differs.Step != "2" || p.Differs.Before {
		t.Errorf("got %+v, want a difference at step 2", p.Differs)
	}
	b.activate(strings.Replace(source, "'one'", "'un'", 1))
	records++
	p = b.preview(run, engine.RestartRequest{Step: "2", Current: true})
	if p.Differs == nil || p.Differs.Step != "1" || !p.Differs.Before || !strings.Contains(p.Differs.Message, `now:      sim.read {"what":"un"}`) {
		t.Errorf("got %+v, want a difference at step 1", p.Differs)
	}
	if _, err := b.runner.Restart(t.Context(), run, engine.RestartRequest{Step: "2", Current: true, By: "ana"}); engine.KindOf(err) != engine.Conflict {
		t.Errorf("got %v, want the restart refused", err)
	}
	if len(b.world.did()) != calls || b.ledger.Size(0) != records {
		t.Errorf("the previews did something: %d calls, %d records", len(b.world.did())-calls, b.ledger.Size(0)-records)
	}
	b.activate("# a remark\n" + strings.Replace(source, "    fail('oops')\n", "    sleep('1h')\n    i.set(a = a, b = b)\n", 1))
	if d := b.restart(run, engine.RestartRequest{Step: "2", Current: true}); !d.Applied {
		t.Fatalf("got %+v", d)
	}
	b.status(run, engine.RunWaiting)
	b.reopen() // it is replayed against both bundles' steps
	b.advance(time.Hour)
	r := b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"a": "one", "b": "two"})
	equal(t, "calls", b.world.did(), []string{"sim.read one", "sim.put two", "sim.put two"})
	if r.Bundle != b.bundle || r.Branches[0].Bundle == b.bundle {
		t.Errorf("got the run of bundle %s, was %s", r.Bundle, r.Branches[0].Bundle)
	}
	b.rebuilds()
}

// TestRestartAgainAndAgain: a chain of generations, cut here and there.
func TestRestartAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = sim.put('a')\n    b = sim.put('b')\n    c = sim.put('c')\n    d = sim.put('d')\n    i.set(all = a + b + c + d)\n")
	incident, run := b.play()
	for n, in := range []engine.RestartRequest{
		{Step: "3", Answer: engine.Data(`"C"`)}, {Step: "4", Answer: engine.Data(`"D"`)}, {Step: "2", Answer: engine.Data(`"B"`)}, {Step: "4"},
	} {
		if d := b.restart(run, in); !d.Applied {
			t.Fatalf("%d: got %+v", n, d)
		}
		b.status(run, engine.RunDone)
		want := []string{"abCd", "abCD", "aBcd", "aBcd"}[n]
		b.facts(incident, map[string]engine.Value{"all": want})
	}
	for g, want := range map[int]string{1: "a b c d", 2: "a b C d", 3: "a b C D", 4: "a B c d", 5: "a B c d"} {
		steps, err := b.state.StepsOf(run, g)
		must(t, err)
		var got []string
		for _, s := range steps[:4] {
			v, err := s.Result.Value()
			must(t, err)
			got = append(got, fmt.Sprint(v))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("generation %d: got %v, want %s", g, got, want)
		}
	}
	b.rebuilds()
}

func TestARestartThatCannotBe(t *testing.T) {
	t.Parallel()
	b, _, run := houseDone(t)
	for name, tt := range map[string]struct {
		run  string
		in   engine.RestartRequest
		kind engine.Kind
		want string
	}{
		"no run":       {"r0-99", engine.RestartRequest{Step: "1"}, engine.NotFound, ""},
		"no step":      {run, engine.RestartRequest{Step: "99"}, engine.NotFound, "has no step 99"},
		"no number":    {run, engine.RestartRequest{Step: "first"}, engine.Invalid, "want the number"},
		"no choice":    {run, engine.RestartRequest{Step: "2", Answer: engine.Data(`"Perhaps"`)}, engine.Invalid, "want one of the choices: Allow, Block"},
		"no JSON":      {run, engine.RestartRequest{Step: "2", Answer: engine.Data(`{`)}, engine.Invalid, "not JSON"},
		"no answer":    {run, engine.RestartRequest{Step: "2", Answer: engine.Data(`7`)}, engine.Invalid, "want a choice"},
		"another key":  {run, engine.RestartRequest{Step: "2", Answer: engine.Data(`{"choise": "Allow"}`)}, engine.Invalid, `no "choise"`},
		"wrong fields": {run, engine.RestartRequest{Step: "2", Answer: engine.Data(`{"choice": "Allow", "fields": 7}`)}, engine.Invalid, "want an object"},
		"other shape":  {run, engine.RestartRequest{Step: "1", Answer: engine.Data(`7`)}, engine.Invalid, "want a JSON object"},
	} {
		_, err := b.runner.Restart(t.Context(), tt.run, tt.in)
		if engine.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s: %s", name, err, tt.kind, tt.want)
		}
	}
	undo := b.restart(run, engine.RestartRequest{})
	b.status(run, engine.RunUndone)
	if d := b.restart(run, engine.RestartRequest{}); !undo.Applied || d.Applied || d.Why != "it was undone already" {
		t.Errorf("got %+v, then %+v", undo, d)
	}
}

// TestUndoAWholeRun: all it changed is taken back, the newest first; it ends as
// undone and may be restarted.
// TestARestartWhileAChangeIsTakenBack: what it makes anew would be taken back in
// place of the old.
func TestARestartWhileAChangeIsTakenBack(t *testing.T) {
	t.Parallel()
	b, incident, run := houseDone(t)
	begun, release := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
		close(begun)
		<-release
		return engine.Result{}, nil
	})
	second := b.changes(incident)[1]
	d, err := b.runner.UndoChange(context.Background(), second.ID, "ana", "", false)
	must(t, err)
	if <-begun; !d.Applied {
		t.Fatalf("got %+v", d)
	}
	again := engine.RestartRequest{Step: "2", Answer: engine.MustEncode("Block"), By: "ana", How: "page"}
	if _, err = b.runner.Restart(context.Background(), run, again); engine.KindOf(err) != engine.Conflict {
		t.Fatalf("got %v, want a conflict", err)
	}
	contains(t, "why", err.Error(), "is being taken back by run", "restart it when that has ended")
	let()
	b.bell.until(t, "the change is taken back", func() bool { return b.changes(incident)[1].Status == engine.ChangeUndone })
	b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) { return engine.Result{}, nil })
	if d := b.restart(run, engine.RestartRequest{Step: "2", Answer: engine.MustEncode("Block")}); !d.Applied {
		t.Errorf("got %+v, want applied", d)
	}
}

func TestUndoAWholeRun(t *testing.T) {
	t.Parallel()
	b, incident, run := houseDone(t)
	equal(t, "preview", titles(b.preview(run, engine.RestartRequest{}).Undone), []string{"lamp", "block 02:00:00:00:00:02", "block 02:00:00:00:00:01"})
	before := len(b.world.did())
	b.restart(run, engine.RestartRequest{})
	r := b.status(run, engine.RunUndone)
	equal(t, "calls", b.world.did()[before:], []string{"sim.tag off lamp", "sim.unblock 02:00:00:00:00:02", "sim.unblock 02:00:00:00:00:01"})
	if r.Generation != 1 || r.Ended.IsZero() || r.Restart != nil {
		t.Errorf("got %+v", r)
	}
	contains(t, "story", b.story(incident), "ana | takes back what the run changed")
	if _, ok, err := b.state.NextTimer(0); ok || err != nil {
		t.Errorf("a timer is left (error %v)", err)
	}
	b.rebuilds()
}

// TestOnFailureUndo: a rule may want that what a failed run changed is taken back.
func TestOnFailureUndo(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.block('02:00:00:00:00:01')\n    sim.block('02:00:00:00:00:02')\n    fail('oops')\n\ndef g(i):\n    fail('nothing to undo')\n")
	incident, run := b.startWith(record.EventMatched{OnFailure: "undo"})
	r := b.status(run, engine.RunUndone, engine.RunFailed)
	if r.Status == engine.RunFailed { // seen before the frame's end is impossible: one record does both
		t.Errorf("got %+v", r)
	}
	equal(t, "calls", b.world.did("sim.unblock"), []string{"sim.unblock 02:00:00:00:00:02", "sim.unblock 02:00:00:00:00:01"})
	if r.Error == nil || r.Error.Message != "oops" || b.incident(incident).Status != engine.IncidentOpen {
		t.Errorf("got %+v", r)
	}
	_, run = b.startWith(record.EventMatched{OnFailure: "undo", Do: engine.Handler{File: "a.star", Name: "g"}})
	b.status(run, engine.RunFailed)
	b.rebuilds()
}

// TestAnUndoThatStopsARestart: people may let a restart stop at a change that
// cannot be taken back, or leave that as it is.
func TestAnUndoThatStopsARestart(t *testing.T) {
	for choice, want := range map[string]string{"Stop": engine.RunFailed, "Leave it as it is": engine.RunDone, "Try again": engine.RunDone} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			b, incident, run := houseDone(t)
			refused := true
			b.world.on("sim.unblock", func(context.Context, *engine.Call) (engine.Result, error) {
				if refused {
					return engine.Result{}, engine.Errorf(engine.Denied, "sim: not you")
				}
				return engine.Result{}, nil
			})
			b.restart(run, engine.RestartRequest{Step: "1"})
			q := b.question()
			if b.run(run).Status != engine.RunWaiting || b.incident(incident).Status != engine.IncidentOpen || len(q.Choices) != 3 {
				t.Errorf("got the run %s, question %+v", b.run(run).Status, q)
			}
			if d := b.restart(run, engine.RestartRequest{Step: "1"}); d.Applied || d.Why != "it is being restarted from step 1 already, by ana" {
				t.Errorf("got %+v", d)
			}
			refused = choice != "Try again"
			b.answer(q.ID, engine.Reply{Choice: choice, By: engine.Addressee{Name: "dave"}})
			if choice == "Leave it as it is" { // there are two blocks
				b.bell.until(t, "the other is asked about", func() bool { return b.question().ID != q.ID })
				b.answer(b.question().ID, engine.Reply{Choice: choice, By: engine.Addressee{Name: "dave"}})
			}
			if choice != "Stop" {
				b.bell.until(t, "the run asks again", func() bool { return b.question().Run == run })
				b.answer(b.question().ID, engine.Reply{Choice: "Allow", By: engine.Addressee{Name: "dave"}})
			}
			r := b.status(run, want)
			failed := 0
			for _, c := range b.changes(incident) {
				if c.Status == engine.ChangeUndoFailed {
					failed++
				}
			}
			if got := map[string]int{"Stop": 2, "Leave it as it is": 2}[choice]; failed != got {
				t.Errorf("got %d changes not undone, want %d", failed, got)
			}
			if choice == "Stop" && (r.Error == nil || !strings.Contains(r.Error.Message, "the restart from step 1 stopped: block 02:00:00:00:00:02 could not be taken back: sim: not you")) {
				t.Errorf("got %s", describe(r.Error))
			}
			b.rebuilds()
		})
	}
}

// restarted plays the house, and a restart of it, wherever the power goes out.
func restarted(t *testing.T, cut int, atNext bool) string {
	b, _, run := houseDone(t)
	happened := theWorld(b)
	b.close()
	b.open()
	first := b.power.count()
	if cut > 0 {
		b.power.after(cut, atNext)
	}
	_, _ = b.runner.Restart(context.Background(), run, engine.RestartRequest{Step: "2", Answer: engine.Data(`"Allow"`), By: "ana", How: "page"}) // the power may go out
	b.settles(run)
	if cut > 0 {
		b.reopen()
		if r := b.run(run); r.Generation == 1 && r.Restart == nil {
			b.restart(run, engine.RestartRequest{Step: "2", Answer: engine.Data(`"Allow"`)}) // it was never recorded
		}
		b.settles(run)
	}
	return b.ending(happened) + fmt.Sprint(cut == 0, " ", b.power.count()-first, " commits")
}

// settles waits until a run came to the end of its second generation, or the
// power is out.
func (b *box) settles(run string) {
	b.t.Helper()
	b.bell.until(b.t, "the restart is over", func() bool {
		if b.power.isOut() {
			return true
		}
		r := b.run(run)
		ready, err := b.state.Ready(0)
		must(b.t, err)
		return len(ready) == 0 && r.Generation == 2 && r.Status != engine.RunRunning
	})
}

// TestACrashInARestart: wherever the power goes out in a restart and its undo, it
// comes to the same end.
func TestACrashInARestart(t *testing.T) {
	t.Parallel()
	want, commits, _ := strings.Cut(restarted(t, 0, false), "true ")
	var n int
	if _, err := fmt.Sscan(commits, &n); err != nil || n < 8 {
		t.Fatalf("got %q commits: the story is too short to say much", commits)
	}
	contains(t, "without a crash", want, "lamp undone", "block 02:00:00:00:00:02 undone", "block 02:00:00:00:00:01 in_force")
	for cut := 1; cut < n; cut++ {
		for _, atNext := range []bool{false, true} {
			t.Run(fmt.Sprint(cut, atNext), func(t *testing.T) {
				t.Parallel()
				if got, _, _ := strings.Cut(restarted(t, cut, atNext), "false "); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// TestAWorkerKilledInARestart: after each record of a restart, whose changes an
// undo takes back first; the replays in another process change nothing.
func TestAWorkerKilledInARestart(t *testing.T) {
	p := ownPool(t, nil)
	want := ""
	for at, last := int64(0), int64(1); at <= last; at++ {
		b := playbookWith(t, boxConfig{pool: p}, house)
		_, run := b.start()
		b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
		b.status(run, engine.RunDone)
		happened := theWorld(b)
		var seen atomic.Int64
		b.onNotice.Store(func(state.Notice) {
			if seen.Add(1) == at {
				if pid := p.Status()[0].PID; pid > 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
				}
			}
		})
		b.restart(run, engine.RestartRequest{Step: "2", Answer: engine.Data(`"Allow"`)})
		b.settles(run)
		b.status(run, engine.RunDone)
		got := b.ending(happened)
		if at == 0 {
			want, last = got, seen.Load()
			contains(t, "without a kill", want, "lamp undone", "block 02:00:00:00:00:02 undone", "block 02:00:00:00:00:01 in_force")
		}
		if got != want {
			t.Errorf("killed after record %d: got\n%s\nwant\n%s", at, got, want)
		}
		b.close()
	}
}
