package worker

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/field"
	"larkspur/scripts/pure"
)

// fieldType is the Type of the struct by which an input of a question travels.
const fieldType = "field"

// fieldKinds are the inputs of questions, with the parameters that each has
// besides name, label and required.
func fieldKinds() map[string][]engine.Param {
	choices := engine.Param{Name: "choices", Kind: "list", Required: true}
	most := func(kind string) engine.Param { return engine.Param{Name: "max", Kind: kind} }
	return map[string][]engine.Param{
		engine.FieldText:     {{Name: "multiline", Kind: "bool", Default: engine.MustEncode(false)}, most("int")},
		engine.FieldChoice:   {choices},
		engine.FieldMany:     {choices},
		engine.FieldNumber:   {most("number")},
		engine.FieldDate:     nil,
		engine.FieldDuration: {most("duration")},
		engine.FieldDomain:   nil,
		engine.FieldAddress:  nil,
		engine.FieldFile:     nil,
	}
}

func fieldModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for kind, own := range fieldKinds() {
		members[kind] = starlark.NewBuiltin("field."+kind, fieldWord(kind, own))
	}
	return &starlarkstruct.Module{Name: "field", Members: members}
}

// fieldWord makes field.KIND(name, …), which returns a struct of its arguments.
func fieldWord(kind string, own []engine.Param) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	w := fieldSignature(kind, own)
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := &converter{}
		values, err := w.normalize(c, args, kwargs)
		if err != nil {
			return nil, err
		}
		if err := checkField(kind, values); err != nil {
			return nil, wrongArgument(w.Name, "", err)
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

// fieldSignature is that of field.KIND.
func fieldSignature(kind string, own []engine.Param) *word {
	params := append([]engine.Param{{Name: "name", Kind: "text", Required: true}}, own...)
	params = append(params, engine.Param{Name: "label", Kind: "text"},
		engine.Param{Name: "required", Kind: "bool", Default: engine.MustEncode(true)})
	positional := 1
	if len(own) > 0 && own[0].Required {
		positional = 2
	}
	return newWord(engine.Signature{Name: "field." + kind, Params: params, Positional: positional})
}

// fieldCall is the kind of a call field.KIND(…), and its word; nil for other calls.
func (in *inspector) fieldCall(e syntax.Expr) (kind string, w *word, n *syntax.CallExpr) {
	n, _ = e.(*syntax.CallExpr)
	if n == nil {
		return "", nil, nil
	}
	dot, ok := n.Fn.(*syntax.DotExpr)
	if !ok {
		return "", nil, nil
	}
	id, ok := dot.X.(*syntax.Ident)
	own, known := fieldKinds()[dot.Name.Name]
	if !ok || id.Name != "field" || !in.predeclaredName(id) || !known {
		return "", nil, nil
	}
	return dot.Name.Name, fieldSignature(dot.Name.Name, own), n
}

// declares finds what is wrong with the fields of an ask that stands in a function,
// which check does not execute: as far as they are written out.
func (in *inspector) declares(w *word, ask *syntax.CallExpr) {
	given, _ := in.argumentsOf(w, ask)
	list, ok := given["fields"].(*syntax.ListExpr)
	if !ok {
		return
	}
	seen := map[string]bool{}
	for _, e := range list.List {
		kind, fw, call := in.fieldCall(e)
		if fw == nil {
			continue
		}
		own, complete := in.argumentsOf(fw, call)
		name, known := in.text(own["name"])
		if !complete || !known {
			continue
		}
		err := checkField(kind, map[string]engine.Value{"name": name, "choices": in.written(own["choices"])})
		if own["choices"] != nil && in.written(own["choices"]) == nil {
			err = nil // computed
		}
		if err == nil && seen[name] {
			err = engine.Errorf(engine.Invalid, "%q is there twice", name).WithHint("a.fields has one value for each name")
		}
		if seen[name] = true; err != nil {
			in.find(syntax.Start(e), "error", "field", engine.AsError(err).Hint, "%s", wrongArgument(fw.Name, "", err))
		}
	}
}

// written are the strings of a list that is written out; nil for what is computed.
func (in *inspector) written(e syntax.Expr) engine.Value {
	list, ok := e.(*syntax.ListExpr)
	if !ok {
		return nil
	}
	out := []engine.Value{}
	for _, item := range list.List {
		text, known := in.text(item)
		if !known {
			return nil
		}
		out = append(out, text)
	}
	return out
}

// checkField says what is wrong with a declaration, as far as its call tells.
func checkField(kind string, values map[string]engine.Value) error {
	f := engine.Field{Kind: kind}
	f.Name, _ = values["name"].(string)
	list, _ := values["choices"].([]engine.Value)
	for _, v := range list {
		choice, ok := v.(string)
		if !ok {
			return engine.Errorf(engine.Invalid, "choices: got %v, want different strings", v)
		}
		f.Choices = append(f.Choices, choice)
	}
	switch most := values["max"].(type) {
	case nil:
	case time.Duration:
		f.Max = calendar.FormatDuration(most)
	default:
		f.Max = fmt.Sprint(most)
	}
	return field.Declared([]engine.Field{f})
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
