package worker

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// incidentValue is an incident. What never changes about the run's own is known;
// all else is read through the step incident.get where it stands. Methods are
// the builtins incident.X with the incident as their first argument.
type incidentValue struct {
	id    string
	call  *call          // nil outside of a run
	isNew starlark.Value // of what incidents.open returned, else nil
	seen  *starlark.Dict // what a where is shown of it, else nil
}

var (
	_ starlark.HasAttrs   = (*incidentValue)(nil)
	_ starlark.Comparable = (*incidentValue)(nil)
)

func (i *incidentValue) String() string        { return i.id }
func (i *incidentValue) Type() string          { return "incident" }
func (i *incidentValue) Freeze()               {}
func (i *incidentValue) Truth() starlark.Bool  { return true }
func (i *incidentValue) Hash() (uint32, error) { return starlark.String(i.id).Hash() }

// JSONValue is the id.
func (i *incidentValue) JSONValue() starlark.Value { return starlark.String(i.id) }

// CompareSameType compares ids.
func (i *incidentValue) CompareSameType(op syntax.Token, other starlark.Value, _ int) (bool, error) {
	same := i.id == other.(*incidentValue).id
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("incidents have no order")
}

// incidentAttributes are read by steps, unless they are the run's own incident's
// and never change.
var incidentAttributes = []string{
	"rule", "type", "title", "severity", "status", "owner", "team", "opened", "event", "events",
	"fields", "indicators", "reporter", "changes", "link", "reason",
}

// incidentPrefix begins the names of the builtins that are methods.
const incidentPrefix = "incident."

// AttrNames lists attributes and methods.
func (i *incidentValue) AttrNames() []string {
	names := append([]string{"id"}, incidentAttributes...)
	if i.call != nil {
		for name := range i.call.env.words {
			if method, ok := strings.CutPrefix(name, incidentPrefix); ok && method != "get" {
				names = append(names, method)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Attr returns an attribute, reading it where it may have changed, or a method.
func (i *incidentValue) Attr(name string) (starlark.Value, error) {
	if name == "id" && i.id == "" {
		return starlark.None, nil // what shadow mode did not open
	}
	if name == "id" {
		return starlark.String(i.id), nil
	}
	if name == "new" && i.isNew != nil {
		return i.isNew, nil
	}
	if i.seen != nil && name != "id" {
		if v, ok, err := i.seen.Get(starlark.String(name)); ok || err != nil {
			return v, err
		}
	}
	if i.call == nil {
		return nil, engine.Errorf(engine.Script, "incident.%s: incidents are read in a run, not here", name)
	}
	if v, ok := i.call.incidentConstant(i.id, name); ok {
		return v, nil
	}
	if slices.Contains(incidentAttributes, name) {
		return i.call.perform(i.call.env.words["incident.get"], map[string]engine.Value{"incident": i.id, "name": name})
	}
	w := i.call.env.words[incidentPrefix+name]
	if w == nil || name == "get" || w.Internal {
		return nil, nil
	}
	if w.Name == timerWord {
		return starlark.NewBuiltin(w.Name, i.timer), nil
	}
	return starlark.NewBuiltin(w.Name, i.method(w)), nil
}

// method binds a builtin to the incident.
func (i *incidentValue) method(w *word) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		values, err := i.arguments(w, args, kwargs)
		if err == nil && w.param("do") != nil {
			values, err = i.startsLater(w, args, kwargs)
		}
		if err != nil {
			return nil, err
		}
		values["incident"] = i.id
		return i.call.perform(w, values)
	}
}

// startsLater reads the call of a method that names what may run later: a function
// of the incident and args.
func (i *incidentValue) startsLater(w *word, args starlark.Tuple, kwargs []starlark.Tuple) (map[string]engine.Value, error) {
	bound, values, names, err := i.call.named(w.without(), args, kwargs)
	if err != nil {
		return nil, err
	}
	if why := accepts(bound["do"].(*starlark.Function), []string{"incident"}, names); why != "" {
		return nil, engine.Errorf(engine.Invalid, "%s: do: %s", w.Name, why)
	}
	return values, nil
}

// arguments normalizes a method's call; set takes any keywords.
func (i *incidentValue) arguments(w *word, args starlark.Tuple, kwargs []starlark.Tuple) (map[string]engine.Value, error) {
	if w.Name != "incident.set" {
		return w.without().normalize(i.call.converter, args, kwargs)
	}
	if len(args) > 0 {
		return nil, engine.Errorf(engine.Invalid, "incident.set: got an argument without a name, want key = value")
	}
	pairs, err := i.call.converter.toPairs(kwargs)
	if err != nil {
		return nil, wrongArgument(w.Name, "", err)
	}
	if p := w.param("fields"); p != nil && p.Kind == "pairs" { // the order of facts is the author's
		return map[string]engine.Value{"fields": pairs}, nil
	}
	fields := make(map[string]engine.Value, len(kwargs))
	for _, e := range pairs {
		pair := e.([]engine.Value)
		fields[pair[0].(string)] = pair[1]
	}
	return map[string]engine.Value{"fields": fields}, nil
}

// incidentConstant answers what never changes about the run's own incident.
func (c *call) incidentConstant(id, name string) (starlark.Value, bool) {
	own := c.run.Incident
	if own == nil || own.ID != id {
		return nil, false
	}
	switch name {
	case "rule":
		return starlark.String(own.Rule), true
	case "type":
		return starlark.String(own.Type), true
	case "title":
		return starlark.String(own.Title), true
	case "link":
		return starlark.String(own.Link), true
	case "opened":
		return c.opened, true
	case "event":
		return c.event, true
	}
	return nil, false
}
