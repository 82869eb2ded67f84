package runner

import (
	"context"
	"math"
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// awaits are what i.wait can wait for.
var awaits = []string{state.AwaitAssigned, state.AwaitTouched, state.AwaitClosed, state.AwaitAnswered}

// performAwait waits until something happens to the incident. Whether it is there
// already is decided with the record of the step's beginning.
func performAwait(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if c.run.Mode == modeShadow && text(args["incident"]) == "" {
		return c.answer(c.describe(s), false, nil) // it was not opened
	}
	if _, refused := c.ownIncident(args); refused != nil {
		return c.refuse(s, refused)
	}
	until := text(args["until"])
	if !slices.Contains(awaits, until) {
		return c.refuse(s, engine.Errorf(engine.Invalid, "incident.wait: until: got %.60q, want %s", until, strings.Join(awaits, ", ")))
	}
	start := c.startOf(s)
	start.Await = until
	c.due(s, &start, c.after(args["timeout"]))
	return c.wait(ctx, s, start, "the incident to be "+until)
}

// soon writes what is held, and answers a step that ended with the record that
// began it. It is false for one that waits.
func (c *carrier) soon(ctx context.Context, id string) (ended bool, v verdict, err error) {
	if ok, err := c.flush(ctx); !ok || err != nil {
		return true, parked, err
	}
	if err := c.look(math.MaxUint64); err != nil {
		return true, parked, err
	}
	_, waits := c.outside[id]
	return !waits, underway, nil
}

// mayEndAtOnce tells the steps whose beginning may be their end.
func mayEndAtOnce(start record.StepStarted) bool {
	return start.Await != "" || start.Lock != nil || start.Expect != nil
}
