package worker

import (
	"strconv"

	"go.starlark.net/starlark"

	"larkspur/engine"
)

// defaultAtOnce is at_once of parallel(fn, each = …).
const defaultAtOnce = 10

// maxPathBytes bounds a branch's path, and so how deep parallels nest.
const maxPathBytes = 190

// parallelSignature is that of a parallel of so many functions; it takes any
// number of them.
func parallelSignature(functions int) *word {
	sig := engine.Signature{Name: "parallel", Positional: max(functions, 1)}
	for n := range sig.Positional {
		name := "fn"
		if n > 0 {
			name += strconv.Itoa(n + 1)
		}
		sig.Params = append(sig.Params, engine.Param{Name: name, Kind: "function", Required: true})
	}
	sig.Params = append(sig.Params, engine.Param{Name: "each", Kind: "list"}, engine.Param{Name: "at_once", Kind: "int"})
	return newWord(sig)
}

// job is what one branch of a parallel calls.
type branchJob struct {
	fn   starlark.Callable
	args starlark.Tuple
}

// parallel is one call of parallel. Its number in its path is that of the step
// that records its beginning.
type parallel struct {
	call    *call
	parent  *branch
	jobs    []branchJob
	atOnce  int
	begun   int
	left    int // that have not ended
	results []starlark.Value
	failure error // the first one
}

func parallelWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, "parallel")
	if err != nil {
		return nil, err
	}
	p, err := newParallel(c, args, kwargs)
	if err != nil {
		return nil, err
	}
	_, err = c.perform(c.env.words["parallel"], map[string]engine.Value{"branches": int64(len(p.jobs)), "at_once": int64(p.atOnce)})
	if err != nil {
		return nil, err
	}
	return p.run()
}

func newParallel(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (*parallel, error) {
	if len(args) > MaxSteps {
		return nil, tooManyBranches(len(args))
	}
	bound, err := parallelSignature(len(args)).bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	functions := make([]starlark.Callable, len(args))
	for n, v := range args {
		fn, ok := v.(starlark.Callable)
		if !ok {
			return nil, engine.Errorf(engine.Invalid, "parallel: function %d: got %s, want a function", n+1, describe(v)).
				WithHint("write parallel(lambda: …, lambda: …): what runs in a branch must be called inside")
		}
		functions[n] = fn
	}
	p := &parallel{call: c, parent: c.branch}
	if err := p.plan(functions, bound["each"]); err != nil {
		return nil, err
	}
	p.atOnce, p.left, p.results = len(p.jobs), len(p.jobs), make([]starlark.Value, len(p.jobs))
	if bound["each"] != nil {
		p.atOnce = defaultAtOnce
	}
	return p, p.setAtOnce(bound)
}

// plan says what each branch calls: the functions, or the one with each item.
func (p *parallel) plan(functions []starlark.Callable, each starlark.Value) error {
	if each == nil {
		for _, fn := range functions {
			p.jobs = append(p.jobs, branchJob{fn: fn})
		}
		return nil
	}
	items, ok := each.(starlark.Iterable)
	if !ok || len(functions) != 1 {
		return engine.Errorf(engine.Invalid, "parallel: each: got %s for %d functions, want a list for one", describe(each), len(functions)).
			WithHint("write parallel(lambda item: …, each = items)")
	}
	if n := starlark.Len(each); n > MaxSteps {
		return tooManyBranches(n)
	}
	it := items.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		if len(p.jobs) == MaxSteps {
			return tooManyBranches(MaxSteps + 1)
		}
		p.jobs = append(p.jobs, branchJob{functions[0], starlark.Tuple{x}})
	}
	return nil
}

func tooManyBranches(n int) error {
	return engine.Errorf(engine.Script, "parallel: %d branches are too many: at most %d, as many as a run may have steps", n, MaxSteps).
		WithCause(causeLimit).WithHint("split the work into several runs")
}

func (p *parallel) setAtOnce(bound map[string]starlark.Value) error {
	v, given := bound["at_once"]
	if !given {
		return nil
	}
	if bound["each"] == nil {
		return engine.Errorf(engine.Invalid, "parallel: at_once goes with each: functions that are given one by one all run at once")
	}
	if err := starlark.AsInt(v, &p.atOnce); err != nil || p.atOnce < 1 || p.atOnce > MaxSteps {
		return engine.Errorf(engine.Invalid, "parallel: at_once: got %s, want 1 to %d", describe(v), MaxSteps)
	}
	return nil
}

// run begins the first branches and gives the turn away until all have ended.
func (p *parallel) run() (starlark.Value, error) {
	if len(p.jobs) == 0 {
		return starlark.NewList(nil), nil
	}
	c := p.call
	if len(c.path) > maxPathBytes-20 {
		return nil, engine.Errorf(engine.Script, "parallel: nested too deep").WithCause(causeLimit).WithHint("does the recursion end?")
	}
	for range min(p.atOnce, len(p.jobs)) {
		c.turns.ready = append(c.turns.ready, p.branch())
	}
	c.turns.branches++
	c.yield()
	c.turns.branches--
	if c.turns.halted != nil {
		return nil, c.turns.halted
	}
	if p.failure != nil {
		return nil, p.failure
	}
	return starlark.NewList(p.results), nil
}

// branch makes the next branch.
func (p *parallel) branch() *branch {
	k := p.begun
	p.begun++
	b := p.call.newBranch(engine.BranchPath(p.parent.path, p.parent.number, k))
	b.limits = append(b.limits, p.parent.limits...)
	b.begin = func() {
		v, err := p.execute(b, p.jobs[k])
		p.results[k] = v
		p.ended(b, err)
	}
	return b
}

// execute calls a branch's function to its end.
func (p *parallel) execute(b *branch, job branchJob) (v starlark.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &stop{status: endedFailed, err: panicked(r)}
		}
	}()
	if halted := p.call.turns.halted; halted != nil {
		return nil, halted
	}
	return starlark.Call(b.thread, job.fn, job.args, nil)
}

// ended takes note of a branch's end, and gives its turn to the next.
func (p *parallel) ended(b *branch, err error) {
	c := p.call
	if err != nil {
		p.failed(b, err)
	}
	p.left--
	switch {
	case p.begun < len(p.jobs):
		c.turns.ready = append([]*branch{p.branch()}, c.turns.ready...)
	case p.left == 0:
		c.turns.ready = append([]*branch{p.parent}, c.turns.ready...)
	}
	c.hand(c.pick())
}

// failed keeps the first failure. What no attempt may catch because it ends the
// run ends all branches.
func (p *parallel) failed(b *branch, err error) {
	c := p.call
	s := asStop(err)
	if b.ticks.broken != nil {
		s = &stop{status: endedFailed, err: b.ticks.broken}
	}
	switch {
	case s != nil && c.turns.halted == nil:
		c.turns.halted = s
	case s == nil && p.failure == nil:
		p.failure = scriptError(err)
	}
}
