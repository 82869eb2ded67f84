package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is what scripts, builtins and records exchange. Its dynamic type is one
// of: nil, bool, int64, *big.Int (only outside int64), float64, string,
// []Value, Tuple, Set, map[string]Value, Dict, Bytes, time.Time,
// time.Duration, Struct, Secret, PersonRef, IncidentRef.
//
// A string is any bytes; one that is not UTF-8 survives encoding. Values are
// immutable once handed over.
type Value = any

// Tuple is a fixed sequence of values, a Starlark tuple.
type Tuple []Value

// Set is a collection of distinct values in insertion order, a Starlark set.
type Set []Value

// Bytes is a Starlark bytes value.
type Bytes []byte

// Pair is one entry of a Dict.
type Pair struct{ Key, Value Value }

// Dict is a dict with a key that is not a string, in insertion order. Dicts
// with string keys alone travel as map[string]Value and come back in key order.
type Dict []Pair

// Struct is a value with named attributes. Type names its constructor and may
// be empty, for the plain struct().
type Struct struct {
	Type   string
	Fields map[string]Value
}

// Secret is a handle: the name of a secret, never its value. Only the step door
// of package builtins replaces it, on the way out.
type Secret struct{ Name string }

// PersonRef names a person: a key of `people`, or an address that is in nobody's
// entry.
type PersonRef struct{ Name, Email string }

// IncidentRef names an incident by its id.
type IncidentRef struct{ ID string }

// Data is a Value in its canonical encoding: JSON with sorted keys, no spaces
// and no HTML escapes, where what JSON lacks is {"$": type, "v": …}. Two equal
// values have equal Data. The zero Data stands for nil.
type Data []byte

// MaxDepth bounds the nesting of values, so that outside data cannot exhaust a
// stack.
const MaxDepth = 200

// MarshalJSON returns d as it is.
func (d Data) MarshalJSON() ([]byte, error) {
	if len(d) == 0 {
		return []byte("null"), nil
	}
	return d, nil
}

// UnmarshalJSON keeps a copy of b.
func (d *Data) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*d = nil
		return nil
	}
	*d = append((*d)[:0:0], b...)
	return nil
}

// Value decodes d.
func (d Data) Value() (Value, error) { return Decode(d) }

// Encode returns the canonical encoding of v. It fails (kind invalid) on types
// that are not Values, and on nesting beyond MaxDepth.
func Encode(v Value) (Data, error) {
	b, err := appendValue(make([]byte, 0, 64), v, 0)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// MustEncode encodes a value that is known to be one; it panics otherwise.
func MustEncode(v Value) Data {
	d, err := Encode(v)
	if err != nil {
		panic(err)
	}
	return d
}

func appendValue(b []byte, v Value, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, Errorf(Invalid, "value: nested deeper than %d", MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case *big.Int:
		if v.IsInt64() {
			return strconv.AppendInt(b, v.Int64(), 10), nil
		}
		return appendTagged(b, "int", v.String()), nil
	case float64:
		return appendFloat(b, v), nil
	case string:
		return appendText(b, v), nil
	case Bytes:
		return appendTagged(b, "bytes", base64.StdEncoding.EncodeToString(v)), nil
	case time.Time:
		return appendTagged(b, "time", v.UTC().Format(time.RFC3339Nano)), nil
	case time.Duration:
		return append(strconv.AppendInt(append(b, `{"$":"duration","v":`...), int64(v), 10), '}'), nil
	case Secret:
		return appendTagged(b, "secret", v.Name), nil
	case IncidentRef:
		return appendTagged(b, "incident", v.ID), nil
	case PersonRef:
		return appendNested(b, "person", []Value{v.Name, v.Email}, depth)
	case []Value:
		return appendList(b, v, depth)
	case []string:
		return appendStrings(b, v), nil
	case Tuple:
		return appendNested(b, "tuple", []Value(v), depth)
	case Set:
		return appendNested(b, "set", []Value(v), depth)
	case Dict:
		return appendDict(b, v, depth)
	case map[string]Value:
		return appendMap(b, v, depth)
	case Struct:
		return appendStruct(b, v, depth)
	}
	return nil, Errorf(Invalid, "value: a %T cannot be recorded", v)
}

func appendTagged(b []byte, tag, text string) []byte {
	b = append(append(append(b, `{"$":"`...), tag...), `","v":`...)
	return append(appendString(b, text), '}')
}

func appendNested(b []byte, tag string, list []Value, depth int) ([]byte, error) {
	b = append(append(append(b, `{"$":"`...), tag...), `","v":`...)
	b, err := appendList(b, list, depth+1)
	return append(b, '}'), err
}

func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return appendTagged(b, "float", "nan")
	case math.IsInf(f, 1):
		return appendTagged(b, "float", "+inf")
	case math.IsInf(f, -1):
		return appendTagged(b, "float", "-inf")
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[start:], ".e") {
		b = append(b, '.', '0') // keeps 3.0 a float
	}
	return b
}

func appendText(b []byte, s string) []byte {
	if utf8.ValidString(s) {
		return appendString(b, s)
	}
	return appendTagged(b, "str", base64.StdEncoding.EncodeToString([]byte(s)))
}

const hexDigits = "0123456789abcdef"

// appendString quotes UTF-8 text as JSON, escaping only what RFC 8259 §7 demands.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

func appendList(b []byte, list []Value, depth int) (_ []byte, err error) {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendDict(b []byte, d Dict, depth int) (_ []byte, err error) {
	b = append(b, `{"$":"dict","v":[`...)
	for i, p := range d {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendList(b, []Value{p.Key, p.Value}, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']', '}'), nil
}

func appendMap(b []byte, m map[string]Value, depth int) (_ []byte, err error) {
	keys := make([]string, 0, len(m))
	plain := true
	for k := range m {
		keys = append(keys, k)
		plain = plain && k != "$" && utf8.ValidString(k)
	}
	sort.Strings(keys)
	if !plain {
		d := make(Dict, len(keys))
		for i, k := range keys {
			d[i] = Pair{k, m[k]}
		}
		return appendDict(b, d, depth)
	}
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		if b, err = appendValue(b, m[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendStruct(b []byte, s Struct, depth int) ([]byte, error) {
	b = append(b, `{"$":"struct"`...)
	if s.Type != "" {
		b = appendString(append(b, `,"type":`...), s.Type)
	}
	b, err := appendMap(append(b, `,"v":`...), s.Fields, depth+1)
	return append(b, '}'), err
}

// Decode is the inverse of Encode, for our own records and messages. Errors are
// of kind invalid.
func Decode(d Data) (Value, error) { return decode(d, true) }

// DecodeJSON reads JSON text from outside: an object with a "$" key stays an
// object there, so that nobody can send us the handle of a secret. Numbers
// without fraction and exponent are integers. Errors are of kind invalid.
func DecodeJSON(text []byte) (Value, error) { return decode(text, false) }

// decoder reads values; tagged says whether {"$": type} objects mean values.
type decoder struct {
	*json.Decoder
	tagged bool
}

func decode(d []byte, tagged bool) (Value, error) {
	if len(d) == 0 {
		return nil, nil
	}
	r := jsonReader{b: d}
	if v, ok := r.value(0, tagged); ok && r.at == len(d) {
		return v, nil
	}
	return decodeAny(d, tagged)
}

// decodeAny decodes what is not written as Encode writes it.
func decodeAny(d []byte, tagged bool) (Value, error) {
	dec := decoder{json.NewDecoder(bytes.NewReader(d)), tagged}
	dec.UseNumber()
	v, err := dec.next(0)
	if err != nil {
		return nil, WrapError(Invalid, err, "value")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, Errorf(Invalid, "value: text after the JSON value at byte %d", dec.InputOffset())
	}
	return v, nil
}

func (dec decoder) next(depth int) (Value, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '[' {
			return dec.array(depth)
		}
		return dec.object(depth)
	case json.Number:
		return decodeNumber(string(tok))
	}
	return tok, nil // nil, bool, string
}

func (dec decoder) array(depth int) (Value, error) {
	list := []Value{}
	for dec.More() {
		v, err := dec.next(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func (dec decoder) object(depth int) (Value, error) {
	m := map[string]Value{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := dec.next(depth + 1)
		if err != nil {
			return nil, err
		}
		m[key.(string)] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if tag, ok := m["$"].(string); ok && dec.tagged {
		return decodeTagged(tag, m)
	}
	return m, nil
}

func decodeNumber(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && math.IsInf(f, 0) {
			return nil, fmt.Errorf("number %.40q is out of range", s)
		}
		return f, nil
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if len(s) > maxDigits {
		return nil, fmt.Errorf("a number of %d digits, want at most %d", len(s), maxDigits)
	}
	i, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, fmt.Errorf("number %.40q", s)
	}
	return i, nil
}

// maxDigits bounds big integers in outside data: parsing is quadratic.
const maxDigits = 10_000

func decodeTagged(tag string, m map[string]Value) (Value, error) {
	text, isText := m["v"].(string)
	list, isList := m["v"].([]Value)
	fields, isMap := m["v"].(map[string]Value)
	switch {
	case tag == "str" && isText:
		b, err := base64.StdEncoding.DecodeString(text)
		return string(b), err
	case tag == "bytes" && isText:
		b, err := base64.StdEncoding.DecodeString(text)
		return Bytes(b), err
	case tag == "int" && isText:
		return decodeNumber(text)
	case tag == "float" && isText:
		return strconv.ParseFloat(text, 64)
	case tag == "time" && isText:
		return time.Parse(time.RFC3339Nano, text)
	case tag == "secret" && isText:
		return Secret{Name: text}, nil
	case tag == "incident" && isText:
		return IncidentRef{ID: text}, nil
	case tag == "tuple" && isList:
		return Tuple(list), nil
	case tag == "set" && isList:
		return Set(list), nil
	case tag == "dict" && isList:
		return decodeDict(list)
	case tag == "struct" && isMap:
		name, _ := m["type"].(string)
		return Struct{Type: name, Fields: fields}, nil
	case tag == "person" && isList && len(list) == 2:
		name, _ := list[0].(string)
		email, _ := list[1].(string)
		return PersonRef{Name: name, Email: email}, nil
	case tag == "duration":
		if n, ok := m["v"].(int64); ok {
			return time.Duration(n), nil
		}
	}
	return m, nil // somebody else's "$" key: a plain object
}

func decodeDict(list []Value) (Value, error) {
	d := make(Dict, 0, len(list))
	plain := true
	for _, e := range list {
		pair, ok := e.([]Value)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("dict entry is not a pair")
		}
		_, isText := pair[0].(string)
		plain = plain && isText
		d = append(d, Pair{pair[0], pair[1]})
	}
	if !plain {
		return d, nil
	}
	m := make(map[string]Value, len(d))
	for _, p := range d {
		m[p.Key.(string)] = p.Value
	}
	return m, nil
}
