package worker

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// errorType is the Type of what t.error makes; viewType that of a live view.
const (
	errorType = "t.error"
	viewType  = "t.view"
)

// benchWord is one word of t. Those without perform are asked of the bench as
// they are bound.
type benchWord struct {
	*word
	perform func(c *testCall, bound map[string]starlark.Value) (starlark.Value, error)
	fields  bool // takes any other keywords besides, as one dict
}

// benchWords is the one list of the words of t.
func benchWords() []benchWord {
	need := func(name, kind string) engine.Param { return engine.Param{Name: name, Kind: kind, Required: true} }
	may := func(name, kind string) engine.Param { return engine.Param{Name: name, Kind: kind} }
	sign := func(name string, params ...engine.Param) *word {
		return newWord(engine.Signature{Name: "t." + name, Params: params, Positional: len(params)})
	}
	message := may("message", "text")
	return []benchWord{
		{word: sign("fake", need("name", "text"), need("results", "any")), perform: benchFake},
		{word: sign("error", need("kind", "text"), may("message", "text"), may("cause", "text")), perform: benchError},
		{word: sign("answer", need("who", "person"), may("choice", "text"), may("fields", "dict"), may("reason", "text"), may("after", "duration"))},
		{word: sign("delay", need("name", "text"), need("duration", "duration"))},
		{word: sign("trigger", need("rule", "text")), fields: true},
		{word: sign("event", need("kind", "text"), need("source", "text")), fields: true},
		{word: sign("job", need("name", "text"))},
		{word: sign("playbook", need("playbook", "text")), fields: true},
		{word: sign("incident", need("type", "text"), may("status", "text"), may("severity", "text"), may("fields", "pairs"), may("age", "duration"))},
		{word: sign("press", need("label", "text"))},
		{word: sign("person", need("name", "text")), perform: benchPerson},
		{word: sign("at", need("time", "text|time"))},
		{word: sign("advance", need("duration", "duration"))},
		{word: sign("crash")},
		{word: sign("eq", need("got", "any"), need("want", "any"), message), perform: benchEqual},
		{word: sign("ne", need("got", "any"), need("want", "any"), message), perform: benchNotEqual},
		{word: sign("true", need("value", "any"), message), perform: benchTrue},
		{word: sign("contains", need("container", "any"), need("item", "any"), message), perform: benchContains},
		{word: sign("fails", need("fn", "function"), may("text", "text")), perform: benchFails},
	}
}

// laterBench are words of t that wait for what they speak of.
var laterBench = map[string]string{
	"form": "forms",
}

// benchValue is t.
type benchValue struct{ call *testCall }

var _ starlark.HasAttrs = (*benchValue)(nil)

func (b *benchValue) String() string        { return "t" }
func (b *benchValue) Type() string          { return "bench" }
func (b *benchValue) Freeze()               {}
func (b *benchValue) Truth() starlark.Bool  { return true }
func (b *benchValue) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: bench") }

// AttrNames lists the words of t.
func (b *benchValue) AttrNames() []string { return benchNames() }

func benchNames() []string {
	var names []string
	for _, w := range benchWords() {
		names = append(names, strings.TrimPrefix(w.Name, "t."))
	}
	slices.Sort(names)
	return names
}

// Attr returns a word of t.
func (b *benchValue) Attr(name string) (starlark.Value, error) {
	w, err := benchWordNamed(name)
	if err != nil {
		return nil, err
	}
	return starlark.NewBuiltin(w.Name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return w.call(b.call, args, kwargs)
	}), nil
}

func benchWordNamed(name string) (*benchWord, error) {
	for _, w := range benchWords() {
		if w.Name == "t."+name {
			return &w, nil
		}
	}
	if what, later := laterBench[name]; later {
		return nil, engine.Errorf(engine.Invalid, "t.%s: this version has no %s yet", name, what)
	}
	return nil, engine.Errorf(engine.Invalid, "there is no t.%s", name).WithHint("%s", didYouMean(name, benchNames()))
}

// call binds a call of the word and performs it.
func (w *benchWord) call(c *testCall, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var free []starlark.Tuple
	if w.fields {
		if len(args) < len(w.params) {
			return nil, engine.Errorf(engine.Invalid, "%s: missing argument %s", w.Name, w.params[len(args)].Name).
				WithHint("it stands in its place, without a name: names are those of fields")
		}
		free, kwargs = kwargs, nil
	}
	if w.perform != nil {
		bound, err := w.bind(args, kwargs)
		if err != nil {
			return nil, err
		}
		return w.perform(c, bound)
	}
	values, err := w.normalize(c.converter, args, kwargs)
	if err != nil {
		return nil, err
	}
	if w.fields {
		fields := make(map[string]engine.Value, len(free))
		for _, kw := range free {
			name := string(kw[0].(starlark.String))
			if fields[name], err = c.converter.toValue(kw[1]); err != nil {
				return nil, wrongArgument(w.Name, name, err)
			}
		}
		values["fields"] = fields
	}
	return c.perform(strings.TrimPrefix(w.Name, "t."), values)
}

// benchFake gives a builtin a function, or results in order, or one for all
// calls.
func benchFake(c *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	name, ok := starlark.AsString(bound["name"])
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "t.fake: name: got %s, want the name of a builtin", describe(bound["name"]))
	}
	values := map[string]engine.Value{"name": name}
	list, inOrder := bound["results"].(*starlark.List)
	if !inOrder {
		item, err := c.fakeItem(bound["results"])
		if err != nil {
			return nil, wrongArgument("t.fake", name, err)
		}
		values["each"] = item
		return c.perform("fake", values)
	}
	items := make([]engine.Value, list.Len())
	for i := range items {
		item, err := c.fakeItem(list.Index(i))
		if err != nil {
			return nil, wrongArgument("t.fake", fmt.Sprintf("%s: result %d", name, i+1), err)
		}
		items[i] = item
	}
	values["in_order"] = items
	return c.perform("fake", values)
}

func (c *testCall) fakeItem(v starlark.Value) (engine.Value, error) {
	if fn, ok := v.(starlark.Callable); ok {
		return map[string]engine.Value{"function": int64(c.keep(fn)), "at": functionPosition(fn)}, nil
	}
	value, err := c.converter.toValue(v)
	return map[string]engine.Value{"value": value}, err
}

// benchError makes a result that is an error.
func benchError(_ *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	kind, _ := starlark.AsString(bound["kind"])
	if !slices.Contains(errorKinds, kind) {
		return nil, engine.Errorf(engine.Invalid, "t.error: kind: got %s, want one of %s", describe(bound["kind"]), strings.Join(errorKinds, ", ")).
			WithHint("%s", didYouMean(kind, errorKinds))
	}
	fields := starlark.StringDict{"kind": starlark.String(kind), "message": starlark.String("an error, as the test says"), "cause": starlark.String("")}
	for _, name := range []string{"message", "cause"} {
		if v, given := bound[name]; given {
			text, ok := starlark.AsString(v)
			if !ok {
				return nil, engine.Errorf(engine.Invalid, "t.error: %s: got %s, want a string", name, describe(v))
			}
			fields[name] = starlark.String(text)
		}
	}
	return pure.NewStruct(errorType, fields), nil
}

func benchPerson(c *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	name, _ := starlark.AsString(bound["name"])
	p, err := c.person(name)
	if err != nil {
		return nil, wrongArgument("t.person", "", err)
	}
	return personValue{Name: p.Name, Email: p.Email}, nil
}

// mismatch is the error of an assertion.
func mismatch(bound map[string]starlark.Value, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if why, ok := starlark.AsString(bound["message"]); ok {
		text = why + "\n" + text
	}
	return engine.Errorf(engine.Script, "%s", text).WithCause(causeFailed)
}

// maxShownBytes bounds one side of a mismatch.
const maxShownBytes = 2000

func shown(v starlark.Value) string { return cut(v.String(), maxShownBytes) }

func benchEqual(_ *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	got, want := bound["got"], bound["want"]
	ok, err := same(got, want)
	if err != nil || ok {
		return starlark.None, err
	}
	return nil, mismatch(bound, "t.eq\n  got  %s\n  want %s%s", shown(got), shown(want), difference(got, want))
}

func benchNotEqual(_ *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	ok, err := same(bound["got"], bound["want"])
	if err != nil || !ok {
		return starlark.None, err
	}
	return nil, mismatch(bound, "t.ne\n  got  %s on both sides", shown(bound["got"]))
}

func benchTrue(_ *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	if bound["value"].Truth() {
		return starlark.None, nil
	}
	return nil, mismatch(bound, "t.true\n  got  %s", shown(bound["value"]))
}

func benchContains(_ *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	ok, err := contains(bound["container"], bound["item"])
	if err != nil || ok {
		return starlark.None, err
	}
	return nil, mismatch(bound, "t.contains\n  got  %s\n  want %s in it", shown(bound["container"]), shown(bound["item"]))
}

// benchFails calls fn, which must fail with an error that holds text.
func benchFails(c *testCall, bound map[string]starlark.Value) (starlark.Value, error) {
	fn, ok := bound["fn"].(starlark.Callable)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "t.fails: fn: got %s, want a function", describe(bound["fn"])).
			WithHint("write t.fails(lambda: …): what shall fail must be called inside")
	}
	text, _ := starlark.AsString(bound["text"])
	v, err := starlark.Call(c.thread, fn, nil, nil)
	if err == nil {
		return nil, mismatch(bound, "t.fails\n  got  %s, and no error\n  want an error with %q", shown(v), text)
	}
	if isStop(err) || c.ticks.broken != nil {
		return nil, err
	}
	if e := scriptError(err); !strings.Contains(e.Message, text) {
		return nil, mismatch(bound, "t.fails\n  got  the error %s\n  want one with %q", cut(e.Message, maxShownBytes), text)
	}
	return starlark.None, nil
}
