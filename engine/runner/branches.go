package runner

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/sandbox"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Branches of a parallel have several steps in flight. What touches the world is
// an errand, on a goroutine of its own; all else happens on the carrier's. The
// worker is answered in the order in which results stand in the ledger, because a
// replay follows it: while a branch waits for something from outside, whose
// record may come at any time, each result is written before it is answered.

// errand is a step's way to the world.
type errand struct {
	step  *wire.Step
	start *ledger.New // is on the disk before; nil for none
	do    func(ctx context.Context) (engine.Result, error)
	// settle makes its record and answer of what do returned.
	settle func(ctx context.Context, res engine.Result, err error) (wire.Answer, verdict, error)

	res  engine.Result
	err  error
	done chan struct{} // closed when do has returned
}

// waiting is a step that ends from outside, and what it waits for.
type waiting struct {
	step *wire.Step
	what string
}

// send does an errand: at once where nothing else goes on in the run, else beside
// those of other branches, as soon as the call rests.
func (c *carrier) send(ctx context.Context, e *errand) (wire.Answer, verdict, error) {
	if e.step.More {
		c.ready = append(c.ready, e)
		return wire.Answer{}, underway, nil
	}
	if held, v, err := c.setOut(ctx, e); err != nil || v != goOn {
		return wire.Answer{}, v, err
	} else if len(held) > 0 {
		v, err := c.park(ctx)
		return wire.Answer{}, v, err
	}
	res, err := e.do(ctx)
	return e.settle(ctx, res, err)
}

// maxAway bounds the errands of one run that are in the world at once; more wait
// until some are back.
const maxAway = 100

// rest is the moment when all branches of the call wait: errands begin, the starts
// of many in one frame; without any, the run is parked.
func (c *carrier) rest(ctx context.Context) (verdict, error) {
	for len(c.ready) > 0 && len(c.away) < maxAway {
		batch := c.batch()
		held, v, err := c.setOut(ctx, batch...)
		if err != nil || v != goOn {
			return v, err
		}
		for _, e := range batch {
			if !slices.Contains(held, e) {
				c.depart(ctx, e)
			}
		}
	}
	if len(c.away) > 0 {
		return goOn, nil
	}
	return c.park(ctx)
}

// batch takes the errands that begin next: as many as may be away, and as their
// starts fit a frame.
func (c *carrier) batch() []*errand {
	n, size := 0, 0
	for n < min(len(c.ready), maxAway-len(c.away)) {
		if start := c.ready[n].start; start != nil {
			size += len(start.Payload)
		}
		if n > 0 && size > maxPendingBytes {
			break
		}
		n++
	}
	batch := c.ready[:n]
	c.ready = c.ready[n:]
	return batch
}

// setOut writes the starts of errands, in one frame. Those that are held wait for
// people.
func (c *carrier) setOut(ctx context.Context, errands ...*errand) (held []*errand, v verdict, err error) {
	var starts []ledger.New
	var with []*errand
	for _, e := range errands {
		if e.start != nil {
			starts, with = append(starts, *e.start), append(with, e)
		}
	}
	if len(starts) == 0 && !(c.effects && len(errands) > 1) {
		return nil, goOn, nil
	}
	written, err := c.append(ctx, starts...)
	if err != nil {
		return nil, parked, err
	}
	for i, r := range written[len(written)-len(starts):] {
		switch o, err := outcomeOf(r); {
		case err != nil:
			return nil, parked, err
		case !o.Applied && o.Why == state.LetGo:
			return nil, turnAgain, nil
		case !o.Applied:
			return nil, parked, nil
		case o.Action != "":
			held = append(held, with[i])
			c.outside[engine.StepID(with[i].step.Path, with[i].step.Number)] = waiting{with[i].step, sayHeld(o.Action, with[i].step)}
		}
	}
	return held, goOn, nil
}

// depart does an errand on a goroutine of its own; collect waits for all of them.
func (c *carrier) depart(ctx context.Context, e *errand) {
	e.done = make(chan struct{})
	c.away = append(c.away, e)
	task := func() {
		e.res, e.err = e.do(ctx)
		close(e.done)
		c.call.Post(e)
	}
	if c.r.cfg.InTurn {
		task()
		return
	}
	c.errands.Go(task)
}

// back takes what came of an errand.
func (c *carrier) back(ctx context.Context, e *errand) (verdict, error) {
	c.away = slices.DeleteFunc(c.away, func(other *errand) bool { return other == e })
	a, v, err := e.settle(ctx, e.res, e.err)
	return c.deliver(ctx, e.step, a, v, err)
}

// collect waits for the errands that are away, and holds what came of them: the
// call is over, its effects are not forgotten.
func (c *carrier) collect(ctx context.Context) {
	for len(c.away) > 0 {
		e := c.away[0]
		c.away = c.away[1:]
		<-e.done
		if _, _, err := e.settle(ctx, e.res, e.err); err != nil && ctx.Err() == nil {
			slog.Warn("a step is left to the next replay", "run_id", c.run.ID, "error", err)
		}
	}
	c.errands.Wait()
}

// deliver answers a step, in the order of the ledger.
func (c *carrier) deliver(ctx context.Context, s *wire.Step, a wire.Answer, v verdict, err error) (verdict, error) {
	if v == underway {
		v = goOn
	} else if err == nil && v == goOn {
		v, err = c.tell(ctx, s, a)
	}
	return v, err
}

func (c *carrier) tell(ctx context.Context, s *wire.Step, a wire.Answer) (verdict, error) {
	if len(c.outside) > 0 {
		if ok, err := c.flush(ctx); !ok || err != nil {
			return parked, err
		}
		if err := c.look(c.place); err != nil {
			return parked, err
		}
	}
	return goOn, c.reply(s, a)
}

// reply sends an answer. That the worker died is told by Next.
func (c *carrier) reply(s *wire.Step, a wire.Answer) error {
	c.answered++
	if err := c.call.Answer(s, a); err != nil && !errors.Is(err, sandbox.ErrDied) {
		return err
	}
	return nil
}

// look answers the steps that were ended from outside, by records that stand in
// the ledger before a place.
func (c *carrier) look(before uint64) error {
	steps, err := c.r.cfg.State.Results(c.run, slices.Collect(maps.Keys(c.outside)))
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step.Order >= before {
			break
		}
		id := engine.StepID(step.Path, step.Number)
		s := c.outside[id].step
		delete(c.outside, id)
		if err := c.reply(s, wire.AnswerOf(&step)); err != nil {
			return err
		}
	}
	return nil
}

// park writes that the run waits, unless one of the steps that it waits in has
// ended meanwhile: then it takes another turn.
func (c *carrier) park(ctx context.Context) (verdict, error) {
	ids := slices.Sorted(maps.Keys(c.outside))
	if len(ids) == 0 {
		return parked, engine.Errorf(engine.Internal, "run %s: the worker waits for nothing", c.run.ID)
	}
	var what []string
	for _, id := range ids {
		what = append(what, c.outside[id].what)
	}
	first := c.outside[ids[0]].step
	o, err := c.write(ctx, newRecord(record.RunParkedKind, record.RunParked{
		Run: c.run.ID, Generation: c.run.Generation, Path: first.Path, Number: first.Number, Steps: ids[1:],
		Waits: strings.Join(what, "; "),
	}))
	if o.Applied {
		return parked, err
	}
	return turnAgain, err
}

func performParallel(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	return c.answer(c.describe(s), nil, nil) // its branches are steps of their own
}
