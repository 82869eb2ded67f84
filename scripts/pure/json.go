package pure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
)

// Encodable is a value that stands for another one in JSON.
type Encodable interface {
	starlark.Value
	JSONValue() starlark.Value
}

// jsonModule also answers to the names that Python has.
func jsonModule() *starlarkstruct.Module {
	return module("json", map[string]builtin{
		"encode": jsonEncode, "dumps": jsonEncode, "decode": jsonDecode, "loads": jsonDecode,
	})
}

func jsonEncode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	indent := 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "indent??", &indent); err != nil {
		return nil, err
	}
	text, err := appendJSON(nil, x, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if indent > 0 {
		var out bytes.Buffer
		if err := json.Indent(&out, text, "", fmt.Sprintf("%*s", min(indent, 8), "")); err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name(), err)
		}
		text = out.Bytes()
	}
	return starlark.String(text), nil
}

// appendJSON writes x. Dicts keep their order; nesting is bounded, because a
// list can hold itself.
func appendJSON(b []byte, x starlark.Value, depth int) ([]byte, error) {
	if depth > engine.MaxDepth {
		return nil, engine.Errorf(engine.Invalid, "nested deeper than %d", engine.MaxDepth)
	}
	switch x := x.(type) {
	case starlark.NoneType:
		return append(b, "null"...), nil
	case starlark.Bool:
		return fmt.Append(b, bool(x)), nil
	case starlark.Int:
		return append(b, x.String()...), nil
	case starlark.Float:
		return appendJSONFloat(b, float64(x))
	case starlark.String:
		return appendJSONText(b, string(x))
	case Duration:
		return appendJSONText(b, x.String())
	case Time:
		return appendJSONText(b, x.T.Format(time.RFC3339Nano))
	case *Struct:
		return appendJSONFields(b, x.fields, depth)
	case Encodable:
		return appendJSON(b, x.JSONValue(), depth+1)
	case starlark.IterableMapping:
		return appendJSONObject(b, x.Items(), depth)
	case starlark.Iterable:
		return appendJSONList(b, x, depth)
	}
	return nil, engine.Errorf(engine.Invalid, "a %s has no JSON form", x.Type())
}

func appendJSONFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, engine.Errorf(engine.Invalid, "%v has no JSON form", f)
	}
	return fmt.Appendf(b, "%g", f), nil
}

func appendJSONText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, engine.Errorf(engine.Invalid, "a string that is not UTF-8 has no JSON form").
			WithHint("base64.encode it first")
	}
	text, err := engine.MarshalJSON(s)
	return append(b, text...), err
}

func appendJSONFields(b []byte, fields starlark.StringDict, depth int) ([]byte, error) {
	items := make([]starlark.Tuple, 0, len(fields))
	for _, name := range fields.Keys() {
		items = append(items, starlark.Tuple{starlark.String(name), fields[name]})
	}
	return appendJSONObject(b, items, depth)
}

func appendJSONObject(b []byte, items []starlark.Tuple, depth int) (_ []byte, err error) {
	b = append(b, '{')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		key, ok := starlark.AsString(item[0])
		if !ok {
			if _, isInt := item[0].(starlark.Int); !isInt {
				return nil, engine.Errorf(engine.Invalid, "a dict with a %s as key has no JSON form", item[0].Type())
			}
			key = item[0].String()
		}
		if b, err = appendJSONText(b, key); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), item[1], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendJSONList(b []byte, list starlark.Iterable, depth int) (_ []byte, err error) {
	it := list.Iterate()
	defer it.Done()
	b = append(b, '[')
	var x starlark.Value
	for i := 0; it.Next(&x); i++ {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, x, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func jsonDecode(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var t text
	var fallback starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &t, "default?", &fallback); err != nil {
		return nil, err
	}
	v, err := DecodeJSON(thread, string(t))
	if err != nil && fallback != nil {
		return fallback, nil
	}
	return v, err
}

// DecodeJSON reads JSON text from outside; objects keep their order. Errors are
// of kind invalid.
func DecodeJSON(thread *starlark.Thread, text string) (starlark.Value, error) {
	if err := checkNesting(text); err != nil {
		return nil, err
	}
	decode := starlarkjson.Module.Members["decode"].(*starlark.Builtin)
	v, err := decode.CallInternal(thread, starlark.Tuple{starlark.String(text)}, nil)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%w", err)
	}
	return v, nil
}

// checkNesting counts brackets outside of strings: the decoder recurses.
func checkNesting(text string) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > engine.MaxDepth {
				return engine.Errorf(engine.Invalid, "json.decode: nested deeper than %d", engine.MaxDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}
