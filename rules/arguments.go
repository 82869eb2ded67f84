package rules

import (
	"slices"
	"strconv"

	"larkspur/engine"
)

// arguments are those of one trigger. Its methods note a problem for a value of
// the wrong type.
type arguments struct {
	*compiler
	kind   string
	values map[string]engine.Value
}

// given tells whether an argument is there and not None.
func (a *arguments) given(name string) bool { return a.values[name] != nil }

// text returns a string argument.
func (a *arguments) text(name string) string {
	switch v := a.values[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		a.wrong(name, v, "a string")
		return ""
	}
}

// texts returns an argument that is one string or a collection of them. Numbers
// count as their digits, for types and rcodes.
func (a *arguments) texts(name string) []string {
	var list []engine.Value
	switch v := a.values[name].(type) {
	case nil:
		return nil
	case []engine.Value:
		list = v
	case engine.Tuple:
		list = v
	case engine.Set:
		list = v
	default:
		list = []engine.Value{v}
	}
	if len(list) == 0 {
		a.problem("on.%s: %s: empty, so nothing could match", a.kind, name).Hint = "leave " + name + " out to take all"
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case int64:
			texts = append(texts, strconv.FormatInt(v, 10))
		default:
			a.wrong(name, v, "a string or a list of strings")
		}
	}
	return texts
}

// only notes every argument that the kind does not have.
func (a *arguments) only(known ...string) {
	for name := range a.values {
		if a.given(name) && !slices.Contains(known, name) {
			a.problem("on.%s: no argument %q", a.kind, name)
		}
	}
}

func (a *arguments) wrong(name string, v engine.Value, want string) {
	a.problem("on.%s: %s: got %s, want %s", a.kind, name, typeName(v), want)
}

// typeName names a value's type as scripts know it.
func typeName(v engine.Value) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case []engine.Value, engine.Tuple, engine.Set:
		return "a list"
	case map[string]engine.Value, engine.Dict:
		return "a dict"
	case engine.Secret:
		return "a secret"
	}
	return "a value"
}
