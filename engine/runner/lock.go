package runner

import (
	"context"
	"slices"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Who holds a lock is decided in the shard of its name. Where that is the run's
// own, the step's beginning and its place in the queue are one frame. Else the one
// shard is told what the other decided: here while the run is carried, and by
// tellLocks whenever a lock passes on while nobody is.

// maxNameBytes bounds the name of a lock.
const maxNameBytes = 200

func performLock(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	name := text(args["name"])
	if name == "" || len(name) > maxNameBytes {
		return c.refuse(s, engine.Errorf(engine.Invalid, "lock: name: got %d bytes, want 1 to %d", len(name), maxNameBytes))
	}
	id := engine.StepID(s.Path, s.Number)
	if c.run.Mode == modeShadow { // it changes nothing that would have to be guarded
		return c.answer(c.describe(s), state.LockValue(name, id), nil)
	}
	start := c.startOf(s)
	start.Lock = &record.Lock{Name: name, Shard: c.r.cfg.Ledger.ShardOf("lock", name)}
	c.due(s, &start, c.after(args["timeout"]))
	take := record.LockChanged{
		Act: record.LockTake, Generation: c.run.Generation, Name: name, Run: c.run.ID, Step: id, Token: c.key(s),
	}
	if own, _, _ := engine.ParseID('r', c.run.ID); start.Lock.Shard == own {
		return c.wait(ctx, s, start, state.SayLock(name), newRecord(record.LockChangedKind, take))
	}
	if _, again := c.started[id]; !again {
		c.outside[id] = waiting{s, state.SayLock(name)}
		c.hold(newRecord(record.StepStartedKind, start))
		if ended, v, err := c.soon(ctx, id); ended {
			return wire.Answer{}, v, err
		}
		c.started[id] = engine.Step{Path: s.Path, Number: s.Number}
	}
	if err := c.r.takeAfar(ctx, start.Lock.Shard, take); err != nil {
		return wire.Answer{}, parked, err
	}
	c.outside[id] = waiting{s, state.SayLock(name)}
	if ended, v, err := c.soon(ctx, id); ended {
		return wire.Answer{}, v, err
	}
	return c.wait(ctx, s, start, state.SayLock(name))
}

// takeAfar takes a lock of another shard than the run's, and tells the run's if it
// was to be had.
func (r *Runner) takeAfar(ctx context.Context, shard uint16, take record.LockChanged) error {
	o, err := r.offered(ctx, shard, record.LockChangedKind, take)
	if err != nil || o.Action != state.LockGranted {
		return err
	}
	return r.grant(ctx, take.Run, take.Name, take.Token)
}

// grant tells the shard of a run that it holds a lock.
func (r *Runner) grant(ctx context.Context, run, name, token string) error {
	shard, _, _ := engine.ParseID('r', run)
	_, err := r.offered(ctx, shard, record.LockChangedKind, record.LockChanged{Act: record.LockGrant, Name: name, Run: run, Token: token})
	return err
}

// offered writes one record to a shard and returns what became of it.
func (r *Runner) offered(ctx context.Context, shard uint16, kind record.Kind, payload any) (record.Outcome, error) {
	rec, err := r.cfg.Ledger.Offer(context.WithoutCancel(ctx), shard, newRecord(kind, payload))
	if err != nil {
		return record.Outcome{}, err
	}
	return outcomeOf(rec)
}

// performRelease gives a lock up, after the step that says so: a restart from
// there on holds it.
func performRelease(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	a, v, err := c.answer(c.describe(s), nil, nil)
	if c.run.Mode != modeShadow {
		c.hold(newRecord(record.LockChangedKind, record.LockChanged{
			Act: record.LockRelease, Generation: c.run.Generation, Run: c.run.ID, Step: text(args["step"]),
		}))
	}
	return c.now(ctx, a, v, err)
}

// retake has a run that was restarted hold again what it held at the place where
// its journal was cut. It is false while it waits for one of these.
func (c *carrier) retake(ctx context.Context) (bool, error) {
	if !slices.ContainsFunc(c.run.Locks, func(l engine.RunLock) bool { return l.Again && l.Waits }) {
		return true, nil
	}
	own, _, _ := engine.ParseID('r', c.run.ID)
	var records []ledger.New
	for _, l := range c.run.Locks {
		if !l.Again || !l.Waits {
			continue
		}
		take := record.LockChanged{Act: record.LockTake, Generation: c.run.Generation, Name: l.Name, Run: c.run.ID, Step: l.Step, Token: l.Token}
		if l.Shard == own {
			records = append(records, newRecord(record.LockChangedKind, take))
		} else if err := c.r.takeAfar(ctx, l.Shard, take); err != nil {
			return false, err
		}
	}
	waits := newRecord(record.LockChangedKind, record.LockChanged{Act: record.LockAwaited, Generation: c.run.Generation, Run: c.run.ID})
	o, err := c.write(ctx, append(records, waits)...)
	return !o.Applied, err
}

// tellLocks has shards hear of each other's locks, whenever one passed on.
func (r *Runner) tellLocks(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.settleLocks(ctx); err != nil && ctx.Err() == nil {
			complain("locks could not pass on; trying again", err)
			if r.cfg.Clock.Sleep(ctx, pauseAfterFault) != nil {
				return
			}
			continue
		}
		select {
		case <-r.passed:
		case <-ctx.Done():
		}
	}
}

// settleLocks looks at the locks that runs of other shards hold: one that waits for
// it is told, and of one that is over the lock is free.
func (r *Runner) settleLocks(ctx context.Context) error {
	if r.cfg.Ledger.Shards() == 1 {
		return nil
	}
	for _, own := range r.cfg.Ledger.Owned() {
		afar, err := r.cfg.State.LocksAfar(own.Shard)
		if err != nil {
			return err
		}
		for _, l := range afar {
			if err := r.settleLock(ctx, own.Shard, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Runner) settleLock(ctx context.Context, shard uint16, l state.LockAfar) error {
	run, err := r.cfg.State.Run(l.Run)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(run.Locks, func(own engine.RunLock) bool { return own.Name == l.Name && own.Token == l.Token })
	switch {
	case at < 0:
		_, err = r.offered(ctx, shard, record.LockChangedKind, record.LockChanged{Act: record.LockFree, Name: l.Name, Run: l.Run, Token: l.Token})
	case run.Locks[at].Waits:
		err = r.grant(ctx, l.Run, l.Name, l.Token)
	}
	return err
}
