package engine

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// Marshal encodes v as MarshalJSON does.
func (c *Codec) Marshal(v any) ([]byte, error) { return c.Append(nil, v) }

// Append appends the encoding of v to b.
func (c *Codec) Append(b []byte, v any) ([]byte, error) {
	if s := c.shapes[reflect.TypeOf(v)]; s != nil {
		if b == nil {
			b = make([]byte, 0, 512)
		}
		return s.append(b, reflect.ValueOf(v))
	}
	return appendOther(b, v)
}

func appendOther(b []byte, v any) ([]byte, error) {
	text, err := MarshalJSON(v)
	if err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func (s *shape) append(b []byte, v reflect.Value) ([]byte, error) {
	switch s.how {
	case asString:
		return appendJSONString(b, v.String())
	case asBool:
		return strconv.AppendBool(b, v.Bool()), nil
	case asInt:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case asUint:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case asTime:
		return appendTime(b, v.Interface().(time.Time))
	case asData:
		return appendData(b, v.Bytes())
	case asRaw:
		return appendRaw(b, v.Bytes())
	case asStruct:
		return s.appendStruct(b, v)
	case asPointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return s.elem.append(b, v.Elem())
	case asSlice:
		return s.appendSlice(b, v)
	}
	return appendOther(b, v.Interface())
}

func (s *shape) appendStruct(b []byte, v reflect.Value) (_ []byte, err error) {
	b = append(b, '{')
	first := true
	for i := range s.fields {
		f := &s.fields[i]
		value := v.Field(f.index)
		if f.omitEmpty && isEmpty(value) || f.omitZero && f.isZero(value) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if b, err = f.shape.append(append(b, f.start...), value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// isEmpty is what omitempty means.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero is what omitzero means.
func (f *field) isZero(v reflect.Value) bool {
	if f.shape.how == asTime {
		return v.Interface().(time.Time).IsZero()
	}
	return v.IsZero()
}

func (s *shape) appendSlice(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = s.elem.append(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendTime writes a time that RFC 3339 can hold; other ones have the error of
// encoding/json.
func appendTime(b []byte, t time.Time) ([]byte, error) {
	with, err := t.AppendText(append(b, '"'))
	if err != nil {
		return appendOther(b, t)
	}
	return append(with, '"'), nil
}

// appendData writes Data, which is JSON already.
func appendData(b, d []byte) ([]byte, error) {
	if len(d) == 0 {
		return append(b, "null"...), nil
	}
	return appendRaw(b, d)
}

func appendRaw(b, d []byte) ([]byte, error) {
	if r := (jsonReader{b: d}); r.skip(0) && r.at == len(d) {
		return append(b, d...), nil
	}
	return appendOther(b, json.RawMessage(d))
}

func appendJSONString(b []byte, s string) ([]byte, error) {
	if !plainText(s) {
		return appendOther(b, s)
	}
	return append(append(append(b, '"'), s...), '"'), nil
}

// plainText reports whether a text stands in JSON as it is.
func plainText[T string | []byte](s T) bool {
	for i := range len(s) {
		c := s[i]
		if c < 0x20 || c == '"' || c == '\\' {
			return false
		}
		if c >= utf8.RuneSelf {
			return plainUnicode(string(s[i:]))
		}
	}
	return true
}

// plainUnicode is plainText for what is not ASCII: U+2028 and U+2029 are escaped,
// what is not UTF-8 is replaced.
func plainUnicode(s string) bool {
	for i, r := range s {
		switch {
		case r < 0x20, r == '"', r == '\\', r == '\u2028', r == '\u2029':
			return false
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}
