package worker

import (
	"slices"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// attemptSignature is that of attempt. Its pauses are steps of sleep, and with a
// timeout its beginning is a step of now.
func attemptSignature() *word {
	return newWord(engine.Signature{Name: "attempt", Positional: 1, Params: []engine.Param{
		{Name: "fn", Kind: "function", Required: true}, {Name: "tries", Kind: "int"}, {Name: "backoff", Kind: "duration"},
		{Name: "timeout", Kind: "duration"}, {Name: "catch", Kind: "list"},
	}})
}

// maxBackoff caps the doubling pauses.
const maxBackoff = time.Hour

// maxTries bounds attempt, which cannot outlast a journal.
const maxTries = 1000

// attempt is one call of attempt.
type attempt struct {
	call    *call
	fn      starlark.Callable
	tries   int
	backoff time.Duration
	timeout time.Duration
	catch   []string
}

func attemptWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, "attempt")
	if err != nil {
		return nil, err
	}
	a, err := newAttempt(c, args, kwargs)
	if err != nil {
		return nil, err
	}
	if a.timeout > 0 {
		leave, err := a.begin()
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	return a.run()
}

func newAttempt(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (*attempt, error) {
	w := attemptSignature()
	bound, err := w.bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	a := &attempt{call: c, tries: 1, backoff: 2 * time.Second}
	fn, ok := bound["fn"].(starlark.Callable)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "attempt: fn: got %s, want a function", describe(bound["fn"])).
			WithHint("write attempt(lambda: …): what is called there must be called inside")
	}
	a.fn = fn
	if v, given := bound["tries"]; given {
		if err := starlark.AsInt(v, &a.tries); err != nil || a.tries < 1 || a.tries > maxTries {
			return nil, engine.Errorf(engine.Invalid, "attempt: tries: got %s, want 1 to %d", describe(v), maxTries)
		}
	}
	for name, to := range map[string]*time.Duration{"backoff": &a.backoff, "timeout": &a.timeout} {
		if v, given := bound[name]; given {
			d, err := c.converter.accept("duration", v)
			if err != nil {
				return nil, wrongArgument("attempt", name, err)
			}
			*to, _ = d.(time.Duration)
		}
	}
	a.catch, err = catchKinds(bound["catch"])
	return a, err
}

var errorKinds = []string{"invalid", "not_found", "conflict", "denied", "timeout", "unavailable", "closed", "script", "internal"}

func catchKinds(v starlark.Value) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.(starlark.Iterable)
	if text, isText := v.(starlark.String); isText {
		list, ok = starlark.Tuple{text}, true
	}
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "attempt: catch: got %s, want a list of kinds", describe(v))
	}
	var kinds []string
	it := list.Iterate()
	defer it.Done()
	var x starlark.Value
	for it.Next(&x) {
		kind, _ := starlark.AsString(x)
		if !slices.Contains(errorKinds, kind) {
			return nil, engine.Errorf(engine.Invalid, "attempt: catch: got %s, want kinds of errors", describe(x)).
				WithHint("%s", didYouMean(kind, errorKinds))
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// begin records when the attempt began, and bounds its steps.
func (a *attempt) begin() (leave func(), err error) {
	c := a.call
	v, err := c.perform(c.env.words["now"], map[string]engine.Value{})
	if err != nil {
		return nil, err
	}
	start, ok := v.(pure.Time)
	if !ok {
		return nil, engine.Errorf(engine.Internal, "attempt: now() gave a %s", v.Type())
	}
	c.clock.set(start.T)
	c.limits = append(c.limits, start.T.Add(a.timeout))
	return func() { c.limits = c.limits[:len(c.limits)-1] }, nil
}

// run tries until it goes well, the tries are used up, or trying again cannot
// help. Whether time is over is said by a step's error, never decided here.
func (a *attempt) run() (starlark.Value, error) {
	pause := a.backoff
	for try := 1; ; try++ {
		v, err := starlark.Call(a.call.thread, a.fn, nil, nil)
		if err == nil {
			return outcome(v, nil), nil
		}
		if uncaught(err) || a.call.ticks.broken != nil {
			return nil, err
		}
		e := scriptError(err)
		if try < a.tries && (e.Kind == engine.Timeout || e.Kind == engine.Unavailable) {
			rested, err := a.rest(pause)
			if err != nil {
				return nil, err
			}
			if rested {
				pause = min(2*pause, maxBackoff)
				continue
			}
		}
		if len(a.catch) > 0 && !slices.Contains(a.catch, string(e.Kind)) {
			return nil, err
		}
		return outcome(starlark.None, e), nil
	}
}

// rest sleeps between two tries. It reports false when the attempt's time is
// over; what ends the whole run is an error.
func (a *attempt) rest(pause time.Duration) (bool, error) {
	if pause == 0 {
		return true, nil
	}
	w := a.call.env.words["sleep"]
	if w == nil {
		return false, engine.Errorf(engine.Internal, "attempt: sleep is not known to the supervisor")
	}
	args, err := w.normalize(a.call.converter, starlark.Tuple{pure.Duration(pause)}, nil)
	if err != nil {
		return false, err
	}
	if _, err = a.call.perform(w, args); err == nil {
		return true, nil
	}
	if !uncaught(err) && engine.KindOf(err) == engine.Timeout {
		return false, nil
	}
	return false, err
}

// outcome is what attempt returns.
func outcome(v starlark.Value, e *engine.Error) starlark.Value {
	fields := starlark.StringDict{"ok": starlark.Bool(e == nil), "value": v, "error": starlark.None}
	if e != nil {
		fields["error"] = pure.NewStruct("error", starlark.StringDict{
			"kind": starlark.String(e.Kind), "message": starlark.String(e.Message), "cause": starlark.String(e.Cause),
			"maybe": starlark.Bool(e.Maybe), "hint": starlark.String(e.Hint), "at": starlark.String(e.At),
		})
	}
	return pure.NewStruct("attempt", fields)
}
