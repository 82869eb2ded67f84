package worker

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// fieldType is the constructor of what field.x makes, as the supervisor reads it.
const fieldType = "field"

// fieldKinds are the kinds of fields that a question can have, with the
// parameters that a kind has besides its name, label and required.
func fieldKinds() map[string][]engine.Param {
	choices := engine.Param{Name: "choices", Kind: "list", Required: true}
	most := engine.Param{Name: "max", Kind: "any"}
	return map[string][]engine.Param{
		"text":     {{Name: "multiline", Kind: "bool", Default: engine.MustEncode(false)}, most},
		"choice":   {choices},
		"many":     {choices},
		"number":   {most},
		"date":     nil,
		"duration": {most},
		"domain":   nil,
		"address":  nil,
	}
}

// fieldModule is the module field: the inputs of questions.
func fieldModule() *starlarkstruct.Module {
	m := &starlarkstruct.Module{Name: "field", Members: starlark.StringDict{}}
	for kind, own := range fieldKinds() {
		params := []engine.Param{{Name: "name", Kind: "text", Required: true}}
		params = append(params, own...)
		params = append(params, engine.Param{Name: "label", Kind: "text"}, engine.Param{Name: "required", Kind: "bool", Default: engine.MustEncode(true)})
		w := newWord(engine.Signature{Name: "field." + kind, Params: params, Positional: 1 + requiredOnes(own)})
		m.Members[kind] = starlark.NewBuiltin(w.Name, fieldWord(kind, w))
	}
	return m
}

// requiredOnes counts the required parameters: they may be given by position.
func requiredOnes(params []engine.Param) int {
	n := 0
	for _, p := range params {
		if p.Required {
			n++
		}
	}
	return n
}

// fieldWord makes a field; it touches nothing, so it is no step.
func fieldWord(kind string, w *word) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := &converter{}
		values, err := w.normalize(c, args, kwargs)
		if err != nil {
			return nil, err
		}
		fields := starlark.StringDict{"kind": starlark.String(kind)}
		for name, v := range values {
			if fields[name], err = c.toStarlark(v); err != nil {
				return nil, err
			}
		}
		return pure.NewStruct(fieldType, fields), nil
	}
}
