package worker

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// Types of the structs by which a trigger and an expectation travel as values.
const (
	triggerType     = "trigger"
	expectationType = "expectation"
)

// acceptTrigger takes on.x(…) without a where: what a run expects is matched
// without a script.
func acceptTrigger(v starlark.Value) (engine.Value, bool, error) {
	t, ok := v.(*triggerValue)
	if !ok {
		return nil, false, nil
	}
	if t.Where {
		return nil, false, noWhere()
	}
	args, err := t.Args.Value()
	if err != nil {
		return nil, false, err
	}
	match := make(map[string]engine.Value, len(t.Match))
	for name, glob := range t.Match {
		match[name] = glob
	}
	return engine.Struct{Type: triggerType, Fields: map[string]engine.Value{"kind": t.Kind, "args": args, "match": match}}, true, nil
}

func noWhere() *engine.Error {
	return engine.Errorf(engine.Invalid, "got a trigger with a where, want arguments and match alone").
		WithHint("take the event that comes, look at it, and expect the next one if it is not the right one")
}

// expected finds the where of a trigger that a run expects.
func (in *inspector) expected(w *word, n *syntax.CallExpr) {
	given, _ := in.argumentsOf(w, n)
	trigger, ok := given["trigger"].(*syntax.CallExpr)
	if !ok {
		return
	}
	for _, arg := range trigger.Args {
		if named, ok := arg.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ && named.X.(*syntax.Ident).Name == "where" {
			e := noWhere()
			in.find(syntax.Start(named), "error", callCheck, e.Hint, "expect: trigger: %s", e.Message)
		}
	}
}

// expectationValue is what expect returns. elapsed is None until wait has returned.
type expectationValue struct {
	step    string
	elapsed starlark.Value
}

var _ starlark.HasAttrs = (*expectationValue)(nil)

func (e *expectationValue) String() string       { return "expectation(" + e.step + ")" }
func (e *expectationValue) Type() string         { return expectationType }
func (e *expectationValue) Freeze()              {}
func (e *expectationValue) Truth() starlark.Bool { return true }
func (e *expectationValue) Hash() (uint32, error) {
	return 0, fmt.Errorf("unhashable type: %s", expectationType)
}
func (e *expectationValue) AttrNames() []string { return []string{"elapsed", "wait"} }

// Attr returns elapsed, or the method wait.
func (e *expectationValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "elapsed":
		return e.elapsed, nil
	case "wait":
		return starlark.NewBuiltin("wait", e.wait), nil
	}
	return nil, nil
}

// wait returns the event, or None when the time is over.
func (e *expectationValue) wait(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("wait", args, kwargs); err != nil {
		return nil, err
	}
	c, err := running(thread, "wait")
	if err != nil {
		return nil, err
	}
	v, err := c.perform(c.env.words["expect.wait"], map[string]engine.Value{"step": e.step})
	if err != nil {
		return nil, err
	}
	came, ok := v.(*pure.Struct)
	if !ok {
		return nil, engine.Errorf(engine.Internal, "expect.wait gave a %s", v.Type())
	}
	e.elapsed = came.Fields()["elapsed"]
	return came.Fields()["event"], nil
}
