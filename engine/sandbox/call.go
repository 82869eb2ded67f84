package sandbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"larkspur/engine/wire"
)

// Call is one run, or one test, in a worker. Each step that Next returns wants
// one Answer, at once or later. Next, Answer and Fake are for one goroutine; Post
// and Close may be called from any.
type Call struct {
	worker *worker
	x      *exchange
	left   sync.Once
	over   bool // Next returned the end
}

// Event is what a call comes up with next: a *wire.Step that wants an answer, a
// *wire.Faked in answer to Fake, *wire.Rest, *wire.Ended, or what was posted.
type Event any

// Start opens a call. The bundle must have been loaded.
func (p *Pool) Start(ctx context.Context, run wire.Run) (*Call, error) {
	w, err := p.pickFor(ctx, run.Bundle)
	if err != nil {
		return nil, err
	}
	return &Call{worker: w, x: w.begin(wire.KindRun, run)}, nil
}

// StartTest opens a call that executes a test. The bundle must have been loaded
// with its tests.
func (p *Pool) StartTest(ctx context.Context, test wire.Test) (*Call, error) {
	w, err := p.pickFor(ctx, test.Bundle)
	if err != nil {
		return nil, err
	}
	return &Call{worker: w, x: w.begin(wire.KindTest, test)}, nil
}

// Next waits for the next event. One that waits while the call is closed gets
// *wire.Ended with the status cancelled. After *wire.Ended, and after ErrDied or
// ErrClosed, the call is over; the context's error leaves it as it is.
func (c *Call) Next(ctx context.Context) (Event, error) {
	if c.over {
		return nil, errors.New("sandbox: the call is over")
	}
	body, err := c.worker.result(ctx, c.x)
	if _, ended := body.(*wire.Ended); ended || errors.Is(err, ErrDied) || errors.Is(err, ErrClosed) {
		c.over = true
		c.leave()
	}
	return body, err
}

// Post gives Next something of the caller's own to return in its turn.
func (c *Call) Post(e Event) { c.x.events.Put(e) }

// Answer answers a step.
func (c *Call) Answer(s *wire.Step, a wire.Answer) error {
	a.Path, a.Number = s.Path, s.Number
	return c.reply(wire.KindAnswer, a)
}

// Fake asks a test for the result of a fake, in place of the answer to its step:
// Next then returns *wire.Faked, after the steps that the fake makes.
func (c *Call) Fake(f wire.Fake) error { return c.reply(wire.KindFake, f) }

// reply gives the worker its turn back.
func (c *Call) reply(kind string, body any) error {
	w := c.worker
	select {
	case <-w.gone:
		c.leave()
		return w.died(c.x)
	default:
	}
	w.mu.Lock()
	if c.x.answered >= c.x.asked {
		w.mu.Unlock()
		return errors.New("sandbox: an answer without a step")
	}
	if kind == wire.KindFake {
		c.x.faking++
	} else {
		c.x.answered++
	}
	if c.x.phase == waiting {
		c.x.phase, c.x.since = computing, time.Now()
	}
	if c.x.phase == computing {
		c.x.quiet.Reset(w.pool.cfg.Silence)
	}
	w.mu.Unlock()
	w.send(kind, c.x.number, body)
	return nil
}

// Close throws the call away; its run can be started again from its journal.
// Closing one that is over does nothing.
func (c *Call) Close() {
	w := c.worker
	w.mu.Lock()
	open := w.exchanges[c.x.number] == c.x && c.x.phase != cancelled
	if open {
		c.x.phase = cancelled
		c.x.quiet.Reset(w.pool.cfg.Silence) // it must end, too
	}
	w.mu.Unlock()
	if open {
		w.send(wire.KindCancel, c.x.number, nil)
	}
	c.leave()
}

// leave gives the call's place back, once.
func (c *Call) leave() { c.left.Do(func() { c.worker.pool.leave(c.worker) }) }
