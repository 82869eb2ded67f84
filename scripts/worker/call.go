package worker

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
)

// MaxSteps bounds a journal.
const MaxSteps = 10_000

// call is one run in execution. One of its branches runs at any moment and owns
// all fields; answers and cancellation come from the server's goroutine.
type call struct {
	env       *environment
	bundle    *bundle
	run       wire.Run
	converter *converter
	tell      func(kind string, body any) error // the supervisor: a step, a rest
	answers   *wire.Queue[wire.Answer]
	gone      chan struct{} // closed when the call is cancelled

	*branch // that runs
	turns   turns
	journal *journal
	steps   int // of all branches
	from    int // the first step of the do of a change that is being made
	clock   runClock

	event  starlark.Value // of the run's incident
	opened starlark.Value
}

func newCall(env *environment, b *bundle, run wire.Run, tell func(kind string, body any) error) *call {
	c := &call{env: env, bundle: b, run: run, tell: tell, answers: wire.NewQueue[wire.Answer](), gone: make(chan struct{})}
	c.converter = &converter{bundle: b, call: c}
	c.journal = newJournal(env, run)
	c.branch = c.newBranch("")
	c.turns.thread.Store(c.thread)
	return c
}

// execute runs the handler from the top to its end.
func (c *call) execute() wire.Ended {
	value, err := c.invoke()
	c.turns.work.Wait()
	select {
	case <-c.gone:
		return wire.Ended{Status: endedCancelled}
	default:
	}
	if c.ticks.broken != nil {
		return wire.Ended{Status: endedFailed, Error: c.ticks.broken, Backtrace: backtrace(err)}
	}
	if err == nil || !isStop(err) {
		if step, diverged := c.journal.leftOver(); diverged != nil {
			return wire.Ended{Status: endedDiverged, Step: step, Error: diverged}
		}
	}
	if err != nil {
		ended := wire.Ended{Status: endedFailed, Error: scriptError(err), Backtrace: backtrace(err)}
		if s := asStop(err); s != nil {
			ended.Status, ended.Step = s.status, s.step
		}
		if ended.Status == endedDone { // continue_as
			return wire.Ended{Status: endedDone}
		}
		return ended
	}
	ended := wire.Ended{Status: endedDone}
	if plain, err := c.converter.toValue(value); err == nil { // a function is no value, and nobody's concern
		ended.Value, _ = engine.Encode(plain)
	}
	return ended
}

// invoke finds the function and its arguments, and calls it.
func (c *call) invoke() (starlark.Value, error) {
	fn, err := c.bundle.function(c.run.Handler)
	if err != nil {
		return nil, err
	}
	if err := c.constants(); err != nil {
		return nil, err
	}
	args, kwargs, err := c.arguments()
	if err != nil {
		return nil, err
	}
	return starlark.Call(c.thread, fn, args, kwargs)
}

// constants decodes what never changes about the incident.
func (c *call) constants() (err error) {
	own := c.run.Incident
	if own == nil {
		return nil
	}
	if c.opened, err = c.converter.fromData(own.Opened); err != nil {
		return fmt.Errorf("incident: opened: %w", err)
	}
	c.event = starlark.None
	event, err := own.Event.Value()
	if err != nil {
		return fmt.Errorf("incident: event: %w", err)
	}
	if m, ok := event.(map[string]engine.Value); ok {
		c.event, err = c.converter.newEvent(m)
	}
	return err
}

// arguments decodes First and Args.
func (c *call) arguments() (starlark.Tuple, []starlark.Tuple, error) {
	first, err := c.run.First.Value()
	if err != nil {
		return nil, nil, fmt.Errorf("run: first: %w", err)
	}
	list, _ := first.([]engine.Value)
	positional, err := c.converter.fromList(list)
	if err != nil {
		return nil, nil, fmt.Errorf("run: first: %w", err)
	}
	named, err := c.run.Args.Value()
	if err != nil {
		return nil, nil, fmt.Errorf("run: args: %w", err)
	}
	m, _ := named.(map[string]engine.Value)
	kwargs := make([]starlark.Tuple, 0, len(m))
	for _, name := range sortedKeys(m) {
		v, err := c.converter.fromValue(m[name])
		if err != nil {
			return nil, nil, fmt.Errorf("run: args: %s: %w", name, err)
		}
		kwargs = append(kwargs, starlark.Tuple{starlark.String(name), v})
	}
	return positional, kwargs, nil
}

// perform makes one step: answered by the journal, or by the supervisor.
func (c *call) perform(w *word, args map[string]engine.Value) (starlark.Value, error) {
	if w == nil {
		return nil, engine.Errorf(engine.Internal, "this word is not known to the supervisor")
	}
	step, err := c.next(w, args)
	if err != nil {
		return nil, err
	}
	answer, err := c.await(step)
	if err != nil {
		return nil, err
	}
	c.clock.set(answer.Ended)
	c.ticks.renew()
	if answer.Error != nil {
		e := *answer.Error
		e.At = "" // where this script stands counts
		return nil, &e
	}
	v, err := c.converter.fromData(answer.Result)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, w.Name+": result")
	}
	return v, nil
}

// next numbers and describes the step.
func (c *call) next(w *word, args map[string]engine.Value) (*wire.Step, error) {
	class, err := w.class(args)
	if err != nil {
		return nil, err
	}
	data, err := engine.Encode(args)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, w.Name)
	}
	if c.steps >= MaxSteps {
		return nil, &stop{status: endedFailed, err: engine.Errorf(engine.Script, "%s would be step %d: a run may have %d", w.Name, c.steps+1, MaxSteps).
			WithCause(causeLimit).WithHint("continue_as(fn, args) goes on with a fresh journal")}
	}
	c.steps++
	c.number++
	from := c.from
	c.from = 0
	return &wire.Step{
		From: from, Path: c.path, Number: c.number, Builtin: w.Name, Version: w.Version, Class: class,
		At: formatPosition(here(c.thread)), Args: data, Hash: c.journal.hash(w.spoken(args, data)), Ticks: c.thread.Steps,
	}, nil
}

// limit is what is left of the attempts around, at least a nanosecond: the
// supervisor decides that time is over, and records it.
func (c *call) limit() int64 {
	if len(c.limits) == 0 {
		return 0
	}
	first := c.limits[0]
	for _, end := range c.limits[1:] {
		if end.Before(first) {
			first = end
		}
	}
	return int64(max(first.Sub(c.clock.now()), 1))
}

// runClock is the run's time: that of the last answer, and what went by since.
// It bounds steps and decides nothing.
type runClock struct {
	last  time.Time // of the supervisor
	since time.Time // ours, monotonic
}

func (r *runClock) set(t time.Time) {
	if t.After(r.last) {
		r.last, r.since = t, time.Now()
	}
}

func (r *runClock) now() time.Time {
	if r.since.IsZero() {
		return r.last
	}
	return r.last.Add(time.Since(r.since))
}
