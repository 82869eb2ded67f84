package worker

import (
	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// lockType is the Type of what lock returns; its step names the hold.
const lockType = "lock"

// lockRelease is the method release of such a result.
func lockRelease(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("release", args, kwargs); err != nil {
		return nil, err
	}
	c, err := running(thread, "release")
	if err != nil {
		return nil, err
	}
	step, ok := starlark.AsString(b.Receiver().(*pure.Struct).Fields()["step"])
	if !ok {
		return nil, engine.Errorf(engine.Internal, "release: the lock has no step")
	}
	return c.perform(c.env.words["lock.release"], map[string]engine.Value{"step": step})
}
