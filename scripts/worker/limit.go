package worker

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/engine/wire"
)

const (
	// maxRecursion is the depth of calls that a thread may have: the stack behind
	// 100,000, which the interpreter allows, would kill the worker.
	maxRecursion = 2000
	// ticksBetweenLooks is how often a thread is looked at. A call takes several
	// ticks, so that the depth cannot grow far between two looks.
	ticksBetweenLooks = 1000
)

// limiter bounds what a thread computes and how deep it recurses.
type limiter struct {
	thread *starlark.Thread
	doing  string // "between two calls of the world"
	most   uint64
	end    uint64
	// trace is where the thread's place is written before each instruction; nil
	// for none.
	trace []byte
	last  syntax.Position // that was written there
	// broken is set when a bound was met; the thread is cancelled then.
	broken *engine.Error
}

func limitThread(thread *starlark.Thread, most uint64, doing string, trace []byte) *limiter {
	l := &limiter{thread: thread, doing: doing, most: most, trace: trace}
	thread.OnMaxSteps = l.look
	l.renew()
	return l
}

// renew gives the thread the whole bound again.
func (l *limiter) renew() {
	l.end = l.thread.Steps + l.most
	l.next()
}

func (l *limiter) next() {
	if l.trace != nil {
		l.thread.SetMaxExecutionSteps(l.thread.Steps + 1)
		return
	}
	l.thread.SetMaxExecutionSteps(min(l.end, l.thread.Steps+ticksBetweenLooks))
}

// look is called by the interpreter every so many ticks.
func (l *limiter) look(thread *starlark.Thread) {
	if at := here(thread); l.trace != nil && at != l.last {
		l.last = at
		wire.PutTrace(l.trace, formatPosition(at))
	}
	switch {
	case l.broken != nil:
		return
	case thread.CallStackDepth() > maxRecursion:
		l.broken = engine.Errorf(engine.Script, "calls nested deeper than %d", maxRecursion).WithCause(causeLimit).
			WithHint("does the recursion end?")
	case thread.Steps >= l.end:
		l.broken = engine.Errorf(engine.Script, "more than %d interpreter steps %s", l.most, l.doing).WithCause(causeLimit).
			WithHint("does the loop end?")
	default:
		l.next()
		return
	}
	l.broken.At = formatPosition(here(thread))
	thread.Cancel(l.broken.Message)
}
