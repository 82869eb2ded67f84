package runner

import (
	"context"
	"time"
)

// Settle carries what is ready and fires what is due, one after the other, until
// nothing is left to do at the clock's present time. It returns when the next
// timer is due, zero for never; carried is told of each run after its turn. It is
// for replays, whose clock stands still meanwhile; never beside Run.
func (r *Runner) Settle(ctx context.Context, carried func(run string) error) (next time.Time, err error) {
	for {
		if err := r.settleDeadlines(ctx, false); err != nil {
			return time.Time{}, err
		}
		if next, err = r.fireDue(ctx); err != nil {
			return time.Time{}, err
		}
		if err := r.settleLocks(ctx); err != nil {
			return time.Time{}, err
		}
		turns, err := r.turns(ctx, carried)
		if err != nil {
			return time.Time{}, err
		}
		if turns == 0 {
			return next, nil
		}
	}
}

// turns carries every run that is ready once and returns how many there were.
func (r *Runner) turns(ctx context.Context, carried func(run string) error) (n int, err error) {
	for _, own := range r.cfg.Ledger.Owned() {
		ready, err := r.cfg.State.Ready(own.Shard)
		if err != nil {
			return n, err
		}
		for _, id := range ready {
			if _, err := r.carry(ctx, id); err != nil {
				return n, err
			}
			if err := carried(id); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
