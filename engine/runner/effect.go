package runner

import (
	"context"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// read performs a read: it is recorded with the next frame.
func (c *carrier) read(ctx context.Context, s *wire.Step, b engine.Builtin, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if c.effects { // the world is slow: do not leave an effect unrecorded
		if ok, err := c.flush(ctx); !ok || err != nil {
			return wire.Answer{}, parked, err
		}
	}
	call := c.callOf(s, b, args)
	return c.send(ctx, &errand{
		step: s,
		do: func(ctx context.Context) (engine.Result, error) {
			limited, cancel := limit(ctx, s.Limit)
			defer cancel()
			return c.r.cfg.Builtins.Do(limited, call)
		},
		settle: func(ctx context.Context, res engine.Result, err error) (wire.Answer, verdict, error) {
			if err != nil && ctx.Err() != nil {
				return wire.Answer{}, parked, ctx.Err() // the appliance stops; the read is done again
			}
			return c.answer(c.describe(s), res.Value, asStepError(err, s))
		},
	})
}

// limit bounds a step by what is left of an attempt's timeout.
func limit(ctx context.Context, nanoseconds int64) (context.Context, context.CancelFunc) {
	if nanoseconds <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(nanoseconds))
}

func asStepError(err error, s *wire.Step) *engine.Error {
	if err == nil {
		return nil
	}
	e := *engine.AsError(err)
	e.At = s.At
	return &e
}

// callOf makes the builtin's call of a step.
func (c *carrier) callOf(s *wire.Step, b engine.Builtin, args map[string]engine.Value) *engine.Call {
	given := make(map[string]engine.Value, len(args))
	for name, v := range args {
		given[name] = v
	}
	connection, _ := given[b.ConnectionParam()].(string)
	for _, ours := range []string{"expires", "why", "effect", "probe"} {
		delete(given, ours)
	}
	delete(given, b.ConnectionParam())
	return &engine.Call{
		Name: s.Builtin, Connection: connection, Args: given, Class: s.Class, Key: c.key(s), Run: c.run.ID, Incident: c.run.Incident,
	}
}

// key is the idempotency key of a step.
func (c *carrier) key(s *wire.Step) string {
	generation := c.run.Generation
	if g := c.started[engine.StepID(s.Path, s.Number)].Generation; g != 0 {
		generation = g // it was begun there
	}
	return c.run.ID + "/" + itoa(generation) + "/" + engine.StepID(s.Path, s.Number)
}

// effect performs a step that changes the world: its start is on the disk
// before, its result after.
func (c *carrier) effect(ctx context.Context, s *wire.Step, b engine.Builtin, args map[string]engine.Value) (wire.Answer, verdict, error) {
	call := c.callOf(s, b, args)
	old, again := c.started[engine.StepID(s.Path, s.Number)]
	call.Before = readBefore(old)
	e := &errand{
		step: s,
		do:   func(ctx context.Context) (engine.Result, error) { return c.touch(ctx, s, call) },
		settle: func(_ context.Context, res engine.Result, err error) (wire.Answer, verdict, error) {
			return c.settle(c.brief(s), s, res, args, err)
		},
	}
	braked, err := c.braked(again)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	if !again || braked { // of those that began before, doubts are settled
		if ctx.Err() != nil {
			return wire.Answer{}, parked, ctx.Err()
		}
		start := c.startOf(s)
		start.Effect = true
		if start.Before, err = c.noteBefore(ctx, s, b, call); err != nil {
			if ctx.Err() != nil {
				return wire.Answer{}, parked, ctx.Err()
			}
			return c.refuse(s, asStepError(err, s))
		}
		first := newRecord(record.StepStartedKind, start)
		e.start = &first
	}
	return c.send(ctx, e)
}

// readBefore is what the builtin noted before a step began.
func readBefore(s engine.Step) engine.Value {
	if len(s.Before) == 0 {
		return nil
	}
	v, err := s.Before.Value()
	if err != nil {
		return nil // then its probe cannot tell, and people are asked
	}
	return v
}

// noteBefore has the builtin read what its probe will compare with. Branches wait
// for it: it is short, and few builtins do.
func (c *carrier) noteBefore(ctx context.Context, s *wire.Step, b engine.Builtin, call *engine.Call) (engine.Data, error) {
	call.Before = nil
	if b.Before == nil || s.Class != engine.Once {
		return nil, nil
	}
	limited, cancel := limit(ctx, s.Limit)
	defer cancel()
	v, err := b.Before(limited, call)
	if err != nil || v == nil {
		return nil, err
	}
	call.Before = v
	return engine.Encode(v)
}

// braked tells of a step that began in an earlier life whether the brake is to
// hold it; of a new one its start is told.
func (c *carrier) braked(again bool) (bool, error) {
	if !again {
		return false, nil
	}
	b, err := c.r.cfg.State.Brake()
	return b.On, err
}

func (c *carrier) startOf(s *wire.Step) record.StepStarted {
	return record.StepStarted{
		Run: c.run.ID, Generation: c.run.Generation, Path: s.Path, Number: s.Number, Builtin: s.Builtin,
		Version: s.Version, Class: s.Class, At: s.At, Args: s.Args, Hash: s.Hash, Ticks: s.Ticks,
	}
}

// graceForEffects is how long an effect that has begun may take when the
// appliance stops.
const graceForEffects = 20 * time.Second

// touch performs the effect. Nothing but the effect stands between the start on
// the disk and the world.
func (c *carrier) touch(ctx context.Context, s *wire.Step, call *engine.Call) (engine.Result, error) {
	grace, cancel := c.graceful(ctx)
	defer cancel()
	limited, cancelLimit := limit(grace, s.Limit)
	defer cancelLimit()
	return c.r.cfg.Builtins.Do(limited, call)
}

// graceful returns a context that outlives ctx by graceForEffects.
func (c *carrier) graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if c.r.cfg.Clock.Sleep(grace, graceForEffects) == nil {
			cancel()
		}
	})
	return grace, func() { stop(); cancel() }
}

// settle turns an effect's result into its record.
func (c *carrier) settle(done record.StepDone, s *wire.Step, res engine.Result, args map[string]engine.Value, err error) (wire.Answer, verdict, error) {
	c.effects = true
	b, _ := c.r.cfg.Builtins.Lookup(s.Builtin)
	takesBack := b.Change
	if err != nil {
		return c.answer(done, nil, asStepError(err, s))
	}
	if res.Change != nil && c.run.Purpose != state.PurposeUndo { // taking back is no change of its own
		change, e := c.changeOf(res.Change, args)
		if e != nil {
			return c.answer(done, nil, asStepError(e, s))
		}
		done.Change = change
	}
	for _, start := range res.Starts {
		a, e := engine.Encode(start.Args)
		if e != nil {
			return c.answer(done, nil, asStepError(e, s))
		}
		done.Starts = append(done.Starts, record.Start{Args: a, Handler: start.Handler, Purpose: start.Purpose})
	}
	if v, ok := res.Value.(engine.Struct); ok && takesBack {
		res.Value = c.undoable(v, s)
	}
	return c.answer(done, res.Value, nil)
}

// undoable makes the result of a call that can be taken back one that scripts
// can take back: r.undo().
func (c *carrier) undoable(v engine.Struct, s *wire.Step) engine.Struct {
	fields := map[string]engine.Value{"id": c.changeName(s)}
	for name, f := range v.Fields {
		fields[name] = f
	}
	return engine.Struct{Type: "change", Fields: fields}
}

func (c *carrier) changeOf(inverse *engine.Inverse, args map[string]engine.Value) (*record.Change, error) {
	a, err := engine.Encode(inverse.Args)
	if err != nil {
		return nil, err
	}
	ch := &record.Change{Title: inverse.Title, Inverse: inverse.Builtin, InverseArgs: a}
	ch.Why, _ = args["why"].(string)
	ch.Expires = c.expiry(args["expires"])
	return ch, nil
}

// expiry turns `expires` into a moment; zero is never.
func (c *carrier) expiry(v engine.Value) time.Time {
	switch v := v.(type) {
	case time.Duration:
		if v > 0 {
			return c.r.cfg.Clock.Now().Add(v)
		}
	case time.Time:
		return v.UTC()
	}
	return time.Time{}
}
