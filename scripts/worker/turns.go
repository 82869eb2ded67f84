package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/pure"
)

// The branches of a call take turns: one interprets until its next step, then
// the next. Those that are ready go first, in the order in which they became so;
// then the one whose recorded result stands next in the journal; then the one
// whose answer comes next, which is how answers are written to the ledger. A
// replay therefore goes the very same way.

// branch is one line of execution: the root, or a function of a parallel. Each
// has its own thread and goroutine; only the one whose turn it is runs.
type branch struct {
	thread *starlark.Thread
	path   string
	number int // of its last step
	ticks  *limiter
	limits []time.Time   // ends of the attempts around, by the run's time
	turn   chan struct{} // room for one
	begin  func()        // its goroutine, until it has begun
}

// turns is who of a call runs, and who waits for what.
type turns struct {
	thread   atomic.Pointer[starlark.Thread] // of the branch that runs
	ready    []*branch
	waiting  map[stepKey]*waiter
	branches int   // of all parallels that are open
	answered int   // answers taken
	halted   *stop // why all branches end
	work     sync.WaitGroup
}

// waiter is a branch in a step.
type waiter struct {
	branch *branch
	answer wire.Answer
	err    error
}

func (c *call) newBranch(path string) *branch {
	b := &branch{path: path, thread: &starlark.Thread{Name: c.run.Run}, turn: make(chan struct{}, 1)}
	b.thread.SetLocal(callKey, c)
	b.thread.SetLocal(bundleKey, c.bundle)
	pure.SetZone(b.thread, c.bundle.zone)
	b.ticks = limitThread(b.thread, c.env.hello.MaxTicks, "between two calls of the world", c.env.trace)
	return b
}

// await has a step answered, by the journal or by the supervisor, while other
// branches take their turns.
func (c *call) await(step *wire.Step) (wire.Answer, error) {
	known, err := c.journal.look(step)
	if err != nil {
		return wire.Answer{}, err
	}
	if known && len(c.turns.ready) == 0 && c.turns.halted == nil { // the turn stays here if its result is the next one
		if s := c.journal.next(); s.Number == step.Number && s.Path == step.Path {
			c.journal.taken++
			return wire.AnswerOf(s), nil
		}
	}
	if !known {
		if err := c.live(step); err != nil {
			return wire.Answer{}, err
		}
	}
	w := &waiter{branch: c.branch}
	if c.turns.waiting == nil {
		c.turns.waiting = map[stepKey]*waiter{}
	}
	c.turns.waiting[stepKey{step.Path, step.Number}] = w
	c.yield()
	return w.answer, w.err
}

// live asks the supervisor for a step.
func (c *call) live(step *wire.Step) error {
	step.Limit, step.More = c.limit(), c.turns.branches > 0
	select {
	case <-c.gone:
		return cancelled()
	default:
	}
	if err := c.tell(wire.KindStep, *step); err != nil {
		return &stop{status: endedFailed, err: engine.Errorf(engine.Internal, "%s: asking the supervisor: %w", step.Builtin, err)}
	}
	return nil
}

func cancelled() *stop {
	return &stop{status: endedCancelled, err: engine.Errorf(engine.Closed, "cancelled")}
}

// yield gives the turn away and returns when it is this branch's again.
func (c *call) yield() {
	b := c.branch
	if next := c.pick(); next != b {
		c.hand(next)
		<-b.turn
	}
	select {
	case <-c.gone:
		b.thread.Cancel("the call was cancelled")
	default:
	}
}

// hand gives the turn to another branch.
func (c *call) hand(next *branch) {
	c.branch = next
	c.turns.thread.Store(next.thread)
	if begin := next.begin; begin != nil {
		next.begin = nil
		c.turns.work.Go(begin)
		return
	}
	next.turn <- struct{}{}
}

// pick says whose turn it is, and waits until it is somebody's.
func (c *call) pick() *branch {
	t := &c.turns
	if len(t.ready) > 0 {
		next := t.ready[0]
		t.ready = t.ready[1:]
		return next
	}
	if t.halted == nil {
		if key, a, ok := c.nextAnswer(); ok {
			w := t.waiting[key]
			delete(t.waiting, key)
			w.answer = a
			return w.branch
		}
	}
	for key, w := range t.waiting { // all end, in any order
		delete(t.waiting, key)
		w.err = t.halted
		return w.branch
	}
	panic("worker: no branch is left to run")
}

// nextAnswer is the recorded result that stands next, or the answer that comes
// next. It is false when the call is halted.
func (c *call) nextAnswer() (stepKey, wire.Answer, bool) {
	t := &c.turns
	if s := c.journal.next(); s != nil {
		key := stepKey{s.Path, s.Number}
		if t.waiting[key] == nil {
			t.halted = &stop{endedDiverged, notReached(s, "the script does not come to", "it waits elsewhere"), engine.StepID(s.Path, s.Number)}
			return key, wire.Answer{}, false
		}
		c.journal.taken++
		return key, wire.AnswerOf(s), true
	}
	for rested := false; ; {
		if a, ok := c.answers.Take(); ok {
			t.answered++
			if key := (stepKey{a.Path, a.Number}); t.waiting[key] != nil {
				return key, a, true
			}
			t.halted = &stop{status: endedFailed, err: engine.Errorf(engine.Internal, "an answer to step %s, which does not wait", engine.StepID(a.Path, a.Number))}
			return stepKey{}, wire.Answer{}, false
		}
		if t.branches > 0 && !rested {
			rested = true
			_ = c.tell(wire.KindRest, wire.Rest{Answered: t.answered}) // a supervisor that is gone ends the call
		}
		select {
		case <-c.answers.More():
		case <-c.gone:
			t.halted = cancelled()
			return stepKey{}, wire.Answer{}, false
		}
	}
}
