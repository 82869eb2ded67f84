package worker

import (
	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// incidentsWord is the callable of a word of all incidents that the worker helps
// with; nil for others.
func incidentsWord(name string) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	switch name {
	case "incidents.open":
		return openWord
	case "incidents.find", "incidents.count":
		return findWord
	}
	return nil
}

// openedType is the Type of what incidents.open returns.
const openedType = "incident.opened"

// openWord opens an incident, and names what is started on it.
func openWord(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, b.Name())
	if err != nil {
		return nil, err
	}
	w := c.env.words[b.Name()]
	bound, values, names, err := c.named(w, args, kwargs)
	if err != nil {
		return nil, err
	}
	do, given := bound["do"].(*starlark.Function)
	switch {
	case !given && bound["args"] != nil:
		return nil, engine.Errorf(engine.Invalid, "incidents.open: got args, and no do that takes them")
	case !given:
		delete(values, "args")
	default:
		if why := accepts(do, []string{"incident"}, names); why != "" {
			return nil, engine.Errorf(engine.Invalid, "incidents.open: do: %s", why)
		}
	}
	return c.perform(w, values)
}

// opened makes the incident of what incidents.open returned: its attribute new
// says whether it is. In shadow mode it is none, and has nothing.
func (c *converter) opened(s engine.Struct) (starlark.Value, error) {
	isNew, err := c.fromValue(s.Fields["new"])
	if err != nil {
		return nil, err
	}
	ref, _ := s.Fields["incident"].(engine.IncidentRef)
	if c.test != nil {
		return c.fromValue(ref)
	}
	return &incidentValue{id: ref.ID, call: c.call, isNew: isNew}, nil
}

// findWord finds or counts incidents. A where is called here and now: it is shown
// parts of what the other filters found, each of which is a step.
func findWord(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c, err := running(thread, b.Name())
	if err != nil {
		return nil, err
	}
	w := c.env.words[b.Name()]
	bound, err := w.bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	where, asked := bound["where"]
	values, err := w.withoutParam("where").normalize(c.converter, nil, namedArguments(bound, "where"))
	if err != nil {
		return nil, err
	}
	if !asked {
		return c.perform(w, values)
	}
	fn, ok := where.(starlark.Callable)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "%s: where: got %s, want a function of an incident", w.Name, describe(where)).WithHint("such as where = lambda i: i.fields.get(\"x\") == 3")
	}
	return c.findWhere(w.Name, fn, values)
}

// namedArguments are the arguments of a call by their names, but for one.
func namedArguments(bound map[string]starlark.Value, but string) (kwargs []starlark.Tuple) {
	for _, name := range sortedKeys(bound) {
		if name != but {
			kwargs = append(kwargs, starlark.Tuple{starlark.String(name), bound[name]})
		}
	}
	return kwargs
}

// withoutParam is the word without one of its parameters, all by name.
func (w *word) withoutParam(name string) *word {
	m := *w
	m.params, m.positional = nil, 0
	for _, p := range w.params {
		if p.Name != name {
			m.params = append(m.params, p)
		}
	}
	return &m
}

// findWhere asks where of each incident that the other filters found.
func (c *call) findWhere(word string, where starlark.Callable, values map[string]engine.Value) (starlark.Value, error) {
	find := c.env.words["incidents.find"]
	limit, limited := values["limit"].(int64)
	if !limited {
		values["limit"] = int64(1) // of find; count has none
	}
	values["whole"] = true
	found := []starlark.Value{}
	for {
		v, err := c.perform(find, values)
		if err != nil {
			return nil, err
		}
		items, next, err := pageOf(v)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			i := c.seen(item)
			yes, err := starlark.Call(c.thread, where, starlark.Tuple{i}, nil)
			if err != nil {
				return nil, err
			}
			if yes.Truth() {
				found = append(found, &incidentValue{id: i.id, call: c})
			}
			if limited && int64(len(found)) == limit {
				return starlark.NewList(found), nil
			}
		}
		if next == "" {
			break
		}
		values["cursor"] = next
	}
	if word == "incidents.count" {
		return starlark.MakeInt(len(found)), nil
	}
	return starlark.NewList(found), nil
}

// pageOf reads a part of what was found.
func pageOf(v starlark.Value) (items []*starlark.Dict, next string, err error) {
	s, ok := v.(*pure.Struct)
	if !ok {
		return nil, "", engine.Errorf(engine.Internal, "incidents.find: got a %s, want a page", v.Type())
	}
	next, _ = starlark.AsString(s.Fields()["next"])
	list, _ := s.Fields()["items"].(*starlark.List)
	for i := range list.Len() {
		if d, ok := list.Index(i).(*starlark.Dict); ok {
			items = append(items, d)
		}
	}
	return items, next, nil
}

// seen is an incident as it was found: what stands in the part is read without a
// step.
func (c *call) seen(item *starlark.Dict) *incidentValue {
	i := &incidentValue{call: c, seen: item}
	if id, ok, _ := item.Get(starlark.String("id")); ok {
		i.id = id.(*incidentValue).id
	}
	return i
}
