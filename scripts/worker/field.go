package worker

import (
	"regexp"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// fieldType is the Type of the struct by which an input of a question travels.
const fieldType = "field"

// fieldKinds are the inputs of questions, with the parameters that each has
// besides name, label and required.
func fieldKinds() map[string][]engine.Param {
	choices := engine.Param{Name: "choices", Kind: "list", Required: true}
	most := engine.Param{Name: "max", Kind: "any"}
	return map[string][]engine.Param{
		"text":     {{Name: "multiline", Kind: "bool", Default: engine.MustEncode(false)}, most},
		"choice":   {choices},
		"many":     {choices},
		"number":   {most},
		"date":     nil,
		"duration": {{Name: "max", Kind: "duration"}},
		"domain":   nil,
		"address":  nil,
	}
}

func fieldModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for kind, own := range fieldKinds() {
		members[kind] = starlark.NewBuiltin("field."+kind, fieldWord(kind, own))
	}
	return &starlarkstruct.Module{Name: "field", Members: members}
}

// fieldNames are keys of an answer's fields.
var fieldNames = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// fieldWord makes field.KIND(name, …), which returns a struct of its arguments.
func fieldWord(kind string, own []engine.Param) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	params := append([]engine.Param{{Name: "name", Kind: "text", Required: true}}, own...)
	params = append(params, engine.Param{Name: "label", Kind: "text"},
		engine.Param{Name: "required", Kind: "bool", Default: engine.MustEncode(true)})
	positional := 1
	if len(own) > 0 && own[0].Required {
		positional = 2
	}
	w := newWord(engine.Signature{Name: "field." + kind, Params: params, Positional: positional})
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := &converter{}
		values, err := w.normalize(c, args, kwargs)
		if err != nil {
			return nil, err
		}
		if name := values["name"].(string); !fieldNames.MatchString(name) {
			return nil, wrongArgument(w.Name, "name", engine.Errorf(engine.Invalid, "got %.60q, want small letters, digits and _", name))
		}
		if list, ok := values["choices"].([]engine.Value); ok {
			if err := checkChoices(list); err != nil {
				return nil, wrongArgument(w.Name, "choices", err)
			}
		}
		fields := starlark.StringDict{"kind": starlark.String(kind)}
		for name, v := range values {
			if fields[name], err = c.fromValue(v); err != nil {
				return nil, err
			}
		}
		return pure.NewStruct(fieldType, fields), nil
	}
}

func checkChoices(list []engine.Value) error {
	seen := map[string]bool{}
	for _, v := range list {
		s, ok := v.(string)
		if !ok || s == "" || seen[s] {
			return engine.Errorf(engine.Invalid, "got %v, want different strings", v)
		}
		seen[s] = true
	}
	if len(list) == 0 {
		return engine.Errorf(engine.Invalid, "got an empty list")
	}
	return nil
}
