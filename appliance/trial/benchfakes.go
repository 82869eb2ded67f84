package trial

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/appliance/config"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
)

// benchFake is what t.fake said of one builtin.
type benchFake struct {
	each    *fakeItem
	inOrder []fakeItem
	at      string         // of t.fake
	calls   map[string]int // since then; of a scene by run
}

// fakeItem is one result: a function of the test, or a value.
type fakeItem struct {
	function int // -1 for a value
	value    engine.Value
	at       string // of the function
}

// errorType is the Type of what t.error makes.
const errorType = "t.error"

func (t *trialTest) fake(args map[string]engine.Value) (engine.Value, error) {
	name := text(args["name"])
	if err := t.builtin(name); err != nil {
		return nil, err
	}
	f := &benchFake{at: t.at, calls: map[string]int{}}
	if each, ok := args["each"].(map[string]engine.Value); ok {
		item := asItem(each)
		f.each = &item
	}
	list, _ := args["in_order"].([]engine.Value)
	for _, item := range list {
		m, _ := item.(map[string]engine.Value)
		f.inOrder = append(f.inOrder, asItem(m))
	}
	t.fakes[name] = f
	return nil, nil
}

func asItem(m map[string]engine.Value) fakeItem {
	if n, ok := m["function"].(int64); ok {
		return fakeItem{function: int(n), at: text(m["at"])}
	}
	return fakeItem{function: -1, value: m["value"]}
}

// builtin refuses the name of a builtin that there is not, or that needs no fake.
func (t *trialTest) builtin(name string) error {
	if _, ok := t.builtins.signatures[name]; ok {
		return nil
	}
	names := slices.Sorted(maps.Keys(t.builtins.signatures))
	switch name {
	case "ask":
		return engine.Errorf(engine.Invalid, "ask has no fake: people answer").WithHint(`write t.answer("dave", "Yes")`)
	case "now", "sleep", "incident.wait":
		return engine.Errorf(engine.Invalid, "%s has no fake: time is virtual here", name).WithHint(`write t.at("2026-11-22T08:00") or t.advance("9h")`)
	}
	return engine.Errorf(engine.NotFound, "there is no builtin %q to fake", name).WithHint("%s", settings.Suggest(name, names))
}

func (t *trialTest) delay(args map[string]engine.Value) (engine.Value, error) {
	name := text(args["name"])
	if err := t.builtin(name); err != nil {
		return nil, err
	}
	t.delays[name], _ = args["duration"].(time.Duration)
	return nil, nil
}

// result implements results: what a playbook's call comes to.
func (t *trialTest) result(ctx context.Context, s engine.Signature, c *engine.Call, _ int) (*config.Fake, error) {
	if t.broken != nil {
		return nil, t.broken // the test has failed
	}
	if late := t.takeTime(ctx, c); late != nil {
		return &config.Fake{Error: late}, nil
	}
	f := t.fakes[s.Name]
	if f == nil {
		if c.Class != engine.Read {
			return nil, nil
		}
		return nil, t.breaks(t.noFake(s))
	}
	item, err := f.next(s, t.turn(c))
	if err != nil {
		return nil, t.breaks(engine.AsError(err))
	}
	v, at := item.value, f.at
	if item.function >= 0 {
		if v, at, err = t.ask(ctx, s, c, item); err != nil {
			return nil, err
		}
	}
	fake, err := t.asFake(s, v)
	if err != nil {
		return nil, t.breaks(engine.Errorf(engine.Invalid, "%s: the fake of %s: %w", at, s.Name, err).WithHint("%s", engine.AsError(err).Hint))
	}
	return fake, nil
}

// noFake says which fake to write.
func (t *trialTest) noFake(s engine.Signature) *engine.Error {
	if t.scene != nil {
		return engine.Errorf(engine.Invalid, "%s: a replay does not ask the world, and %s, which answers for this rule, has no fake for it", s.Name, t.scene.Name).
			WithHint("write there, or into a test before it: %s, or give --answers FILE", pasted(s))
	}
	return engine.Errorf(engine.Invalid, "%s: nothing stands in for it, and a test does not ask the world", s.Name).
		WithHint("write before it: %s", pasted(s))
}

// turn is whose calls a list of results counts: the test's, or in a replay those
// of one run.
func (t *trialTest) turn(c *engine.Call) string {
	if t.scene != nil {
		return c.Run
	}
	return ""
}

// breaks fails the test, whatever the playbook makes of the error.
func (t *trialTest) breaks(e *engine.Error) error {
	t.broken = e
	return e
}

// pasted is a line that makes a fake of a builtin.
func pasted(s engine.Signature) string {
	names := s.Attributes()
	if len(names) > 4 {
		names = names[:4]
	}
	result := "None"
	if len(names) > 0 && s.Type != "" {
		result = "struct(" + strings.Join(names, " = …, ") + " = …)"
	}
	if strings.HasPrefix(s.Result, "a list") {
		result = "[]"
	}
	return fmt.Sprintf("t.fake(%q, lambda *a, **kw: %s)", s.Name, result)
}

func (f *benchFake) next(s engine.Signature, turn string) (fakeItem, error) {
	if f.each != nil {
		return *f.each, nil
	}
	f.calls[turn]++
	n := f.calls[turn]
	if n > len(f.inOrder) {
		return fakeItem{}, engine.Errorf(engine.Invalid, "%s: this is call number %d, and the list at %s has %d", s.Name, n, f.at, len(f.inOrder)).
			WithHint("add a result to it, or give a function: it counts for every call")
	}
	return f.inOrder[n-1], nil
}

// takeTime lets the time of t.delay pass; longer than the call may take, it ends
// the call.
func (t *trialTest) takeTime(ctx context.Context, c *engine.Call) *engine.Error {
	d := t.delays[c.Name]
	if d == 0 {
		return nil
	}
	limit := d
	if most, ok := c.Args["timeout"].(time.Duration); ok && most > 0 {
		limit = min(limit, most)
	}
	if end, ok := ctx.Deadline(); ok { // what is left of an attempt, from the real present
		limit = min(limit, time.Until(end).Round(time.Second))
	}
	t.clock.pass(t.clock.now.Add(limit))
	if limit == d {
		return nil
	}
	e := engine.Errorf(engine.Timeout, "%s: no answer within %s", c.Name, calendar.FormatDuration(limit))
	e.Maybe = c.Class != engine.Read
	return e
}

// ask has the test's worker call a function in place of the world.
func (t *trialTest) ask(ctx context.Context, s engine.Signature, c *engine.Call, item fakeItem) (v engine.Value, at string, err error) {
	args := inverseArgs(s, c)
	data, err := engine.Encode(args)
	if err != nil {
		return nil, "", err
	}
	order, positional := places(s)
	if err := t.call.Fake(wire.Fake{Function: item.function, Builtin: s.Name, Args: data, Order: order, Positional: positional}); err != nil {
		return nil, "", err
	}
	t.faking = c
	event, err := t.serve(ctx)
	t.faking = nil
	if err != nil {
		return nil, "", t.gone(err)
	}
	faked, ok := event.(*wire.Faked)
	if !ok {
		return nil, "", t.breaks(engine.Errorf(engine.Internal, "%s: the test ended within a fake", s.Name))
	}
	if faked.Error != nil {
		e := engine.Errorf(engine.Invalid, "%s: the fake of %s failed: %s", faked.At, s.Name, faked.Error.Message)
		return nil, "", t.breaks(e.WithHint("%s", faked.Error.Hint))
	}
	v, err = faked.Result.Value()
	return v, faked.At, err
}

// gone keeps what ended the test's worker within a fake.
func (t *trialTest) gone(err error) error {
	var death *sandbox.Death
	if asDeath(err, &death) {
		return t.breaks(t.death(death))
	}
	return err
}

// places are the parameters of a builtin in order, a connection first, and how
// many of them may stand without a name.
func places(s engine.Signature) (order []string, positional int) {
	positional = s.Positional
	named := false
	for _, p := range s.Params {
		order = append(order, p.Name)
		named = named || p.Kind == "connection"
	}
	if s.Connection != "" && !named {
		order, positional = append([]string{"connection"}, order...), positional+1
	}
	return order, positional
}

// asFake reads what a fake returned, and refuses what the builtin would not.
func (t *trialTest) asFake(s engine.Signature, v engine.Value) (*config.Fake, error) {
	if e, ok := v.(engine.Struct); ok && e.Type == errorType {
		return &config.Fake{Error: &engine.Error{
			Kind: engine.Kind(text(e.Fields["kind"])), Message: text(e.Fields["message"]), Cause: text(e.Fields["cause"]),
		}}, nil
	}
	list := strings.HasPrefix(s.Result, "a list")
	switch v := v.(type) {
	case nil:
		if s.Class != engine.Read && !strings.Contains(s.Result, "or None") {
			return &config.Fake{Result: emptyResult(s)}, nil
		}
		if list {
			return nil, engine.Errorf(engine.Invalid, "got None, want a list").WithHint("what is missing is an empty list")
		}
	case []engine.Value:
		if !list && s.Type != "" {
			return nil, engine.Errorf(engine.Invalid, "got a list, want %s", wanted(s)).WithHint("a list given to t.fake is of the results of the first call, the second, …")
		}
		for _, item := range v {
			if err := t.fits(s, item); err != nil {
				return nil, err
			}
		}
	default:
		if list {
			return nil, engine.Errorf(engine.Invalid, "got %s, want a list", kindOf(v)).WithHint("a list given to t.fake is of the results of the first call, the second, …: write a list in a list, or a function that returns one")
		}
		if err := t.fits(s, v); err != nil {
			return nil, err
		}
	}
	return &config.Fake{Result: v}, nil
}

// fits holds one result against the attributes that it has in the world.
func (t *trialTest) fits(s engine.Signature, v engine.Value) error {
	names := t.builtins.attributes[s.Type]
	if s.Type == "" || len(names) == 0 {
		return nil
	}
	var fields map[string]engine.Value
	switch v := v.(type) {
	case map[string]engine.Value:
		fields = v
	case engine.Struct:
		fields = v.Fields
	default:
		return engine.Errorf(engine.Invalid, "got %s, want %s", kindOf(v), wanted(s))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(names, name) && name != "id" {
			return engine.Errorf(engine.Invalid, "its result has no %q", name).WithHint("%s", settings.Suggest(name, names))
		}
	}
	return nil
}

func wanted(s engine.Signature) string {
	return "a struct or dict with " + strings.Replace(s.Result, "; or", ", or", 1)
}

// kindOf names the type of a value as scripts do.
func kindOf(v engine.Value) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case []engine.Value:
		return "a list"
	case map[string]engine.Value, engine.Dict:
		return "a dict"
	case engine.Struct:
		return "a struct"
	}
	return fmt.Sprintf("a %T", v)
}

func text(v engine.Value) string {
	s, _ := v.(string)
	return s
}
