package trial

import (
	"context"

	"larkspur/appliance/config"
	"larkspur/builtins"
	"larkspur/engine"
)

// fakes stands where the door to the world is: nothing leaves a trial. An effect
// without a fake returns the empty result of its shape, as in shadow, and what can
// be taken back is.
type fakes struct {
	signatures map[string]engine.Signature
	attributes map[string][]string // of results, by their type
	from       results
	calls      map[string]int // of each builtin
}

// results are where fakes come from. call counts the calls of the builtin, from 0;
// nil is no fake for it.
type results interface {
	result(ctx context.Context, s engine.Signature, c *engine.Call, call int) (*config.Fake, error)
}

func newFakes(from results) *fakes {
	f := &fakes{signatures: map[string]engine.Signature{}, attributes: map[string][]string{}, from: from, calls: map[string]int{}}
	for _, s := range builtins.Signatures() {
		f.signatures[s.Name] = s
		if names := s.Attributes(); len(names) > 0 {
			f.attributes[s.Type] = names
		}
	}
	return f
}

// Lookup implements runner.Builtins.
func (f *fakes) Lookup(name string) (engine.Builtin, bool) {
	s, ok := f.signatures[name]
	return engine.Builtin{Signature: s, Do: f.Do}, ok
}

// Do implements runner.Builtins.
func (f *fakes) Do(ctx context.Context, c *engine.Call) (engine.Result, error) {
	s := f.signatures[c.Name]
	n := f.calls[s.Name]
	f.calls[s.Name]++
	fake, err := f.from.result(ctx, s, c, n)
	switch {
	case err != nil:
		return engine.Result{}, err
	case fake == nil:
		fake = &config.Fake{Result: emptyResult(s)}
	case fake.Error != nil:
		failure := *fake.Error
		return engine.Result{}, &failure
	}
	r := engine.Result{Value: f.shaped(s, fake.Result)}
	if s.Inverse != "" {
		r.Change = &engine.Inverse{Title: c.Name, Builtin: s.Inverse, Args: inverseArgs(s, c)}
	}
	return r, nil
}

// emptyResult is what an effect without a fake returns.
func emptyResult(s engine.Signature) engine.Value {
	if s.Name == "smtp.deliver" { // the outbox reads its lists
		return map[string]engine.Value{"accepted": []engine.Value{}, "refused": []engine.Value{}}
	}
	return s.EmptyResult()
}

// Probe implements runner.Builtins. No trial is interrupted within an effect.
func (f *fakes) Probe(context.Context, *engine.Call) (bool, engine.Result, error) {
	return false, engine.Result{}, nil
}

// fileFakes are those of an answers file.
type fileFakes map[string]config.Fakes

func (f fileFakes) result(_ context.Context, s engine.Signature, c *engine.Call, n int) (*config.Fake, error) {
	given, ok := f[s.Name]
	switch {
	case !ok && c.Class == engine.Read:
		return nil, engine.Errorf(engine.Invalid, "%s: a replay does not ask the world, and nothing stands in for the answer", s.Name).
			WithHint("write one into the answers file, under fakes: %s: …", s.Name)
	case !ok:
		return nil, nil
	case given.Each != nil:
		return given.Each, nil
	case n >= len(given.InOrder):
		return nil, engine.Errorf(engine.Invalid, "%s: this is call number %d, and the answers file has %d", s.Name, n+1, len(given.InOrder)).
			WithHint("add one under fakes: %s, or write one result without a list: it counts for every call", s.Name)
	}
	return &given.InOrder[n], nil
}

// shaped gives a result its builtin's type: a dict becomes its struct, with the
// attributes that are left out nil, and so does each dict of a list.
func (f *fakes) shaped(s engine.Signature, v engine.Value) engine.Value {
	switch v := v.(type) {
	case engine.Struct:
		if v.Type != "" {
			return v
		}
		return f.shaped(s, v.Fields)
	case map[string]engine.Value:
		if s.Type == "" {
			return v
		}
		fields := map[string]engine.Value{}
		for _, name := range f.attributes[s.Type] {
			fields[name] = nil
		}
		for name, field := range v {
			fields[name] = field
		}
		return engine.Struct{Type: s.Type, Fields: fields}
	case []engine.Value:
		items := make([]engine.Value, len(v))
		for i, item := range v {
			items[i] = f.shaped(s, item)
		}
		return items
	}
	return v
}

// inverseArgs are those of the call, as builtins with an inverse have it.
func inverseArgs(s engine.Signature, c *engine.Call) map[string]engine.Value {
	args := map[string]engine.Value{}
	for name, v := range c.Args {
		args[name] = v
	}
	if c.Connection != "" && s.Connection != "" {
		args[s.ConnectionParam()] = c.Connection
	}
	return args
}
