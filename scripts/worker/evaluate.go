package worker

import (
	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/pure"
)

// evaluate answers where and dedup functions, each for itself: an error is one
// item's.
func evaluate(env *environment, b *bundle, e wire.Evaluate) wire.Evaluated {
	out := wire.Evaluated{Verdicts: make([]wire.Verdict, len(e.Items))}
	for i, item := range e.Items {
		v, err := verdict(env, b, item)
		if err != nil {
			v = wire.Verdict{Error: scriptError(err)}
		}
		out.Verdicts[i] = v
	}
	return out
}

func verdict(env *environment, b *bundle, item wire.Item) (wire.Verdict, error) {
	functions := b.rules[item.Rule]
	if functions == nil {
		return wire.Verdict{}, engine.Errorf(engine.NotFound, "the bundle has no rule %.100q", item.Rule)
	}
	fn := functions.dedup
	if item.Trigger >= 0 {
		fn = nil
		if item.Trigger < len(functions.where) {
			fn = functions.where[item.Trigger]
		}
	}
	if fn == nil {
		return wire.Verdict{}, engine.Errorf(engine.NotFound, "rule %q has no function for trigger %d", item.Rule, item.Trigger)
	}
	c := &converter{bundle: b}
	data, err := item.Event.Value()
	if err != nil {
		return wire.Verdict{}, err
	}
	fields, _ := data.(map[string]engine.Value)
	event, err := c.newEvent(fields)
	if err != nil {
		return wire.Verdict{}, err
	}
	result, err := ask(env, b, fn, event)
	if err != nil {
		return wire.Verdict{}, err
	}
	if item.Trigger >= 0 {
		return wire.Verdict{Match: bool(result.Truth())}, nil
	}
	key, err := c.toValue(result)
	if err != nil {
		return wire.Verdict{}, err
	}
	encoded, err := engine.Encode(key)
	return wire.Verdict{Key: encoded}, err
}

// ask calls a function of the event, bounded.
func ask(env *environment, b *bundle, fn starlark.Callable, event *eventValue) (starlark.Value, error) {
	thread := &starlark.Thread{Name: "where"}
	thread.SetLocal(bundleKey, b)
	pure.SetZone(thread, b.zone)
	limits := limitThread(thread, env.hello.MaxEvaluateTicks, "in "+fn.Name(), env.trace)
	v, err := starlark.Call(thread, fn, starlark.Tuple{event}, nil)
	if limits.broken != nil {
		return nil, limits.broken
	}
	return v, err
}
