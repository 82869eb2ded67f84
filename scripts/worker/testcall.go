package worker

import (
	"cmp"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/pure"
)

// testKey is where a test's thread carries its testCall.
const testKey = "larkspur/test"

// MaxTestSteps bounds how often one test may ask the bench.
const MaxTestSteps = 10_000

// testCall is one test in execution. The words of t that need the bench are steps
// of it; while one of them waits, the bench may ask for fakes, which are
// functions of the test: they run on the test's own thread, one within the other.
type testCall struct {
	env       *environment
	bundle    *bundle
	test      wire.Test
	converter *converter
	thread    *starlark.Thread
	ticks     *limiter
	send      func(kind string, body any) error
	inbox     chan any      // a wire.Answer or wire.Fake; room for one
	gone      chan struct{} // closed when the call is cancelled
	functions []starlark.Callable
	number    int
}

func newTestCall(env *environment, b *bundle, test wire.Test, send func(kind string, body any) error) *testCall {
	c := &testCall{env: env, bundle: b, test: test, send: send, inbox: make(chan any, 1), gone: make(chan struct{})}
	c.converter = &converter{bundle: b, test: c}
	c.thread = &starlark.Thread{Name: test.Name}
	c.thread.SetLocal(testKey, c)
	c.thread.SetLocal(bundleKey, b)
	pure.SetZone(c.thread, b.zone)
	c.ticks = limitThread(c.thread, env.hello.MaxTicks, "without asking the bench", env.trace)
	return c
}

// cancel ends the test's thread at its next instruction or step. The server's mu
// must be held.
func (c *testCall) cancel() {
	select {
	case <-c.gone:
	default:
		close(c.gone)
		c.thread.Cancel("the test was cancelled")
	}
}

// give hands over what the bench sent; false when nothing was asked.
func (c *testCall) give(message any) bool {
	select {
	case c.inbox <- message:
		return true
	default:
		return false
	}
}

// execute runs the test function to its end.
func (c *testCall) execute() wire.Ended {
	err := c.invoke()
	select {
	case <-c.gone:
		return wire.Ended{Status: endedCancelled}
	default:
	}
	if err == nil {
		return wire.Ended{Status: endedDone}
	}
	e := scriptError(err)
	if c.ticks.broken != nil {
		e = c.ticks.broken
	}
	return wire.Ended{Status: endedFailed, Error: c.placed(e, err), Backtrace: backtrace(err)}
}

func (c *testCall) invoke() error {
	fn, err := c.bundle.function(engine.Handler{File: scriptPath(c.test.File), Name: c.test.Name})
	if err != nil {
		return err
	}
	_, err = starlark.Call(c.thread, fn, starlark.Tuple{&benchValue{c}}, nil)
	return err
}

// placed gives an error the place in the test from which it came; where a script
// is to blame, that stands in the message.
func (c *testCall) placed(e *engine.Error, err error) *engine.Error {
	placed := *e
	at, known := parsePosition(e.At)
	if known && engine.IsTestFile(at.File) {
		return &placed
	}
	if known {
		placed.Message = e.At + ": " + e.Message
	}
	placed.At = testPosition(err)
	return &placed
}

// testPosition is where the innermost frame of a test file stands.
func testPosition(err error) string {
	eval := asEvalError(err)
	if eval == nil {
		return ""
	}
	for i := range eval.CallStack {
		if pos := eval.CallStack.At(i).Pos; pos.Line > 0 && engine.IsTestFile(pos.Filename()) {
			return formatPosition(pos)
		}
	}
	return ""
}

// perform asks the bench for a word of t.
func (c *testCall) perform(name string, args map[string]engine.Value) (starlark.Value, error) {
	data, err := engine.Encode(args)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, "t."+name)
	}
	if c.number++; c.number > MaxTestSteps {
		return nil, engine.Errorf(engine.Script, "t.%s: more than %d words of t in one test", name, MaxTestSteps).WithCause(causeLimit).WithHint("does the loop end?")
	}
	step := wire.Step{Number: c.number, Builtin: "t." + name, Version: 1, Class: engine.Read, At: formatPosition(here(c.thread)), Args: data}
	if err := c.send(wire.KindStep, step); err != nil {
		return nil, err
	}
	answer, err := c.listen()
	if err != nil {
		return nil, err
	}
	c.ticks.renew()
	if answer.Error != nil {
		return nil, answer.Error
	}
	return c.converter.fromData(answer.Result)
}

// listen waits for the answer, and makes the fakes that are wanted before it.
func (c *testCall) listen() (wire.Answer, error) {
	for {
		var message any
		select {
		case message = <-c.inbox:
		case <-c.gone:
			return wire.Answer{}, &stop{status: endedCancelled, err: engine.Errorf(engine.Closed, "cancelled")}
		}
		f, isFake := message.(wire.Fake)
		if !isFake {
			return message.(wire.Answer), nil
		}
		if err := c.send(wire.KindFaked, c.fake(f)); err != nil {
			return wire.Answer{}, err
		}
	}
}

// fake calls a function of the test in place of a builtin.
func (c *testCall) fake(f wire.Fake) wire.Faked {
	if f.Function < 0 || f.Function >= len(c.functions) {
		return wire.Faked{Error: engine.Errorf(engine.Internal, "fake %d: there is no such function", f.Function)}
	}
	fn := c.functions[f.Function]
	out := wire.Faked{At: functionPosition(fn)}
	v, err := c.callFake(fn, f)
	if err == nil {
		var plain engine.Value
		if plain, err = c.converter.toValue(v); err == nil {
			out.Result, err = engine.Encode(plain)
		}
	}
	if err != nil {
		out.Error = scriptError(err)
		if c.ticks.broken != nil {
			out.Error = c.ticks.broken
		}
		if out.Error.At != "" {
			out.At = out.Error.At
		}
	}
	return out
}

func functionPosition(fn starlark.Callable) string {
	if f, ok := fn.(*starlark.Function); ok {
		return formatPosition(f.Position())
	}
	return ""
}

// callFake hands the arguments over: to *args as far as they have a place, else
// by name, as a function of any of the usual forms wants them.
func (c *testCall) callFake(fn starlark.Callable, f wire.Fake) (starlark.Value, error) {
	data, err := f.Args.Value()
	if err != nil {
		return nil, err
	}
	given, _ := data.(map[string]engine.Value)
	placed, named := fakeArguments(given, f)
	if sf, ok := fn.(*starlark.Function); ok {
		if why := accepts(sf, placed, named); why != "" {
			all := append(append([]string{}, placed...), named...)
			if accepts(sf, nil, all) != "" {
				return nil, engine.Errorf(engine.Invalid, "%s: the arguments of a fake: %s", f.Builtin, why).
					WithHint("a fake that takes any call begins: lambda *a, **kw: …")
			}
			placed, named = nil, all
		}
	}
	args := make(starlark.Tuple, len(placed))
	for i, name := range placed {
		if args[i], err = c.converter.fromValue(given[name]); err != nil {
			return nil, err
		}
	}
	kwargs := make([]starlark.Tuple, len(named))
	for i, name := range named {
		v, err := c.converter.fromValue(given[name])
		if err != nil {
			return nil, err
		}
		kwargs[i] = starlark.Tuple{starlark.String(name), v}
	}
	return starlark.Call(c.thread, fn, args, kwargs)
}

// fakeArguments splits a call into the arguments that have a place and the rest.
func fakeArguments(given map[string]engine.Value, f wire.Fake) (placed, named []string) {
	for i, name := range f.Order {
		_, ok := given[name]
		switch {
		case ok && i < f.Positional && len(placed) == i:
			placed = append(placed, name)
		case ok:
			named = append(named, name)
		}
	}
	return placed, named
}

// keep remembers a function of the test and returns its number.
func (c *testCall) keep(fn starlark.Callable) int {
	c.functions = append(c.functions, fn)
	return len(c.functions) - 1
}

// person finds a person of the workspace.
func (c *testCall) person(name string) (engine.Person, error) {
	var names []string
	for _, p := range c.test.People {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return engine.Person{}, engine.Errorf(engine.NotFound, "%q is nobody in larkspur.yaml", name).WithHint("%s", didYouMean(name, names))
}

// tests lists the test functions of the files that are without errors.
func (b *bundle) tests() []engine.Test {
	var list []engine.Test
	for _, path := range sortedKeys(b.modules) {
		m := b.modules[path]
		if !m.file.isTest() || m.state != loaded {
			continue
		}
		for _, name := range m.globals.Keys() {
			if fn, ok := m.globals[name].(*starlark.Function); ok && strings.HasPrefix(name, testPrefix) && fn.Position().Filename() == m.file.path {
				list = append(list, engine.Test{Name: name, File: m.file.path, Line: int(fn.Position().Line)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b engine.Test) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return list
}

// testPrefix begins the names of test functions.
const testPrefix = "test_"
