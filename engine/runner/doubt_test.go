package runner_test

import (
	"context"
	"testing"

	"larkspur/engine"
	"larkspur/engine/record"
)

// inDoubt returns a box whose run of a playbook stopped in doubt, after so many
// commits of its first life.
func inDoubt(t *testing.T, commits int, source string) (b *box, incident, run string) {
	t.Helper()
	b = playbook(t, source)
	b.power.after(commits, true)
	incident, run = b.start()
	b.drive()
	b.reopen()
	b.status(run, engine.RunInDoubt)
	return b, incident, run
}

func (b *box) resolve(run string, in engine.Resolution) engine.Decision {
	b.t.Helper()
	in.By, in.How = "ana", "page"
	d, err := b.runner.ResolveStep(b.t.Context(), run, in)
	must(b.t, err)
	return d
}

// rebuilds makes the projections anew and wants them to be what they were.
func (b *box) rebuilds() {
	b.t.Helper()
	b.close()
	b.idle = true
	b.open()
	before := b.projections()
	must(b.t, b.ledger.Rebuild())
	after := b.projections()
	for k, v := range before {
		if after[k] != v {
			b.t.Errorf("rebuilt key %q: got %q, want %q", k, after[k], v)
		}
	}
	for k := range after {
		if _, was := before[k]; !was {
			b.t.Errorf("rebuilt key %q: got %q, want none", k, after[k])
		}
	}
	b.idle = false
	b.reopen()
}

func (b *box) projections() map[string]string {
	view := b.store.View()
	defer view.Close()
	all := map[string]string{}
	for class := byte(0x21); class < 0x7f; class++ {
		view.Scan([]byte{class}, nil, false, func(k, v []byte) bool {
			all[string(k)] = string(v)
			return true
		})
	}
	return all
}

func TestAPersonResolvesADoubt(t *testing.T) {
	const put = "def f(i):\n    r = sim.put('x')\n    i.set(r = r)\n"
	const block = "def f(i):\n    b = sim.block('02:00:00:00:00:07', expires = '8h')\n    i.set(mac = b.mac)\n    b.undo()\n"
	tests := []struct {
		name   string
		source string
		in     engine.Resolution
		step   string // what the step is then
		fact   string
		want   engine.Value
		calls  int
		says   string
	}{
		{"it happened", put, engine.Resolution{Outcome: engine.OutcomeHappened, Value: engine.Data(`"so says the log"`), Why: "I looked"}, engine.StepDone, "r", "so says the log", 1, "ana | says of step 1, which was in doubt: it happened: I looked"},
		{"it happened, with nothing to say", put, engine.Resolution{Outcome: engine.OutcomeHappened}, engine.StepDone, "r", nil, 1, "it happened"},
		{"again", put, engine.Resolution{Outcome: engine.OutcomeAgain}, engine.StepDone, "r", "x", 2, "do it again"},
		{"skip", put, engine.Resolution{Outcome: engine.OutcomeSkip}, engine.StepSkipped, "r", nil, 1, "skip it"},
		{"a change happened", block, engine.Resolution{Outcome: engine.OutcomeHappened, Value: engine.Data(`{"mac": "as seen"}`)}, engine.StepDone, "mac", "as seen", 1, "it happened"},
		{"a change is skipped", block, engine.Resolution{Outcome: engine.OutcomeSkip}, engine.StepSkipped, "mac", nil, 1, "skip it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, incident, run := inDoubt(t, 3, tt.source)
			if s := b.steps(run)[0]; s.Status != engine.StepInDoubt || s.Error == nil || s.Resolved != nil {
				t.Errorf("got step %+v, want it in doubt", s)
			}
			tt.in.Step = "1"
			if d := b.resolve(run, tt.in); !d.Applied {
				t.Fatalf("got %+v", d)
			}
			b.status(run, engine.RunDone)
			s := b.steps(run)[0]
			if s.Status != tt.step || s.Resolved == nil || s.Resolved.By != "ana" || s.Resolved.Outcome != tt.in.Outcome || s.Resolved.How != "page" || s.Resolved.At.IsZero() {
				t.Errorf("got step %+v, resolved %+v", s, s.Resolved)
			}
			if got := b.fact(incident, tt.fact); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := len(b.world.did("sim.put", "sim.block")); got != tt.calls {
				t.Errorf("got %d calls, want %d", got, tt.calls)
			}
			contains(t, "story", b.story(incident), tt.says)
			other := engine.Resolution{Step: "1", Outcome: engine.OutcomeSkip}
			if d := b.resolve(run, other); d.Applied || d.Why != "it was resolved by ana: "+map[string]string{engine.OutcomeHappened: "it happened", engine.OutcomeAgain: "do it again", engine.OutcomeSkip: "skip it"}[tt.in.Outcome] {
				t.Errorf("twice: got %+v", d)
			}
			b.rebuilds()
		})
	}
}

func TestAResolutionThatCannotBe(t *testing.T) {
	t.Parallel()
	b, _, run := inDoubt(t, 3, "def f(i):\n    sim.block('02:00:00:00:00:07')\n")
	tests := []struct {
		name, run string
		in        engine.Resolution
		kind      engine.Kind
	}{
		{"no run", "r0-99", engine.Resolution{Step: "1", Outcome: engine.OutcomeSkip}, engine.NotFound},
		{"no step", run, engine.Resolution{Step: "9", Outcome: engine.OutcomeSkip}, engine.NotFound},
		{"no number", run, engine.Resolution{Step: "x", Outcome: engine.OutcomeSkip}, engine.Invalid},
		{"no outcome", run, engine.Resolution{Step: "1", Outcome: "perhaps"}, engine.Invalid},
		{"no JSON", run, engine.Resolution{Step: "1", Outcome: engine.OutcomeHappened, Value: engine.Data(`{`)}, engine.Invalid},
		{"another shape", run, engine.Resolution{Step: "1", Outcome: engine.OutcomeHappened, Value: engine.Data(`7`)}, engine.Invalid},
		{"another attribute", run, engine.Resolution{Step: "1", Outcome: engine.OutcomeHappened, Value: engine.Data(`{"colour": "red"}`)}, engine.Invalid},
		{"a value of nothing", run, engine.Resolution{Step: "1", Outcome: engine.OutcomeSkip, Value: engine.Data(`7`)}, engine.Invalid},
	}
	for _, tt := range tests {
		if d, err := b.runner.ResolveStep(t.Context(), tt.run, tt.in); engine.KindOf(err) != tt.kind {
			t.Errorf("%s: got %+v, %v, want an error of kind %s", tt.name, d, err, tt.kind)
		}
	}
	b.status(run, engine.RunInDoubt)
}

// TestSeveralStepsInDoubt: the run is in doubt as long as any step is, and the
// branches that are known stand still with it.
func TestSeveralStepsInDoubt(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = sim.put('a')\n    b = sim.put('b')\n    i.set(a = a, b = b)\n")
	b.close()
	b.idle = true // the run's first records are ours, as two branches leave them
	b.open()
	incident, run := b.start()
	for n, col := range []string{"", "2:16", "3:16"} {
		if n > 0 {
			b.append(0, record.StepStartedKind, record.StepStarted{
				Run: run, Generation: 1, Number: n, Builtin: "sim.put", Class: engine.Once, At: "scripts/a.star:" + col,
				Args: engine.MustEncode(map[string]engine.Value{"what": string(rune('a' + n - 1))}),
			})
		}
	}
	b.idle = false
	b.reopen()
	r := b.status(run, engine.RunInDoubt)
	contains(t, "error", r.Error.Message, "2 steps were started")
	if d := b.resolve(run, engine.Resolution{Step: "2", Outcome: engine.OutcomeAgain}); !d.Applied {
		t.Errorf("got %+v", d)
	}
	if r := b.status(run, engine.RunInDoubt); r.Doubts != 1 {
		t.Errorf("got %d doubts, want 1", r.Doubts)
	}
	b.rebuilds()
	equal(t, "calls", b.world.did("sim.put"), []string{})
	if d := b.resolve(run, engine.Resolution{Step: "1", Outcome: engine.OutcomeHappened, Value: engine.Data(`"seen"`)}); !d.Applied {
		t.Errorf("got %+v", d)
	}
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"a": "seen", "b": "b"})
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put b"})
	b.rebuilds()
}

// TestAgainIsOnce: what a person lets be done again is in doubt again when the
// power goes out in it.
func TestAgainIsOnce(t *testing.T) {
	t.Parallel()
	b, _, run := inDoubt(t, 3, "def f(i):\n    sim.put('x')\n")
	b.cut = 0
	b.power.after(2, true) // the resolution, the start
	if d := b.resolve(run, engine.Resolution{Step: "1", Outcome: engine.OutcomeAgain}); !d.Applied {
		t.Errorf("got %+v", d)
	}
	b.drive()
	b.reopen()
	b.status(run, engine.RunInDoubt)
	equal(t, "calls", b.world.did("sim.put"), []string{"sim.put x", "sim.put x"})
	if d := b.resolve(run, engine.Resolution{Step: "1", Outcome: engine.OutcomeSkip}); !d.Applied {
		t.Errorf("got %+v", d)
	}
	b.status(run, engine.RunDone)
	b.rebuilds()
}

// TestAnUndoInDoubt: an undo whose own outcome is unknown asks a person; one
// that was skipped took nothing back.
func TestAnUndoInDoubt(t *testing.T) {
	source := "def on():\n    sim.tag('on')\n\ndef off(done):\n    sim.put('off')\n\ndef f(i):\n    change('lamp', do = on, undo = off)\n    i.close('over')\n"
	for outcome, want := range map[string]string{
		engine.OutcomeHappened: engine.ChangeUndone, engine.OutcomeAgain: engine.ChangeUndone, engine.OutcomeSkip: engine.ChangeUndoFailed,
	} {
		t.Run(outcome, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, source)
			incident, _ := b.play()
			c := b.change(incident, engine.ChangeInForce)
			b.power.after(2, true) // the request, the start
			_, err := b.runner.UndoChange(t.Context(), c.ID, "dave", "", false)
			must(t, err)
			b.drive()
			b.reopen()
			undo := b.changes(incident)[0].UndoRun
			b.status(undo, engine.RunInDoubt)
			if i := b.incident(incident); i.Status != engine.IncidentOpen {
				t.Errorf("got the incident %s, want it open: somebody must look", i.Status)
			}
			if d := b.resolve(undo, engine.Resolution{Step: "1", Outcome: outcome}); !d.Applied {
				t.Errorf("got %+v", d)
			}
			b.status(undo, engine.RunDone)
			got := b.change(incident, want)
			if outcome == engine.OutcomeSkip {
				contains(t, "error", got.Error, "step 1 of the undo was skipped")
			}
			b.rebuilds()
		})
	}
}

func TestABuiltinReadsBeforeForItsProbe(t *testing.T) {
	for boot, happened := range map[string]bool{"same": false, "another": true} {
		b := playbook(t, "def f(i):\n    i.set(r = sim.put('x'))\n")
		now := "same"
		b.world.befores = map[string]func(context.Context, *engine.Call) (engine.Value, error){
			"sim.put": func(_ context.Context, c *engine.Call) (engine.Value, error) { return now, nil },
		}
		b.world.probes["sim.put"] = func(_ context.Context, c *engine.Call) (bool, engine.Result, error) {
			return c.Before != now, engine.Result{Value: "probed"}, nil
		}
		b.power.after(3, true)
		incident, run := b.start()
		b.drive()
		now = boot
		b.reopen()
		b.status(run, engine.RunDone)
		want, calls := "x", 2
		if happened {
			want, calls = "probed", 1
		}
		if got := b.fact(incident, "r"); got != want || len(b.world.did("sim.put")) != calls {
			t.Errorf("%s: got %v after %v, want %v after %d calls", boot, got, b.world.did("sim.put"), want, calls)
		}
		if c := b.world.calls[0]; c.Before != "same" {
			t.Errorf("%s: got before %v of the call itself", boot, c.Before)
		}
		b.rebuilds()
	}
}

func TestAStepThatCannotReadBeforeHasNotBegun(t *testing.T) {
	b := playbook(t, "def f(i):\n    r = attempt(lambda: sim.put('x'))\n    i.set(kind = r.error.kind, maybe = r.error.maybe)\n")
	b.world.befores = map[string]func(context.Context, *engine.Call) (engine.Value, error){
		"sim.put": func(context.Context, *engine.Call) (engine.Value, error) {
			return nil, engine.Errorf(engine.Unavailable, "it is away")
		},
	}
	incident, run := b.start()
	b.drive()
	b.status(run, engine.RunDone)
	if kind, maybe := b.fact(incident, "kind"), b.fact(incident, "maybe"); kind != "unavailable" || maybe != false || len(b.world.did("sim.put")) != 0 {
		t.Errorf("got kind %v, maybe %v, calls %v", kind, maybe, b.world.did("sim.put"))
	}
	b.rebuilds()
}
