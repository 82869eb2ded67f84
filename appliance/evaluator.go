package appliance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
)

// Evaluator asks the workers of a pool for where and dedup functions.
func Evaluator(pool *sandbox.Pool, clock engine.Clock) intake.Evaluator {
	return &evaluator{pool: pool, clock: clock, numb: map[function]time.Time{}}
}

// maxQuestion is how many functions are asked in one message.
const maxQuestion = 256

// numbness is how long a function that ended a worker is not asked again. What it
// would have filtered counts as matched meanwhile.
const numbness = time.Minute

// overrun is the cause of an error that a bound on what a script computes made.
const overrun = "limit"

// evaluator implements intake.Evaluator. Safe for concurrent use.
type evaluator struct {
	pool  *sandbox.Pool
	clock engine.Clock

	mu   sync.Mutex
	numb map[function]time.Time // until when
}

// function is a where, or with trigger -1 the dedup, of a rule of a bundle.
type function struct {
	bundle, rule string
	trigger      int
}

// Where implements intake.Evaluator. A function that ends its worker, or takes
// much too long, has Died set for that event; the others are answered.
func (e *evaluator) Where(ctx context.Context, bundle string, items []intake.Item) ([]intake.Verdict, error) {
	out := make([]intake.Verdict, 0, len(items))
	for len(items) > 0 {
		n := min(len(items), maxQuestion)
		q := wire.Evaluate{Bundle: bundle}
		for _, item := range items[:n] {
			data, err := runner.EventData(item.Event)
			if err != nil {
				return nil, err
			}
			q.Items = append(q.Items, wire.Item{Rule: item.Rule, Trigger: item.Trigger, Event: data})
		}
		verdicts, err := e.askFeeling(ctx, q)
		if err != nil {
			return nil, err
		}
		out, items = append(out, verdicts...), items[n:]
	}
	return out, nil
}

// askFeeling asks the functions that are not numb.
func (e *evaluator) askFeeling(ctx context.Context, q wire.Evaluate) ([]intake.Verdict, error) {
	out := make([]intake.Verdict, len(q.Items))
	feeling := wire.Evaluate{Bundle: q.Bundle}
	var places []int // in out
	for i, item := range q.Items {
		if until := e.numbUntil(q.Bundle, item); !until.IsZero() {
			out[i] = intake.Verdict{Died: true, Err: engine.Errorf(engine.Script, "it ended a worker, and is not asked before %s", until.Format(time.TimeOnly))}
			continue
		}
		feeling.Items, places = append(feeling.Items, item), append(places, i)
	}
	if len(feeling.Items) == 0 {
		return out, nil
	}
	verdicts, err := e.ask(ctx, feeling)
	if err != nil {
		return nil, err
	}
	for i, v := range verdicts {
		out[places[i]] = v
	}
	return out, nil
}

// triesOfInnocents bounds how often a question is put again whose worker others
// ended.
const triesOfInnocents = 5

// ask puts one question. If it ends the worker, its halves are asked, so that in
// the end the one that does is known.
func (e *evaluator) ask(ctx context.Context, q wire.Evaluate) ([]intake.Verdict, error) {
	got, err := e.pool.Evaluate(ctx, q)
	var death *sandbox.Death
	for try := 1; errors.As(err, &death) && !death.Suspect && try < triesOfInnocents; try++ {
		got, err = e.pool.Evaluate(ctx, q)
	}
	switch {
	case errors.As(err, &death) && len(q.Items) == 1:
		e.benumb(q.Bundle, q.Items[0], death)
		return []intake.Verdict{{Died: true, Err: err, At: death.At}}, nil
	case errors.As(err, &death):
		half := len(q.Items) / 2
		first, err := e.askFeeling(ctx, wire.Evaluate{Bundle: q.Bundle, Items: q.Items[:half]})
		if err != nil {
			return nil, err
		}
		second, err := e.askFeeling(ctx, wire.Evaluate{Bundle: q.Bundle, Items: q.Items[half:]})
		return append(first, second...), err
	case err != nil:
		return nil, err
	case got.Unknown:
		return nil, engine.Errorf(engine.Internal, "the worker does not know bundle %.12s", q.Bundle)
	}
	out := make([]intake.Verdict, len(got.Verdicts))
	for i, v := range got.Verdicts {
		out[i] = intake.Verdict{Match: v.Match, Key: string(v.Key)}
		if v.Error != nil {
			out[i].Err, out[i].Died, out[i].At = v.Error, v.Error.Cause == overrun, v.Error.At // one that overruns is as good as dead
		}
	}
	return out, nil
}

func (e *evaluator) numbUntil(bundle string, item wire.Item) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := function{bundle, item.Rule, item.Trigger}
	until := e.numb[f]
	if until.After(e.clock.Now()) {
		return until
	}
	delete(e.numb, f)
	return time.Time{}
}

func (e *evaluator) benumb(bundle string, item wire.Item, death *sandbox.Death) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.numb[function{bundle, item.Rule, item.Trigger}] = e.clock.Now().Add(numbness)
	slog.Warn("a function of a rule ended its worker; its events count as matched", "rule", item.Rule, "why", death.Error(), "for", numbness)
}
