package worker

import (
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/pure"
)

// environment is what scripts can name, made once from the first message.
// Frozen; shared by all threads, which carry their call or bundle themselves.
type environment struct {
	hello       wire.Hello
	interpreter string
	words       map[string]*word    // by wire name
	scripts     starlark.StringDict // what files of a workspace see
	library     starlark.StringDict // what files of the shipped library see besides
	cover       *coverage           // nil unless it is asked for
	trace       []byte              // where a worker with one call writes down where it is; see wire.PutTrace
}

// libraryPrefix begins the paths of the shipped library.
const libraryPrefix = "@larkspur//"

// localWords are spelled like builtins but performed here, by way of them.
var localWords = map[string]bool{"change.made": true, "change.undo": true, "parallel": true, "continue_as": true, "lock.release": true, "expect.wait": true,
	"timer.start": true, "timer.pause": true, "timer.resume": true, "timer.stop": true}

func newEnvironment(hello wire.Hello) *environment {
	env := &environment{hello: hello, interpreter: interpreterVersion(), words: map[string]*word{}}
	members := map[string]starlark.StringDict{} // by module, "" for words without one
	internal := map[string]starlark.StringDict{}
	for _, sig := range hello.Signatures {
		w := newWord(sig)
		env.words[sig.Name] = w
		if localWords[sig.Name] || strings.HasPrefix(sig.Name, incidentPrefix) {
			continue
		}
		if !w.Internal {
			env.add(members, w)
		}
		env.add(internal, w)
	}
	env.scripts = assemble(members)
	env.library = assemble(internal)
	env.library["inverse"] = starlark.NewBuiltin("inverse", inverseWord)
	env.library["resolve"] = starlark.NewBuiltin("resolve", resolveWord)
	if hello.Cover {
		env.cover = newCoverage()
		env.scripts[coverWord] = starlark.NewBuiltin("cover", env.cover.word)
	}
	env.scripts.Freeze()
	env.library.Freeze()
	return env
}

// add puts a builtin into its module.
func (env *environment) add(members map[string]starlark.StringDict, w *word) {
	module, name, found := strings.Cut(w.Name, ".")
	if !found {
		module, name = "", w.Name
	}
	if members[module] == nil {
		members[module] = starlark.StringDict{}
	}
	members[module][name] = env.builtin(w)
}

// builtin makes the callable of a word.
func (env *environment) builtin(w *word) *starlark.Builtin {
	if w.Name == "print" {
		return starlark.NewBuiltin("print", printWord)
	}
	if fn := incidentsWord(w.Name); fn != nil {
		return starlark.NewBuiltin(w.Name, fn)
	}
	return starlark.NewBuiltin(w.Name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c, err := running(thread, w.Name)
		if err != nil {
			return nil, err
		}
		values, err := w.normalize(c.converter, args, kwargs)
		if err != nil {
			return nil, err
		}
		return c.perform(w, values)
	})
}

// assemble makes the names of one kind of files.
func assemble(members map[string]starlark.StringDict) starlark.StringDict {
	names := pure.Members()
	for name, v := range localMembers() {
		names[name] = v
	}
	for module, functions := range members {
		if module == "" {
			for name, v := range functions {
				names[name] = v
			}
			continue
		}
		if local, ok := names[module].(*starlarkstruct.Module); ok {
			functions = unlessSecret(local.Members, functions)
		}
		names[module] = &starlarkstruct.Module{Name: module, Members: functions}
	}
	return names
}

// unlessSecret joins functions that are computed here with steps of the same
// names, which are for secrets: a secret's value is known beyond the door alone.
func unlessSecret(local, steps starlark.StringDict) starlark.StringDict {
	joined := maps.Clone(local)
	for name, step := range steps {
		here, ok := local[name]
		if !ok {
			joined[name] = step
			continue
		}
		joined[name] = starlark.NewBuiltin(step.(*starlark.Builtin).Name(), func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			if hasSecret(args, kwargs) {
				return starlark.Call(thread, step, args, kwargs)
			}
			return starlark.Call(thread, here, args, kwargs)
		})
	}
	return joined
}

func hasSecret(args starlark.Tuple, kwargs []starlark.Tuple) bool {
	secret := func(v starlark.Value) bool { _, ok := v.(secretValue); return ok }
	return slices.ContainsFunc(args, secret) || slices.ContainsFunc(kwargs, func(kw starlark.Tuple) bool { return secret(kw[1]) })
}

// localMembers are the words performed in the worker.
func localMembers() starlark.StringDict {
	return starlark.StringDict{
		"continue_as": starlark.NewBuiltin("continue_as", continueWord),
		"attempt":     starlark.NewBuiltin("attempt", attemptWord),
		"change":      starlark.NewBuiltin("change", changeWord),
		"parallel":    starlark.NewBuiltin("parallel", parallelWord),
		"fail":        starlark.NewBuiltin("fail", failWord),
		"print":       starlark.NewBuiltin("print", printWord),
		"secret":      starlark.NewBuiltin("secret", secretWord),
		"run":         starlark.NewBuiltin("run", runWord),
		"rule":        starlark.NewBuiltin("rule", ruleWord),
		"job":         starlark.NewBuiltin("job", jobWord),
		"playbook":    starlark.NewBuiltin("playbook", playbookWord),
		"param":       paramModule(),
		"on":          onModule(),
		"field":       fieldModule(),
	}
}

// interpreterVersion names the interpreter: tick counts compare under it.
func interpreterVersion() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "go.starlark.net" {
				version = dep.Version
			}
		}
	}
	return fmt.Sprintf("go.starlark.net %s compiler %d", version, starlark.CompilerVersion)
}

// What a thread carries.
const (
	callKey   = "larkspur/call"
	loaderKey = "larkspur/loader"
	bundleKey = "larkspur/bundle"
)

// running returns the call of a thread, or why word cannot be called here.
func running(thread *starlark.Thread, word string) (*call, error) {
	if c, ok := thread.Local(callKey).(*call); ok {
		return c, nil
	}
	if _, testing := thread.Local(testKey).(*testCall); testing {
		return nil, engine.Errorf(engine.Script, "%s: not in a test: only a playbook calls it", word).
			WithHint("start the playbook with t.trigger, t.event or t.job, and look at what it did")
	}
	if _, loading := thread.Local(loaderKey).(*loader); loading {
		return nil, engine.Errorf(engine.Script, "%s: not at the top level: scripts only declare there", word).
			WithHint("call it in the function that do names")
	}
	return nil, engine.Errorf(engine.Script, "%s: not in a where or dedup function, which see the event alone", word)
}
