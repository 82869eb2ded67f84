package runner

import (
	"context"
	"math"
	"strings"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// sayHeld says what a run that is held waits for.
func sayHeld(by string, s *wire.Step) string {
	what := "the brake"
	if by == engine.HeldByLimit {
		what = "a person's word: its rule made as many changes as it may"
	}
	return what + ", before " + s.Builtin + " at " + s.At
}

// SetBrake presses the brake in every shard, or lets it go; what it held then goes
// on. Pressed twice, the second press has no effect and says so.
func (r *Runner) SetBrake(ctx context.Context, on bool, by, why string) (engine.Decision, error) {
	var d engine.Decision
	for _, own := range r.cfg.Ledger.Owned() {
		written, err := r.cfg.Ledger.Append(ctx, own.Shard, newRecord(record.BrakeSetKind, record.BrakeSet{By: by, On: on, Why: why}))
		if err != nil {
			return engine.Decision{}, err
		}
		o, err := outcomeOf(written[0])
		if err != nil {
			return engine.Decision{}, err
		}
		d.Applied, d.Why = d.Applied || o.Applied, o.Why
	}
	if d.Applied && !on {
		r.letGo()
	}
	return d, nil
}

// letGo has releaseHeld look. It never blocks.
func (r *Runner) letGo() {
	select {
	case r.released <- struct{}{}:
	default:
	}
}

// releaseHeld wakes what the brake held once it is let go, now and whenever letGo
// was called, until ctx ends.
func (r *Runner) releaseHeld(ctx context.Context) {
	for {
		err := r.releaseAll(ctx)
		if err != nil && ctx.Err() == nil {
			complain("what the brake held could not be woken; trying again", err)
			if r.cfg.Clock.Sleep(ctx, pauseAfterFault) == nil {
				continue
			}
		}
		select {
		case <-r.released:
		case <-ctx.Done():
			return
		}
	}
}

// heldAtOnce bounds how many runs one look takes.
const heldAtOnce = 64

// releaseAll wakes every run that the brake holds, if it is not on.
func (r *Runner) releaseAll(ctx context.Context) error {
	var b engine.Brake
	return state.Each(func(cursor string) (runs []engine.Run, next string, err error) {
		if b, err = r.cfg.State.Brake(); err != nil || b.On { // pressed again meanwhile
			return nil, "", err
		}
		return r.held("", cursor)
	}, func(run engine.Run) error {
		return r.settleHeld(ctx, run, engine.HeldByBrake, engine.Resolution{Outcome: engine.OutcomeRelease, By: b.By, Why: b.Why, How: "brake"})
	})
}

// held returns a page of the runs that are held, of one rule or, for "", of all.
func (r *Runner) held(rule, cursor string) ([]engine.Run, string, error) {
	return r.cfg.State.Runs(engine.RunFilter{Status: engine.RunHeld, Rule: rule}, cursor, heldAtOnce)
}

// settleHeld says of the steps of a run that something holds what becomes of them.
func (r *Runner) settleHeld(ctx context.Context, run engine.Run, by string, said engine.Resolution) error {
	_, err := r.settleBefore(ctx, run, by, said, math.MaxUint64)
	return err
}

// settleBefore does so with those whose start stands before a place in the ledger.
// It returns where it said so, zero for nowhere.
func (r *Runner) settleBefore(ctx context.Context, run engine.Run, by string, said engine.Resolution, before uint64) (place uint64, err error) {
	shard, _, _ := engine.ParseID('r', run.ID)
	var records []ledger.New
	for _, id := range strings.Fields(run.Held) {
		path, n, _ := engine.ParseStepID(id)
		s, err := r.stepOf(run.ID, path, n)
		if err != nil {
			return 0, err
		}
		if s.Held == by && s.Order < before {
			records = append(records, newRecord(record.StepResolvedKind, record.StepResolved{
				Run: run.ID, Generation: run.Generation, Path: path, Number: n, Outcome: said.Outcome, By: said.By, Why: said.Why, How: said.How,
			}))
		}
	}
	if len(records) == 0 {
		return 0, nil
	}
	written, err := r.cfg.Ledger.Append(ctx, shard, records...)
	if err != nil {
		return 0, err
	}
	return written[0].Header.Record, nil
}

// performLimit settles what a rule's limit holds, as people said. Done twice, the
// second finds nothing.
func performLimit(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	rule, _ := args["rule"].(string)
	said := engine.Resolution{Outcome: engine.OutcomeDrop, How: "question"}
	if goOn, _ := args["go_on"].(bool); goOn {
		said.Outcome = engine.OutcomeRelease
	}
	said.By, _ = args["by"].(string)
	said.Why, _ = args["why"].(string)
	// The first word makes the limit count anew, or ask anew: it is said of all that
	// was held before. Those that did not stand there yet when the first look was
	// taken stand there at the second, or begin their step anew.
	first := map[uint16]uint64{}
	for range 2 {
		if err := c.settleLimit(ctx, rule, said, first); err != nil {
			return wire.Answer{}, parked, err
		}
	}
	return c.answer(c.describe(s), nil, nil)
}

// settleLimit settles what stands among the held now; first is where the first word
// was said, by shard.
func (c *carrier) settleLimit(ctx context.Context, rule string, said engine.Resolution, first map[uint16]uint64) error {
	return state.Each(func(cursor string) ([]engine.Run, string, error) { return c.r.held(rule, cursor) },
		func(run engine.Run) error {
			shard, _, _ := engine.ParseID('r', run.ID)
			before, spoken := first[shard]
			if !spoken {
				before = math.MaxUint64
			}
			place, err := c.r.settleBefore(ctx, run, engine.HeldByLimit, said, before)
			if place > 0 && !spoken {
				first[shard] = place
			}
			return err
		})
}
