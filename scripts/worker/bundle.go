package worker

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
)

// bundle is a loaded bundle: frozen, shared by all its calls.
type bundle struct {
	hash         string
	zone         *time.Location
	names        map[string][]string
	modules      map[string]*module // by the path that load() takes
	rules        map[string]*ruleFunctions
	declarations engine.Declarations
}

// module is one executed file.
type module struct {
	file    *file
	state   loadState
	globals starlark.StringDict
}

type loadState int

const (
	untouched loadState = iota
	loading
	loaded
	broken // its problem is reported
)

// ruleFunctions are what Evaluate asks of a rule.
type ruleFunctions struct {
	where []starlark.Callable // by trigger; nil where there is none
	dedup starlark.Callable
}

// handler names a function: the file of its def and its name. Only a top-level
// def has such a name.
func (b *bundle) handler(fn *starlark.Function) (engine.Handler, error) {
	h := engine.Handler{File: scriptPath(fn.Position().Filename()), Name: fn.Name()}
	if h.Name == "lambda" {
		return h, engine.Errorf(engine.Invalid, "got a lambda, want a top-level def").
			WithHint("what may run later is named: write a def at the top level of the file and give what it needs as args")
	}
	if m := b.modules[h.File]; m == nil || m.globals[h.Name] != starlark.Value(fn) {
		return h, engine.Errorf(engine.Invalid, "got the nested function %s, want a top-level def", h.Name).
			WithHint("what may run later is named: move the def to the top level of its file and give what it needs as args")
	}
	return h, nil
}

// function finds what a handler names.
func (b *bundle) function(h engine.Handler) (*starlark.Function, error) {
	m := b.modules[h.File]
	if m == nil {
		return nil, engine.Errorf(engine.NotFound, "handler %s: the bundle has no file %.200q", h.Name, h.File)
	}
	fn, ok := m.globals[h.Name].(*starlark.Function)
	if !ok {
		return nil, engine.Errorf(engine.NotFound, "handler %.80s: %s has no such function", h.Name, h.File)
	}
	return fn, nil
}

// scriptsFolder is where a workspace keeps its scripts.
const scriptsFolder = "scripts/"

// scriptPath is a bundle's path as load() takes it: from scripts/, or in the
// shipped library.
func scriptPath(path string) string { return strings.TrimPrefix(path, scriptsFolder) }

// accepts says why a function cannot be called with that many arguments and
// those keywords, or "".
func accepts(fn *starlark.Function, positional []string, keywords []string) string {
	params := fn.NumParams()
	if fn.HasKwargs() {
		params--
	}
	if fn.HasVarargs() {
		params--
	}
	byPosition := params - fn.NumKwonlyParams()
	call := callText(fn.Name(), positional, keywords)
	if len(positional) > byPosition && !fn.HasVarargs() {
		return fmt.Sprintf("%s takes %s, but is called as %s", fn.Name(), count(byPosition, "argument"), call)
	}
	given := map[string]bool{}
	for i := range min(len(positional), byPosition) {
		name, _ := fn.Param(i)
		given[name] = true
	}
	known := map[string]bool{}
	for i := range params {
		name, _ := fn.Param(i)
		known[name] = true
	}
	for _, k := range keywords {
		if given[k] {
			return fmt.Sprintf("%s gets %s twice when it is called as %s", fn.Name(), k, call)
		}
		if !known[k] && !fn.HasKwargs() {
			return fmt.Sprintf("%s has no parameter %s, but is called as %s", fn.Name(), k, call)
		}
		given[k] = true
	}
	for i := range params {
		if name, _ := fn.Param(i); !given[name] && fn.ParamDefault(i) == nil {
			return fmt.Sprintf("%s wants %s, but is called as %s", fn.Name(), name, call)
		}
	}
	return ""
}

func callText(name string, positional, keywords []string) string {
	parts := append([]string{}, positional...)
	for _, k := range keywords {
		parts = append(parts, k+" = …")
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
