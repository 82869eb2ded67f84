package worker

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// timerWord is the method that names a deadline; the acts of one are steps of their
// own, named timer.ACT.
const (
	timerWord   = incidentPrefix + "timer"
	timerPrefix = "timer."
)

// timerActs are what a deadline can do.
var timerActs = []string{"pause", "resume", "start", "stop"}

// timerValue is what i.timer(name) returns: nothing happens before one of its
// methods is called.
type timerValue struct {
	incident *incidentValue
	name     string
}

var _ starlark.HasAttrs = (*timerValue)(nil)

func (t *timerValue) String() string        { return fmt.Sprintf("timer(%q)", t.name) }
func (t *timerValue) Type() string          { return "timer" }
func (t *timerValue) Freeze()               {}
func (t *timerValue) Truth() starlark.Bool  { return true }
func (t *timerValue) Hash() (uint32, error) { return starlark.String(t.name).Hash() }
func (t *timerValue) AttrNames() []string   { return timerActs }

// Attr returns one of the methods.
func (t *timerValue) Attr(name string) (starlark.Value, error) {
	if !slices.Contains(timerActs, name) {
		return nil, nil
	}
	return starlark.NewBuiltin(timerPrefix+name, t.act), nil
}

// timer names a deadline of the incident.
func (i *incidentValue) timer(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	values, err := i.call.env.words[timerWord].without().normalize(i.call.converter, args, kwargs)
	if err != nil {
		return nil, err
	}
	return &timerValue{i, values["name"].(string)}, nil
}

// act is the step of a method.
func (t *timerValue) act(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c := t.incident.call
	w := c.env.words[b.Name()]
	method := w.without().without()
	values, err := method.normalize(c.converter, args, kwargs)
	if err != nil {
		return nil, err
	}
	values["incident"], values["name"] = t.incident.id, t.name
	return c.perform(w, values)
}

// timers holds the arguments of i.timer(name).start(…) against its signature.
func (in *function) timers(n *syntax.CallExpr) {
	dot, ok := n.Fn.(*syntax.DotExpr)
	if !ok || !in.isTimer(dot.X) {
		return
	}
	name := dot.Name.Name
	w := in.env.words[timerPrefix+name]
	if w == nil {
		in.reportOnce(enginePosition(dot.Name.NamePos), engine.Errorf(engine.Invalid, "a timer has no %s", name).WithHint("%s", didYouMean(name, timerActs)))
		return
	}
	literals := literalGlobals(in.file.syntax)
	in.arguments(w.without().without(), n, literals)
	in.knownCalendar(n, literals)
}

// isTimer tells i.timer(name), where i is an incident.
func (in *function) isTimer(e syntax.Expr) bool {
	call, ok := e.(*syntax.CallExpr)
	if !ok {
		return false
	}
	dot, ok := call.Fn.(*syntax.DotExpr)
	return ok && dot.Name.Name == "timer" && in.roleOf(dot.X) == incidentRole
}

// knownCalendar finds hours of a calendar that larkspur.yaml does not have.
func (in *function) knownCalendar(n *syntax.CallExpr, literals map[string]string) {
	names, told := in.bundle.names["calendars"]
	for _, arg := range n.Args {
		b, named := arg.(*syntax.BinaryExpr)
		if !named || b.Op != syntax.EQ || b.X.(*syntax.Ident).Name != "hours" {
			continue
		}
		text, known := starlark.AsString(literal(b.Y, literals))
		if told && known && text != "" && !slices.Contains(names, text) {
			in.reportOnce(enginePosition(syntax.Start(b.Y)), engine.Errorf(engine.Invalid, "hours: the calendar %.60q does not exist", text).
				WithHint("%s", didYouMean(text, names)))
		}
	}
}
