package worker

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// viewValue is a live view of what the bench holds: each look asks it anew.
type viewValue struct {
	call     *testCall
	kind, id string
}

var (
	_ starlark.HasAttrs   = (*viewValue)(nil)
	_ starlark.Comparable = (*viewValue)(nil)
)

// Kinds of views.
const (
	resultView   = "result"
	incidentView = "incident"
)

// viewAttributes by kind of view.
func viewAttributes(kind string) []string {
	if kind == incidentView {
		return []string{
			"id", "rule", "type", "title", "severity", "status", "owner", "team", "opened", "closed", "reason", "code", "quiet_until",
			"event", "events", "fields", "notes", "changes", "questions", "reporter", "indicators", "link",
		}
	}
	return []string{"calls", "incident", "incidents", "questions", "mails", "changes", "status", "error", "steps", "log", "run"}
}

func (v *viewValue) String() string        { return v.kind + " " + v.id }
func (v *viewValue) Type() string          { return v.kind }
func (v *viewValue) Freeze()               {}
func (v *viewValue) Truth() starlark.Bool  { return true }
func (v *viewValue) Hash() (uint32, error) { return starlark.String(v.kind + v.id).Hash() }

// AttrNames lists what can be looked at.
func (v *viewValue) AttrNames() []string { return viewAttributes(v.kind) }

// CompareSameType compares what is looked at, not how it looks.
func (v *viewValue) CompareSameType(op syntax.Token, other starlark.Value, _ int) (bool, error) {
	o := other.(*viewValue)
	same := v.kind == o.kind && v.id == o.id
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("a %s has no order", v.kind)
}

// Attr looks at something.
func (v *viewValue) Attr(name string) (starlark.Value, error) {
	if !slices.Contains(viewAttributes(v.kind), name) {
		return nil, engine.Errorf(engine.Invalid, "a %s has no %s", v.kind, name).WithHint("%s", didYouMean(name, viewAttributes(v.kind)))
	}
	if name != "calls" {
		return v.look(name, nil)
	}
	w := newWord(engine.Signature{Name: "calls", Positional: 1, Params: []engine.Param{{Name: "name", Kind: "text"}}})
	return starlark.NewBuiltin("calls", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		values, err := w.normalize(v.call.converter, args, kwargs)
		if err != nil {
			return nil, err
		}
		return v.look(name, values["name"])
	}), nil
}

func (v *viewValue) look(name string, of engine.Value) (starlark.Value, error) {
	return v.call.perform("look", map[string]engine.Value{"kind": v.kind, "id": v.id, "name": name, "of": of})
}

// view makes a view of the struct by which it travels.
func (c *testCall) view(s engine.Struct) starlark.Value {
	kind, _ := s.Fields["kind"].(string)
	id, _ := s.Fields["id"].(string)
	return &viewValue{call: c, kind: kind, id: id}
}
