// Package pure holds what scripts call without reading or changing the world:
// json, re, time, base64, hash, hmac, math, struct and a few words of Python, with the
// value types duration, time and struct. Nothing here is recorded, so everything
// must give the same result on every replay: there is no clock and no chance.
//
// Begin with Members. A thread whose scripts use times should be told its zone
// with SetZone.
package pure

import (
	"time"

	"go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Members returns the names that scripts see, in a dict of the caller's.
func Members() starlark.StringDict {
	return starlark.StringDict{
		"json":   jsonModule(),
		"re":     newRegexps().module(),
		"time":   timeModule(),
		"base64": base64Module(),
		"hash":   hashModule(),
		"hmac":   hmacModule(),
		"math":   math.Module,

		"struct":     starlark.NewBuiltin("struct", makeStruct),
		"isinstance": starlark.NewBuiltin("isinstance", isInstance),
		"sum":        starlark.NewBuiltin("sum", sum),
		"round":      starlark.NewBuiltin("round", round),
	}
}

const zoneKey = "larkspur/zone"

// SetZone sets the zone in which a thread's times are read and shown.
func SetZone(thread *starlark.Thread, zone *time.Location) { thread.SetLocal(zoneKey, zone) }

// Zone returns the zone of a thread, UTC if none was set.
func Zone(thread *starlark.Thread) *time.Location {
	if zone, ok := thread.Local(zoneKey).(*time.Location); ok && zone != nil {
		return zone
	}
	return time.UTC
}

// builtin is the type of functions in Go.
type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

// module makes a module whose functions carry its name in their messages.
func module(name string, functions map[string]builtin) *starlarkstruct.Module {
	members := make(starlark.StringDict, len(functions))
	for fn, do := range functions {
		members[fn] = starlark.NewBuiltin(name+"."+fn, do)
	}
	return &starlarkstruct.Module{Name: name, Members: members}
}
