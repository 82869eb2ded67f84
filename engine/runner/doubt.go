package runner

import (
	"context"
	"errors"
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

// errInDoubt says that a run stands still until a person has said what became of
// its steps.
var errInDoubt = errors.New("the run is in doubt")

// journal returns the run's journal when no step of class once stands in it
// without a result: the world was asked whether those happened. errInDoubt when
// only people can say.
func (c *carrier) journal(ctx context.Context) ([]engine.Step, error) {
	journal, err := c.r.cfg.State.Journal(c.run.ID)
	if err != nil || !slices.ContainsFunc(journal, unclear) {
		return journal, err
	}
	if err := c.settleDoubts(ctx, slices.DeleteFunc(journal, func(s engine.Step) bool { return !unclear(s) })); err != nil {
		return nil, err
	}
	return c.r.cfg.State.Journal(c.run.ID)
}

// unclear tells steps of which nobody knows whether they happened.
func unclear(s engine.Step) bool {
	return s.Status == engine.StepStarted && s.Class == engine.Once
}

// settleDoubts asks the world about each step. What happened gets its result,
// what did not is performed when its turn comes; the rest puts the run in doubt,
// all at once.
func (c *carrier) settleDoubts(ctx context.Context, steps []engine.Step) error {
	doubted, fault := c.probeAll(ctx, steps)
	if fault == nil {
		for _, d := range doubted {
			c.hold(newRecord(record.StepDoubtedKind, d))
		}
	}
	if ok, err := c.flush(ctx); err != nil || fault != nil {
		return errors.Join(fault, err)
	} else if !ok || len(doubted) > 0 {
		return errInDoubt
	}
	return nil
}

func (c *carrier) probeAll(ctx context.Context, steps []engine.Step) (doubted []record.StepDoubted, err error) {
	for _, s := range steps {
		cause, known, err := c.probe(ctx, s)
		if err != nil {
			return nil, err
		}
		if !known {
			doubted = append(doubted, record.StepDoubted{
				Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number, Error: doubt(s, cause),
			})
		}
	}
	return doubted, nil
}

// probe asks the world whether a step happened, and holds its result if it did.
// known is false when the world cannot say, cause is why. An error asks for
// another try: the world does not answer now.
func (c *carrier) probe(ctx context.Context, s engine.Step) (cause error, known bool, err error) {
	b, ok := c.r.cfg.Builtins.Lookup(s.Builtin)
	if !ok || b.Probe == nil {
		return nil, false, nil
	}
	args, err := decodeArgs(s.Args)
	if err != nil || s.Erased != "" {
		return err, false, nil
	}
	c.started[engine.StepID(s.Path, s.Number)] = s
	step := &wire.Step{Path: s.Path, Number: s.Number, Builtin: s.Builtin, Version: b.Version, Class: s.Class, At: s.At, Args: s.Args, Hash: s.Hash}
	call := c.callOf(step, b, args)
	call.Before = readBefore(s)
	happened, res, err := c.r.cfg.Builtins.Probe(ctx, call)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, false, ctx.Err()
	case err != nil && retriable(err):
		return nil, false, engine.WrapError(engine.Unavailable, err, s.Builtin+": asking whether it happened")
	case err != nil:
		return err, false, nil
	case !happened:
		return nil, true, nil
	}
	done := c.brief(step)
	done.Probed = true
	_, _, err = c.settle(done, step, res, args, nil)
	return nil, true, err
}

func retriable(err error) bool {
	k := engine.KindOf(err)
	return k == engine.Timeout || k == engine.Unavailable
}

// doubt says what is not known of a step, and why the world could not say.
func doubt(s engine.Step, cause error) *engine.Error {
	e := &engine.Error{
		Kind: engine.Internal, At: s.At, Maybe: true,
		Message: s.Builtin + " was started, and nothing says whether it happened: the power went out, or the program was ended, in between",
		Hint:    "look at the system that it changes, then say here: it happened, do it again, or skip",
	}
	if cause != nil {
		e.Message += " (" + cause.Error() + ")"
	}
	return e
}

// maxSaidBytes bounds what a person says that a step returned.
const maxSaidBytes = maxResultBytes

// ResolveStep takes what a person says of a step in doubt. Errors: not_found for
// a step that the run has not, invalid for an outcome or value that cannot be.
func (r *Runner) ResolveStep(ctx context.Context, run string, in engine.Resolution) (engine.Decision, error) {
	path, n, ok := engine.ParseStepID(in.Step)
	if !ok {
		return engine.Decision{}, engine.Errorf(engine.Invalid, "step: got %q, want the number of a step, or PATH/N", in.Step)
	}
	in.Step = engine.StepID(path, n)
	of, err := r.cfg.State.Run(run)
	if err != nil {
		return engine.Decision{}, err
	}
	s, err := r.stepOf(run, path, n)
	if err != nil {
		return engine.Decision{}, err
	}
	result, err := r.said(run, s, in)
	if err != nil {
		return engine.Decision{}, err
	}
	version := 0
	if result != nil {
		version = r.versionOf(s.Builtin)
	}
	d, err := r.decide(ctx, 'r', run, record.StepResolvedKind, record.StepResolved{
		Run: run, Generation: of.Generation, Path: path, Number: n, Outcome: in.Outcome, Result: result, By: in.By, Why: in.Why, How: in.How,
		Version: version,
	})
	d.Why = r.cfg.State.LateResolution(d.Why, run, in.Step)
	return d, err
}

func (r *Runner) stepOf(run, path string, n int) (engine.Step, error) {
	steps, err := r.cfg.State.Journal(run)
	for _, s := range steps {
		if s.Path == path && s.Number == n {
			return s, nil
		}
	}
	if err == nil {
		err = engine.Errorf(engine.NotFound, "run %s has no step %s", run, engine.StepID(path, n))
	}
	return engine.Step{}, err
}

// said is the result that a step gets by what a person says of it.
func (r *Runner) said(run string, s engine.Step, in engine.Resolution) (engine.Data, error) {
	b, _ := r.cfg.Builtins.Lookup(s.Builtin)
	name := changeName(run, s.Path, s.Number)
	if in.Outcome != engine.OutcomeHappened && len(in.Value) > 0 {
		return nil, engine.Errorf(engine.Invalid, "value: only what happened has one")
	}
	switch in.Outcome {
	case engine.OutcomeAgain, engine.OutcomeRelease, engine.OutcomeDrop:
		return nil, nil
	case engine.OutcomeSkip:
		return engine.Encode(shaped(b.Signature, nil, name))
	case engine.OutcomeHappened:
		return readValue(b.Signature, in.Value, name)
	}
	return nil, engine.Errorf(engine.Invalid, "outcome: got %q, want happened, again or skip; of a step that is held, release or drop", in.Outcome)
}

// readValue reads plain JSON as the result of a builtin: an object with some of
// its attributes, where it has some; the others are None.
func readValue(sig engine.Signature, text engine.Data, change string) (engine.Data, error) {
	if len(text) > maxSaidBytes {
		return nil, engine.Errorf(engine.Invalid, "value: %d bytes, at most %d", len(text), maxSaidBytes)
	}
	var v engine.Value
	if len(text) > 0 {
		var err error
		if v, err = engine.DecodeJSON(text); err != nil {
			return nil, engine.Errorf(engine.Invalid, "value: it is not JSON: %w", err)
		}
	}
	names := sig.Attributes()
	if len(names) == 0 || v == nil {
		return engine.Encode(shaped(sig, v, change))
	}
	fields, ok := v.(map[string]engine.Value)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "value: got %s, want a JSON object with some of: %s", display(v), strings.Join(names, ", "))
	}
	for name := range fields {
		if !slices.Contains(names, name) {
			return nil, engine.Errorf(engine.Invalid, "value: %s returns no %q", sig.Name, name).WithHint("it returns: %s", strings.Join(names, ", "))
		}
	}
	return engine.Encode(shaped(sig, fields, change))
}

// shaped puts a value into the shape of a builtin's result: its struct with the
// attributes that are given. A call that can be taken back returns a change,
// whatever was said of it: taking it back then does nothing.
func shaped(sig engine.Signature, v engine.Value, change string) engine.Value {
	given, _ := v.(map[string]engine.Value)
	s, ok := sig.EmptyResult().(engine.Struct)
	if !ok && !sig.Change {
		return v
	}
	fields := map[string]engine.Value{}
	for name, f := range s.Fields {
		fields[name] = f
	}
	for name, f := range given {
		fields[name] = f
	}
	if sig.Change {
		s.Type, fields["id"] = "change", change
	}
	s.Fields = fields
	return s
}
