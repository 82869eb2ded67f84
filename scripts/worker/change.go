package worker

import (
	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

func changeSignature() *word {
	return newWord(engine.Signature{Name: "change", Positional: 3, Params: []engine.Param{
		{Name: "title", Kind: "text", Required: true}, {Name: "do", Kind: "handler", Required: true}, {Name: "undo", Kind: "handler", Required: true},
		{Name: "args", Kind: "dict"}, {Name: "expires", Kind: "duration"}, {Name: "why", Kind: "text"},
	}})
}

// changeWord calls do now and records, as the step change.made, how to take it
// back: undo by name, with args and what do returned.
func changeWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, "change")
	if err != nil {
		return nil, err
	}
	bound, values, names, err := c.named(changeSignature(), args, kwargs)
	if err != nil {
		return nil, err
	}
	undo := bound["undo"].(*starlark.Function)
	if why := accepts(undo, []string{"done"}, names); why != "" {
		return nil, engine.Errorf(engine.Invalid, "change: undo: %s", why)
	}
	from := c.number + 1
	done, err := starlark.Call(thread, bound["do"], nil, keywords(bound["args"]))
	if err != nil {
		return nil, err
	}
	if values["done"], err = c.converter.toValue(done); err != nil {
		return nil, wrongArgument("change", "what do returned", err)
	}
	if c.number >= from {
		c.from = from
	}
	return c.perform(c.env.words["change.made"], values)
}

// named reads the arguments of a word that names a function to be called later
// with args: as they were given, as plain data, and the names of args.
func (c *call) named(w *word, args starlark.Tuple, kwargs []starlark.Tuple) (bound map[string]starlark.Value, values map[string]engine.Value, names []string, err error) {
	if bound, err = w.bind(args, kwargs); err != nil {
		return nil, nil, nil, err
	}
	if values, err = w.normalize(c.converter, args, kwargs); err != nil {
		return nil, nil, nil, err
	}
	with, ok := values["args"].(map[string]engine.Value)
	if values["args"] != nil && !ok {
		return nil, nil, nil, engine.Errorf(engine.Invalid, "%s: args: got a dict whose keys are not all strings", w.Name)
	}
	if with == nil {
		with = map[string]engine.Value{}
		values["args"] = with
	}
	return bound, values, sortedKeys(with), nil
}

// keywords makes keyword arguments of a dict, in its order.
func keywords(v starlark.Value) []starlark.Tuple {
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		return nil
	}
	return d.Items()
}

// changeType is the Type of results that can be taken back: what change() and
// builtins that change things return. Their id names the change.
const changeType = "change"

// changeUndo is the method undo of such a result: a step that asks for the undo
// run.
func changeUndo(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("undo", args, kwargs); err != nil {
		return nil, err
	}
	c, err := running(thread, "undo")
	if err != nil {
		return nil, err
	}
	id, ok := starlark.AsString(b.Receiver().(*pure.Struct).Fields()["id"])
	if !ok {
		return nil, engine.Errorf(engine.Internal, "undo: the change has no id")
	}
	return c.perform(c.env.words["change.undo"], map[string]engine.Value{"change": id})
}
