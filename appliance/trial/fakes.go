package trial

import (
	"context"

	"larkspur/appliance/config"
	"larkspur/builtins"
	"larkspur/engine"
)

// fakes stands where the door to the world is: nothing leaves a replay. A read
// without a fake is an error; an effect without one returns the empty result of
// its shape, as in shadow, and what can be taken back is.
type fakes struct {
	signatures map[string]engine.Signature
	given      map[string]config.Fakes
	calls      map[string]int // of each builtin
}

func newFakes(given map[string]config.Fakes) *fakes {
	f := &fakes{signatures: map[string]engine.Signature{}, given: given, calls: map[string]int{}}
	for _, s := range builtins.Signatures() {
		f.signatures[s.Name] = s
	}
	return f
}

// Lookup implements runner.Builtins.
func (f *fakes) Lookup(name string) (engine.Builtin, bool) {
	s, ok := f.signatures[name]
	return engine.Builtin{Signature: s, Do: f.Do}, ok
}

// Do implements runner.Builtins.
func (f *fakes) Do(_ context.Context, c *engine.Call) (engine.Result, error) {
	s := f.signatures[c.Name]
	fake, err := f.next(s, c)
	switch {
	case err != nil:
		return engine.Result{}, err
	case fake.Error != nil:
		failure := *fake.Error
		return engine.Result{}, &failure
	}
	r := engine.Result{Value: shaped(s, fake.Result)}
	if s.Inverse != "" {
		r.Change = &engine.Inverse{Title: c.Name + " (replayed)", Builtin: s.Inverse, Args: inverseArgs(c)}
	}
	return r, nil
}

// Probe implements runner.Builtins. No replay is interrupted within an effect.
func (f *fakes) Probe(context.Context, *engine.Call) (bool, engine.Result, error) {
	return false, engine.Result{}, nil
}

// next returns what the call comes to.
func (f *fakes) next(s engine.Signature, c *engine.Call) (config.Fake, error) {
	n := f.calls[s.Name]
	f.calls[s.Name]++
	given, ok := f.given[s.Name]
	switch {
	case s.Name == "smtp.deliver" && !ok:
		return config.Fake{Result: map[string]engine.Value{"accepted": []engine.Value{}, "refused": []engine.Value{}}}, nil
	case !ok && c.Class == engine.Read:
		return config.Fake{}, engine.Errorf(engine.Invalid, "%s: a replay does not ask the world, and nothing stands in for the answer", s.Name).
			WithHint("write one into the answers file, under fakes: %s: …", s.Name)
	case !ok:
		return config.Fake{Result: s.EmptyResult()}, nil
	case given.Each != nil:
		return *given.Each, nil
	case n >= len(given.InOrder):
		return config.Fake{}, engine.Errorf(engine.Invalid, "%s: this is call number %d, and the answers file has %d", s.Name, n+1, len(given.InOrder)).
			WithHint("add one under fakes: %s, or write one result without a list: it counts for every call", s.Name)
	}
	return given.InOrder[n], nil
}

// shaped gives a result its builtin's type: a dict becomes its struct, with the
// attributes that are left out nil, and so does each dict of a list.
func shaped(s engine.Signature, v engine.Value) engine.Value {
	switch v := v.(type) {
	case map[string]engine.Value:
		if s.Type == "" {
			return v
		}
		fields := map[string]engine.Value{}
		for _, name := range s.Attributes() {
			fields[name] = nil
		}
		for name, f := range v {
			fields[name] = f
		}
		return engine.Struct{Type: s.Type, Fields: fields}
	case []engine.Value:
		items := make([]engine.Value, len(v))
		for i, item := range v {
			items[i] = shaped(s, item)
		}
		return items
	}
	return v
}

// inverseArgs are those of the call, as builtins with an inverse have it.
func inverseArgs(c *engine.Call) map[string]engine.Value {
	args := map[string]engine.Value{}
	for name, v := range c.Args {
		args[name] = v
	}
	if c.Connection != "" {
		args["connection"] = c.Connection
	}
	return args
}
