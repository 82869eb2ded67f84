package worker

import (
	"go.starlark.net/starlark"

	"larkspur/engine"
)

func continueSignature() *word {
	return newWord(engine.Signature{Name: "continue_as", Positional: 2, Params: []engine.Param{
		{Name: "fn", Kind: "handler", Required: true}, {Name: "args", Kind: "dict"},
	}})
}

// continueWord ends the run as done and goes on in a new one, which has a fresh
// journal: fn is called as the run's function was.
func continueWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, "continue_as")
	if err != nil {
		return nil, err
	}
	bound, values, names, err := c.named(continueSignature(), args, kwargs)
	if err != nil {
		return nil, err
	}
	if c.turns.branches > 0 {
		return nil, engine.Errorf(engine.Invalid, "continue_as: other branches of a parallel run: call it after the parallel")
	}
	if why := accepts(bound["fn"].(*starlark.Function), c.firsts(), names); why != "" {
		return nil, engine.Errorf(engine.Invalid, "continue_as: fn: %s", why)
	}
	if _, err := c.perform(c.env.words["continue_as"], values); err != nil {
		return nil, err
	}
	return nil, &stop{status: endedDone, err: engine.Errorf(engine.Script, "the run goes on in another one")}
}

// firsts names what the run's function gets before its args.
func (c *call) firsts() []string {
	if len(c.run.First) == 0 {
		return nil
	}
	return []string{"incident"}
}
