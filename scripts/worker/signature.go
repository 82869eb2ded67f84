package worker

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"larkspur/engine"
)

// word is a callable name of scripts with its whole parameter list: those of its
// signature and those that its class implies.
type word struct {
	engine.Signature
	params     []engine.Param
	positional int
	defaults   map[string]string // by parameter, canonical
}

// newWord completes a signature. A connection is the first parameter unless the
// signature says where it stands; changes take expires and why; effect overrides
// the class where it may.
func newWord(sig engine.Signature) *word {
	w := &word{Signature: sig, params: slices.Clone(sig.Params), positional: min(sig.Positional, len(sig.Params))}
	if sig.Connection != "" && !w.has(sig.ConnectionParam()) {
		w.params = slices.Insert(w.params, 0, engine.Param{Name: "connection", Kind: "connection"})
		w.positional++
	}
	if sig.EffectParam && !w.has("effect") {
		w.params = append(w.params, engine.Param{Name: "effect", Kind: "text"})
	}
	if sig.Change {
		for _, p := range []engine.Param{{Name: "expires", Kind: "duration"}, {Name: "why", Kind: "text"}} {
			if !w.has(p.Name) {
				w.params = append(w.params, p)
			}
		}
	}
	w.defaults = map[string]string{}
	for _, p := range w.params {
		if v, err := p.Default.Value(); err == nil && len(p.Default) > 0 {
			w.defaults[p.Name] = string(engine.MustEncode(v))
		}
	}
	return w
}

// isDefault tells an argument that is its parameter's default.
func (w *word) isDefault(name string, v engine.Value) bool {
	standard, has := w.defaults[name]
	if !has {
		return false
	}
	given, err := engine.Encode(v)
	return err == nil && string(given) == standard
}

// spoken is what counts of a call's arguments when a journal is held against it:
// those that are their parameter's default are left out, so that a parameter that
// a later version adds changes nothing. data are all of them.
func (w *word) spoken(args map[string]engine.Value, data engine.Data) engine.Data {
	return w.leaveOut(args, data, w.isDefault)
}

// leaveOut encodes arguments but for some.
func (w *word) leaveOut(args map[string]engine.Value, data engine.Data, out func(name string, v engine.Value) bool) engine.Data {
	rest := make(map[string]engine.Value, len(args))
	for name, v := range args {
		if !out(name, v) {
			rest[name] = v
		}
	}
	if len(rest) == len(args) {
		return data
	}
	return engine.MustEncode(rest) // a part of what was encoded
}

func (w *word) has(name string) bool { return w.param(name) != nil }

func (w *word) param(name string) *engine.Param {
	for i := range w.params {
		if w.params[i].Name == name {
			return &w.params[i]
		}
	}
	return nil
}

// without is the word with its first parameter taken out, for a method whose
// receiver is that parameter.
func (w *word) without() *word {
	m := *w
	m.params = w.params[1:]
	m.positional = max(w.positional-1, 0)
	return &m
}

// bind gives every argument of a call its parameter. All words are bound here,
// so that every wrong call reads the same. None for an optional parameter is as
// good as leaving it out.
func (w *word) bind(args starlark.Tuple, kwargs []starlark.Tuple) (map[string]starlark.Value, error) {
	if len(args) > w.positional {
		return nil, w.tooMany(len(args))
	}
	bound := make(map[string]starlark.Value, len(args)+len(kwargs))
	for i, v := range args {
		bound[w.params[i].Name] = v
	}
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		if p := w.param(name); p == nil || p.Kind == engine.KindKeywords {
			if w.gather(bound, name, kw[1]) {
				continue
			}
			return nil, engine.Errorf(engine.Invalid, "%s: unexpected argument %q", w.Name, name).
				WithHint("%s", didYouMean(name, w.names()))
		}
		if _, twice := bound[name]; twice {
			return nil, engine.Errorf(engine.Invalid, "%s: %s is given twice", w.Name, name)
		}
		bound[name] = kw[1]
	}
	for _, p := range w.params {
		if v := bound[p.Name]; v == starlark.None && !p.Required {
			delete(bound, p.Name)
		} else if v == nil && p.Required {
			return nil, engine.Errorf(engine.Invalid, "%s: missing argument %s", w.Name, p.Name)
		}
	}
	return bound, nil
}

// gather puts a keyword that is no parameter's into the dict of those, if the word
// takes such.
func (w *word) gather(bound map[string]starlark.Value, name string, v starlark.Value) bool {
	for _, p := range w.params {
		if p.Kind == engine.KindKeywords {
			rest, ok := bound[p.Name].(*starlark.Dict)
			if !ok {
				rest = starlark.NewDict(1)
				bound[p.Name] = rest
			}
			return rest.SetKey(starlark.String(name), v) == nil
		}
	}
	return false
}

func (w *word) names() []string {
	names := make([]string, len(w.params))
	for i, p := range w.params {
		names[i] = p.Name
	}
	return names
}

func (w *word) tooMany(n int) error {
	hint := "it takes no arguments"
	if len(w.params) > w.positional {
		hint = "give " + w.params[w.positional].Name + " by its name: " + w.params[w.positional].Name + " = …"
	} else if len(w.params) > 0 {
		hint = "it takes " + strings.Join(w.names(), ", ")
	}
	return engine.Errorf(engine.Invalid, "%s: got %d arguments without a name, want at most %d", w.Name, n, w.positional).WithHint("%s", hint)
}

// normalize binds a call and makes the arguments that are recorded: plain
// values, defaults filled in, durations parsed.
func (w *word) normalize(c *converter, args starlark.Tuple, kwargs []starlark.Tuple) (map[string]engine.Value, error) {
	bound, err := w.bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	out := make(map[string]engine.Value, len(w.params))
	for _, p := range w.params {
		v, given := bound[p.Name]
		if !given {
			if len(p.Default) > 0 {
				if out[p.Name], err = p.Default.Value(); err != nil {
					return nil, engine.WrapError(engine.Internal, err, w.Name+": default of "+p.Name)
				}
			}
			continue
		}
		value, err := c.accept(p.Kind, v)
		if err != nil {
			return nil, wrongArgument(w.Name, p.Name, err)
		}
		if value != nil || v == starlark.None {
			out[p.Name] = value
		}
	}
	return out, nil
}

// wrongArgument puts word and parameter, either may be empty, before what was
// wrong with a value.
func wrongArgument(word, param string, err error) error {
	where := strings.Trim(word+": "+param, ": ")
	wrapped := engine.Errorf(engine.Invalid, "%s: %w", where, err)
	wrapped.Hint = engine.AsError(err).Hint
	return wrapped
}

// class is the class of a call, after `effect =`.
func (w *word) class(args map[string]engine.Value) (engine.Class, error) {
	effect, given := args["effect"].(string)
	if !w.EffectParam || !given || effect == "" {
		return w.Class, nil
	}
	switch c := engine.Class(effect); c {
	case engine.Read, engine.Repeatable, engine.Once:
		return c, nil
	}
	return "", engine.Errorf(engine.Invalid, "%s: effect: got %q, want read, repeatable or once", w.Name, effect)
}

// describe names a value in a message without quoting much of it.
func describe(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.String:
		return fmt.Sprintf("%.60q", string(v))
	case starlark.Int, starlark.Float, starlark.Bool, starlark.NoneType:
		return cut(v.String(), 60)
	}
	return v.Type()
}
