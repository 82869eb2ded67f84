package runner

import (
	"context"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// performExpect sets an expectation before it returns: an event that comes from now
// on is not missed, whatever becomes of this process.
func performExpect(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	trigger, _ := args["trigger"].(engine.Struct)
	id := engine.StepID(s.Path, s.Number)
	value := engine.Struct{Type: "expectation", Fields: map[string]engine.Value{"step": id}}
	if c.run.Mode == modeShadow { // what it would wait for follows from effects that are not performed
		return c.answer(c.describe(s), value, nil)
	}
	p := record.ExpectSet{Due: c.after(args["timeout"]), Generation: c.run.Generation, Kind: text(trigger.Fields["kind"]), Run: c.run.ID, Step: id}
	p.Take, _ = args["take"].(bool)
	var err error
	if p.Args, err = engine.Encode(trigger.Fields["args"]); err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	globs, _ := trigger.Fields["match"].(map[string]engine.Value)
	for name, glob := range globs {
		if p.Match == nil {
			p.Match = map[string]string{}
		}
		p.Match[name] = text(glob)
	}
	if c.r.cfg.Expect != nil {
		if err := c.r.cfg.Expect(engine.Trigger{Kind: p.Kind, Args: p.Args, Match: p.Match}); err != nil {
			return c.refuse(s, asStepError(err, s))
		}
	}
	o, err := c.write(ctx, newRecord(record.ExpectSetKind, p))
	switch {
	case err != nil:
		return wire.Answer{}, parked, err
	case o.Action == state.ExpectedMany:
		e := engine.Errorf(engine.Invalid, "expect: %s", o.Why).WithHint("wait for some of them first, or give them a timeout")
		return c.refuse(s, asStepError(e, s))
	}
	return c.answer(c.describe(s), value, nil)
}

// performExpected waits for the event that a step expects.
func performExpected(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	step := text(args["step"])
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), engine.Struct{Type: "expected", Fields: map[string]engine.Value{"event": nil, "elapsed": time.Duration(0)}}, nil)
	}
	e, err := c.r.cfg.State.Expectation(c.run.ID, step)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	start := c.startOf(s)
	start.Expect = &record.Expected{Since: e.Set, Step: step}
	c.due(s, &start, e.Due)
	return c.wait(ctx, s, start, "an event of on."+e.Trigger.Kind)
}
