package runner

import (
	"context"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// lookAtClockEvery bounds how long a jump of the clock goes unrecorded. Nothing is
// done at the wrong time before: a steady clock does not jump.
const lookAtClockEvery = 5 * time.Second

// watchClock holds what would fire while the clock cannot be trusted, until ctx
// ends.
func (r *Runner) watchClock(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.noteClock(ctx); err != nil && ctx.Err() == nil {
			complain("a jump of the clock could not be recorded; trying again", err)
		}
		before := r.cfg.Clock.Now()
		_ = r.cfg.Clock.Sleep(ctx, lookAtClockEvery) // ends with ctx
		if r.cfg.Clock.Now().Sub(before).Round(lookAtClockEvery) != lookAtClockEvery {
			r.wakeTimers() // it was set a little, or the machine was suspended
		}
	}
}

// noteClock records whether the clock is held now, where the ledger says
// otherwise.
func (r *Runner) noteClock(ctx context.Context) error {
	r.clock.Lock()
	defer r.clock.Unlock()
	jump, off := r.cfg.Steady.Jump()
	h := record.ClockHeld{On: off, From: jump.From, To: jump.To, Why: jump.Why}
	if !off {
		h.How, h.To = engine.ClockRight, r.cfg.Clock.Now()
	}
	if _, err := r.holdClock(ctx, h); err != nil || !off {
		return err
	}
	return r.tellOfClock(ctx, jump)
}

// Of the incident that a held clock opens.
const (
	clockType     = "clock"
	clockSeverity = "high"
	// clockPatience is how long a start waits for a time service without a word.
	clockPatience = 5 * time.Minute
)

// tellOfClock opens the incident of a clock that is held, unless one is open: once
// for each hold, and again after a start, which has no effect.
func (r *Runner) tellOfClock(ctx context.Context, jump engine.ClockJump) error {
	h, err := r.cfg.State.Clock(0)
	if err != nil || r.toldOf.Equal(h.Since) || jump.Awaited && r.cfg.Clock.Now().Sub(h.Since) < clockPatience {
		return err
	}
	_, err = r.cfg.Ledger.Offer(ctx, r.cfg.Ledger.ShardOf(clockType, clockType), newRecord(record.IncidentOpenedKind, record.IncidentOpened{
		Offer: "clock/" + h.Since.Format(time.RFC3339Nano), Type: clockType, Dedup: clockType, DedupSet: true, Mode: "live", Severity: clockSeverity,
		Title:  "The clock jumped, and timers wait: " + jump.Why,
		Fields: engine.MustEncode(map[string]engine.Value{"was": jump.From, "said": jump.To}), Order: []string{"was", "said"},
	}))
	if err == nil {
		r.toldOf = h.Since
	}
	return err
}

// holdClock writes a record to every shard where it changes something. Why is the
// last reason why it did not.
func (r *Runner) holdClock(ctx context.Context, h record.ClockHeld) (d engine.Decision, err error) {
	for _, own := range r.cfg.Ledger.Owned() {
		now, err := r.cfg.State.Clock(own.Shard)
		if err != nil {
			return engine.Decision{}, err
		}
		if now.On == h.On {
			continue
		}
		written, err := r.cfg.Ledger.Append(ctx, own.Shard, newRecord(record.ClockHeldKind, h))
		if err != nil {
			return engine.Decision{}, err
		}
		o, err := outcomeOf(written[0])
		if err != nil {
			return engine.Decision{}, err
		}
		d.Applied, d.Why = d.Applied || o.Applied, o.Why
	}
	return d, nil
}

// AcceptClock takes what the machine's clock says for the time, because a person
// says so; what fell due by then fires. Where the clock is not held it has no
// effect and says so.
func (r *Runner) AcceptClock(ctx context.Context, by, why string) (engine.Decision, error) {
	if r.cfg.Steady == nil {
		return engine.Decision{Why: notHeld}, nil
	}
	r.clock.Lock()
	defer r.clock.Unlock()
	jump, off := r.cfg.Steady.Jump()
	if !off { // or no more: watchClock says so
		return engine.Decision{Why: notHeld}, nil
	}
	d, err := r.holdClock(ctx, record.ClockHeld{By: by, How: engine.ClockAccepted, From: jump.From, To: r.cfg.Steady.Says(), Why: why})
	if err == nil {
		r.cfg.Steady.Accept()
		r.wakeTimers()
	}
	return d, err
}

const notHeld = "the clock is not held"

// timersMayFire says whether the timers of a shard may fire. What came to be held
// since is refused by the ledger.
func (r *Runner) timersMayFire(shard uint16) (bool, error) {
	h, err := r.cfg.State.Clock(shard)
	return !h.On, err
}
