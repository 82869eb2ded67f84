package worker

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// secretValue is the handle of a secret: it goes into calls and is no string.
type secretValue engine.Secret

func (s secretValue) String() string        { return fmt.Sprintf("secret(%q)", s.Name) }
func (s secretValue) Type() string          { return "secret" }
func (s secretValue) Freeze()               {}
func (s secretValue) Truth() starlark.Bool  { return true }
func (s secretValue) Hash() (uint32, error) { return starlark.String(s.Name).Hash() }

// personValue is a person: of `people` by Name, or known by an address alone.
type personValue engine.PersonRef

var _ starlark.HasAttrs = personValue{}

// String is the name, so that "%s" reads well.
func (p personValue) String() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Email
}
func (p personValue) Type() string          { return "person" }
func (p personValue) Freeze()               {}
func (p personValue) Truth() starlark.Bool  { return true }
func (p personValue) Hash() (uint32, error) { return starlark.String(p.Name + "\x00" + p.Email).Hash() }
func (p personValue) AttrNames() []string   { return []string{"email", "name"} }

func (p personValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(p.String()), nil
	case "email":
		return starlark.String(p.Email), nil
	}
	return nil, nil
}

// JSONValue is the name.
func (p personValue) JSONValue() starlark.Value { return starlark.String(p.String()) }

// eventType is the Type of the struct by which an event travels as a value.
const eventType = "event"

// eventValue is an event: e.x, e["x"] and e.fields["x"] are the same; the words
// that every event has win over its own keys. Frozen.
type eventValue struct {
	data   engine.Struct
	words  starlark.StringDict // time, kind, source, fields
	fields *starlark.Dict
}

var (
	_ starlark.HasAttrs = (*eventValue)(nil)
	_ starlark.Mapping  = (*eventValue)(nil)
)

// newEvent makes an event of its words: id, time, kind, source and fields.
func (c *converter) newEvent(m map[string]engine.Value) (*eventValue, error) {
	e := &eventValue{data: engine.Struct{Type: eventType, Fields: m}, words: starlark.StringDict{}, fields: starlark.NewDict(0)}
	for _, name := range []string{"time", "kind", "source"} {
		v, err := c.fromValue(m[name])
		if err != nil {
			return nil, err
		}
		e.words[name] = v
	}
	if m["fields"] != nil {
		v, err := c.fromValue(m["fields"])
		if err != nil {
			return nil, err
		}
		fields, ok := v.(*starlark.Dict)
		if !ok {
			return nil, fmt.Errorf("an event whose fields are a %s", v.Type())
		}
		e.fields = fields
	}
	e.words["fields"] = e.fields
	e.words.Freeze()
	return e, nil
}

func (e *eventValue) String() string        { return "event(" + e.words["kind"].String() + ")" }
func (e *eventValue) Type() string          { return eventType }
func (e *eventValue) Freeze()               {}
func (e *eventValue) Truth() starlark.Bool  { return true }
func (e *eventValue) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: event") }

// AttrNames lists the words and the fields.
func (e *eventValue) AttrNames() []string {
	names := append(e.words.Keys(), "get")
	for _, k := range e.fields.Keys() {
		if s, ok := starlark.AsString(k); ok {
			names = append(names, s)
		}
	}
	return names
}

// Attr returns a word or a field; an absent one is None.
func (e *eventValue) Attr(name string) (starlark.Value, error) {
	if v, ok := e.words[name]; ok {
		return v, nil
	}
	if name == "get" {
		return starlark.NewBuiltin("get", e.get), nil
	}
	return e.field(starlark.String(name))
}

func (e *eventValue) field(key starlark.Value) (starlark.Value, error) {
	v, found, err := e.fields.Get(key)
	if err != nil || !found {
		return starlark.None, err
	}
	return v, nil
}

// Get is e[key].
func (e *eventValue) Get(key starlark.Value) (starlark.Value, bool, error) {
	if name, ok := starlark.AsString(key); ok && e.words.Has(name) {
		return e.words[name], true, nil
	}
	v, err := e.field(key)
	return v, true, err
}

func (e *eventValue) get(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	var fallback starlark.Value = starlark.None
	if err := starlark.UnpackArgs("get", args, kwargs, "name", &name, "default?", &fallback); err != nil {
		return nil, err
	}
	if v, _, err := e.Get(starlark.String(name)); err != nil || v != starlark.None {
		return v, err
	}
	return fallback, nil
}

// JSONValue is the event as a dict.
func (e *eventValue) JSONValue() starlark.Value {
	return pure.NewStruct("", e.words)
}

// CompareSameType: an event is equal to itself.
func (e *eventValue) CompareSameType(op syntax.Token, other starlark.Value, _ int) (bool, error) {
	switch op {
	case syntax.EQL:
		return e == other, nil
	case syntax.NEQ:
		return e != other, nil
	}
	return false, fmt.Errorf("events have no order")
}

// zoneNamed finds a zone of the IANA database; "" is UTC.
func zoneNamed(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "timezone: got %.80q, want the name of a time zone", name).
			WithHint(`names are those of the IANA database, like "Europe/London"`)
	}
	return zone, nil
}
