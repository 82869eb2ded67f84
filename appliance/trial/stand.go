package trial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/rules"
)

// stand is an appliance without a world: the real intake, ledger and projector on
// a store that is thrown away, with a clock that others move.
type stand struct {
	clock  *clock
	ledger *ledger.Ledger
	state  *state.State
	intake *intake.Intake
	live   *intake.Live // what events meet
	close  func() error
}

// clock shows the time of the event in hand, or of the step.
type clock struct{ now time.Time }

// pass moves the clock forward; the zero time leaves it.
func (c *clock) pass(to time.Time) {
	if to.After(c.now) {
		c.now = to.UTC()
	}
}

func (c *clock) Now() time.Time                                   { return c.now }
func (c *clock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// notice hears of every committed record.
func (x *stand) notice(n []state.Notice) {
	if x.intake != nil { // not while the ledger opens
		x.intake.Expected.Notice(n)
	}
}

// watched is what events are held against.
func (x *stand) watched(set *rules.Set) intake.Watched {
	return intake.Watched{Rules: set, Expected: x.intake.Expected}
}

// meet sets what events meet from now on.
func (x *stand) meet(r Rules) {
	x.live = &intake.Live{Bundle: r.Bundle, Commit: r.Commit, Set: r.Set}
}

// openStand makes a stand whose clock shows now.
func openStand(r Rules, evaluator func(engine.Clock) intake.Evaluator, now time.Time) (_ *stand, err error) {
	dir, err := os.MkdirTemp("", "larkspur-trial-")
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "trial")
	}
	remove := func() error { return os.RemoveAll(dir) }
	s, err := store.OpenScratch(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	x := &stand{clock: &clock{}}
	x.close = func() error { return errors.Join(s.Close(), remove()) }
	if x.ledger, err = ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(x.notice), Clock: x.clock, Node: "trial"}); err != nil {
		return nil, errors.Join(err, x.close())
	}
	x.clock.now = now
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	x.state = state.Open(s, blobs, x.ledger)
	x.meet(r)
	x.intake = intake.New(intake.Config{
		Ledger: x.ledger, State: x.state, Evaluator: evaluator(x.clock), Clock: x.clock,
		Live: func() *intake.Live { return x.live },
	})
	return x, nil
}
