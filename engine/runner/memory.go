package runner

import (
	"context"
	"math/rand/v2"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Words of what a run remembers, and of chance. What they return is recorded, so
// that a replay sees the same.

// maxKeyBytes bounds a key of state.
const maxKeyBytes = 200

func memoryKey(args map[string]engine.Value, word string) (string, error) {
	key := text(args["key"])
	if key == "" || len(key) > maxKeyBytes {
		return "", engine.Errorf(engine.Invalid, "%s: key: got %d bytes, want 1 to %d", word, len(key), maxKeyBytes)
	}
	return key, nil
}

func performStateGet(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	key, err := memoryKey(args, s.Builtin)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if ok, err := c.flush(ctx); !ok || err != nil { // it sees what the run itself set
		return wire.Answer{}, parked, err
	}
	d, ok, err := c.r.cfg.State.Kept(c.r.cfg.Ledger.ShardOf("state", key), key, c.r.cfg.Clock.Now())
	if err != nil {
		return wire.Answer{}, parked, err
	}
	v := args["default"]
	if ok {
		if v, err = d.Value(); err != nil {
			return wire.Answer{}, parked, err
		}
	}
	return c.answer(c.describe(s), v, nil)
}

// performStateSet keeps a value: in the frame of the step's result, or, where the
// key belongs to another shard, there, once.
func performStateSet(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	key, err := memoryKey(args, s.Builtin)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	p := record.StateSet{Run: c.run.ID, Generation: c.run.Generation, Key: key, Expires: c.expiry(args["expires"])}
	if v := args["value"]; v != nil {
		if p.Value, err = engine.Encode(v); err != nil {
			return c.refuse(s, asStepError(err, s))
		}
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), nil, nil)
	}
	own, _, _ := engine.ParseID('r', c.run.ID)
	if shard := c.r.cfg.Ledger.ShardOf("state", key); shard != own {
		p.Offer = "state " + c.key(s)
		if err := c.offer(ctx, shard, newRecord(record.StateSetKind, p)); err != nil {
			return wire.Answer{}, parked, err
		}
	} else {
		c.hold(newRecord(record.StateSetKind, p))
	}
	return c.answer(c.describe(s), nil, nil)
}

// offer writes to another shard what the run's own may not hold. It says that it
// was done only after; done again by a replay, it has no second effect.
func (c *carrier) offer(ctx context.Context, shard uint16, n ledger.New) error {
	_, err := c.offered(ctx, shard, n)
	return err
}

func performToday(_ context.Context, c *carrier, s *wire.Step, _ map[string]engine.Value) (wire.Answer, verdict, error) {
	y, m, d := c.moment().In(c.r.cfg.Zone()).Date()
	return c.answer(c.describe(s), time.Date(y, m, d, 0, 0, 0, 0, c.r.cfg.Zone()), nil)
}

func performRandom(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	v, err := chance(s.Builtin, args)
	return c.answer(c.describe(s), v, asStepError(err, s))
}

// chance is what a word of random returns.
func chance(word string, args map[string]engine.Value) (engine.Value, error) {
	items := listOf(args["items"])
	switch word {
	case "random.float":
		return rand.Float64(), nil
	case "random.int":
		low, _ := args["low"].(int64)
		high, _ := args["high"].(int64)
		if span := high - low; span < 0 || span+1 <= 0 {
			return nil, engine.Errorf(engine.Invalid, "random.int: got %d to %d, want a low end and a high end, both included", low, high)
		}
		return low + rand.Int64N(high-low+1), nil
	case "random.choice":
		if len(items) == 0 {
			return nil, engine.Errorf(engine.Invalid, "random.choice: items: there is none to choose")
		}
		return items[rand.IntN(len(items))], nil
	}
	mixed := make([]engine.Value, len(items))
	for to, from := range rand.Perm(len(items)) {
		mixed[to] = items[from]
	}
	return mixed, nil
}

// performContinue starts the run that goes on in this one's place, in the frame
// of the step's result; the worker ends this one.
func performContinue(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if c.run.Purpose != state.PurposePlaybook && c.run.Purpose != state.PurposeJob {
		return c.refuse(s, engine.Errorf(engine.Invalid, "continue_as: a run that is %s cannot go on as another", c.run.Purpose))
	}
	fn, _ := args["fn"].(engine.Struct)
	with, err := engine.Encode(args["args"])
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	done := c.describe(s)
	done.Starts = []record.Start{{
		Args: with, Handler: engine.Handler{File: text(fn.Fields["file"]), Name: text(fn.Fields["name"])}, Purpose: c.run.Purpose,
	}}
	return c.answer(done, nil, nil)
}
