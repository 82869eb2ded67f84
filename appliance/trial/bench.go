package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/wire"
	"larkspur/scripts"
)

// Bench executes the tests of a workspace. Each has an appliance of its own that
// is thrown away: the real intake, runner and ledger, in virtual time, with fakes
// in place of the world. A test runs in a worker of one pool, the playbooks that
// it starts in another, so that it outlives the death of their worker.
type Bench struct {
	// Tests has loaded the bundle with its tests; Runs carries playbooks.
	Tests, Runs  *sandbox.Pool
	Config       *config.Config
	Rules        Rules
	Declarations engine.Declarations
	Version      string
	// Evaluator makes one for each test: what it remembers of a where is no other
	// test's concern.
	Evaluator func(engine.Clock) intake.Evaluator
	// Switched loads the workspace with other settings than its own, for the pool
	// of the playbooks.
	Switched func(context.Context, scripts.Settings) (*scripts.Live, error)
}

// Statuses of a test.
const (
	Passed = "passed"
	Failed = "failed"
)

// Result is what became of a test.
type Result struct {
	engine.Test
	Status  string
	At      string // file:line:col where it failed
	Message string
	Hint    string
	Elapsed time.Duration
	Printed []string
}

// longest is how long a test may take before it is given up: a playbook that goes
// on for ever ends its test only.
const longest = time.Minute

// firstMoment is when every test begins: a Monday morning in the workspace's zone.
func firstMoment(zone *time.Location) time.Time {
	return time.Date(2026, 1, 5, 9, 0, 0, 0, zone).UTC()
}

// Run executes one test. The error is of the bench, not of the test.
func (b *Bench) Run(ctx context.Context, test engine.Test) (Result, error) {
	began := time.Now()
	at, err := openStand(b.Rules, b.Evaluator, firstMoment(b.Config.Zone))
	if err != nil {
		return Result{}, err
	}
	t := newTest(b, at)
	defer t.forget()
	limited, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	failure, err := t.run(limited, test)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		failure, err = engine.Errorf(engine.Script, "the test takes longer than a minute").WithHint("does a playbook go on for ever?"), nil
		failure.At = t.at
	}
	if err = errors.Join(err, at.close()); err != nil {
		return Result{}, err
	}
	r := Result{Test: test, Status: Passed, Elapsed: time.Since(began), Printed: t.printed}
	if failure != nil {
		r.Status, r.Message, r.Hint, r.At = Failed, failure.Message, failure.Hint, failure.At
		if r.At == "" {
			r.At = (engine.Position{File: test.File, Line: test.Line, Col: 1}).String()
		}
	}
	return r, nil
}

// trialTest is one test in execution. For one goroutine.
type trialTest struct {
	Bench // a copy: t.playbook changes what it declares
	*stand
	player   *player
	call     *sandbox.Call
	fakes    map[string]*benchFake
	delays   map[string]time.Duration
	builtins *fakes
	started  []*started // what the words of t started, for live views
	printed  []string
	at       string       // where the test stands
	scene    *engine.Test // set where a replay asks the test, instead of executing it
	sent     int          // events and firings
	// faking is the call whose fake is under way; crashed are the steps in which
	// the worker died, by key.
	faking  *engine.Call
	crashed map[string]bool
	// broken is what is wrong with the test's own fakes: whatever the playbook
	// makes of it, the test fails.
	broken *engine.Error
	// bundle is the test's own; switched are those that t.playbook made since, the
	// last of block.
	bundle   string
	switched []string
	block    string
}

func newTest(b *Bench, at *stand) *trialTest {
	t := &trialTest{Bench: *b, bundle: b.Rules.Bundle, stand: at, fakes: map[string]*benchFake{}, delays: map[string]time.Duration{}, crashed: map[string]bool{}}
	t.builtins = newFakes(t)
	t.player = newPlayer(Playbooks{Pool: b.Runs, Config: b.Config, Version: b.Version}, at, t.builtins)
	return t
}

// run answers the words of t until the test ends.
func (t *trialTest) run(ctx context.Context, test engine.Test) (failure *engine.Error, err error) {
	if err := t.open(ctx, test); err != nil {
		return nil, err
	}
	defer t.call.Close()
	event, err := t.serve(ctx)
	var death *sandbox.Death
	switch {
	case asDeath(err, &death):
		return t.death(death), nil
	case err != nil:
		return nil, err
	}
	ended := event.(*wire.Ended)
	if ended.Status == engine.RunDone {
		return nil, nil
	}
	failure = ended.Error
	if failure == nil {
		failure = engine.Errorf(engine.Internal, "the test was cancelled")
	}
	return t.explained(failure)
}

// open begins to execute the test.
func (t *trialTest) open(ctx context.Context, test engine.Test) (err error) {
	people := make([]engine.Person, 0, len(t.Config.People))
	for _, p := range t.Config.People {
		people = append(people, p)
	}
	t.call, err = t.Tests.StartTest(ctx, wire.Test{Bundle: t.bundle, File: test.File, Name: test.Name, People: people})
	return err
}

// asDeath finds out whether an error is the death of a worker.
func asDeath(err error, death **sandbox.Death) bool { return errors.As(err, death) }

// serve answers steps until something else comes: the end, or a fake's result.
func (t *trialTest) serve(ctx context.Context) (sandbox.Event, error) {
	for {
		event, err := t.call.Next(ctx)
		if err != nil {
			return nil, err
		}
		step, ok := event.(*wire.Step)
		if !ok {
			return event, nil
		}
		t.at = step.At
		answer, err := t.step(ctx, step)
		if err != nil {
			return nil, err
		}
		if err := t.call.Answer(step, answer); err != nil {
			return nil, err
		}
	}
}

// step performs a word of t. Faults of ours end the bench; all others are the
// test's.
func (t *trialTest) step(ctx context.Context, s *wire.Step) (wire.Answer, error) {
	args, err := s.Args.Value()
	if err != nil {
		return wire.Answer{}, err
	}
	m, _ := args.(map[string]engine.Value)
	v, err := t.word(ctx, strings.TrimPrefix(s.Builtin, "t."), m)
	if errors.Is(err, sandbox.ErrDied) || errors.Is(err, sandbox.ErrClosed) || ctx.Err() != nil {
		return wire.Answer{}, err // the test's worker is gone
	}
	if t.broken != nil && t.faking == nil {
		v, err = nil, t.broken
	}
	if err != nil {
		return wire.Answer{Error: engine.AsError(err)}, nil
	}
	result, err := engine.Encode(v)
	return wire.Answer{Result: result}, err
}

// death says what ended the test's worker.
func (t *trialTest) death(d *sandbox.Death) *engine.Error {
	e := engine.Errorf(engine.Script, "the test ended the process that ran it: %s", d.Detail)
	switch d.Why {
	case sandbox.DiedMemory:
		e = engine.Errorf(engine.Script, "the test uses more memory than a worker has").WithHint("look for a list or a string that grows without bound")
	case sandbox.DiedTime:
		e = engine.Errorf(engine.Script, "the test computes for too long").WithHint("look for a sort or a number without bound")
	}
	if e.At = d.At; !engine.IsTestFile(e.At[:max(strings.IndexByte(e.At, ':'), 0)]) {
		e.At = t.at // a helper of the playbooks was under way
	}
	return e
}

// explained adds to a failure what a person would look for next: runs that
// failed, and answers that nobody asked for.
func (t *trialTest) explained(e *engine.Error) (*engine.Error, error) {
	said := *e
	runs, err := t.allRuns()
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.Error == nil || t.broken != nil {
			continue
		}
		said.Message += fmt.Sprintf("\n  run %s is %s: %s: %s", r.ID, r.Status, r.Error.At, r.Error.Message)
		if r.Error.Hint != "" && said.Hint == "" {
			said.Hint = r.Error.Hint
		}
	}
	for _, line := range t.player.unused() {
		said.Message += "\n  " + line
	}
	return &said, nil
}

// allRuns returns every run of the test, the oldest first.
func (t *trialTest) allRuns() ([]engine.Run, error) {
	all, err := state.All(func(cursor string) ([]engine.Run, string, error) {
		return t.state.Runs(engine.RunFilter{}, cursor, pageSize)
	})
	slices.Reverse(all)
	return all, err
}

const pageSize = 200
