package engine

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// Unmarshal decodes b into what into points to, which is zero, as encoding/json
// does.
func (c *Codec) Unmarshal(b []byte, into any) error {
	p := reflect.ValueOf(into)
	if s := c.shapes[p.Type().Elem()]; s != nil {
		r := jsonReader{b: b}
		if s.read(&r, p.Elem()) && r.at == len(b) {
			return nil
		}
		p.Elem().SetZero()
	}
	return json.Unmarshal(b, into)
}

// jsonReader reads JSON without spaces. Its methods return false for what they do
// not know: encoding/json then judges.
type jsonReader struct {
	b  []byte
	at int
}

func (r *jsonReader) next(c byte) bool {
	if r.at < len(r.b) && r.b[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) word(w string) bool {
	if len(r.b)-r.at >= len(w) && string(r.b[r.at:r.at+len(w)]) == w {
		r.at += len(w)
		return true
	}
	return false
}

// text returns what stands between the quotes of a string without escapes.
func (r *jsonReader) text() ([]byte, bool) {
	if !r.next('"') {
		return nil, false
	}
	for i := r.at; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			text := r.b[r.at:i]
			r.at = i + 1
			return text, true
		case c < 0x20, c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// number returns an integer's sign and digits.
func (r *jsonReader) number() (n uint64, negative, ok bool) {
	negative = r.next('-')
	begin := r.at
	for ; r.at < len(r.b) && r.b[r.at]-'0' <= 9; r.at++ {
		n = 10*n + uint64(r.b[r.at]-'0')
	}
	digits := r.at - begin
	if digits == 0 || digits > 18 || digits > 1 && r.b[begin] == '0' {
		return 0, false, false
	}
	if r.at < len(r.b) && strings.IndexByte(".eE", r.b[r.at]) >= 0 {
		return 0, false, false
	}
	return n, negative, true
}

// skip passes over any valid value.
func (r *jsonReader) skip(depth int) bool {
	if r.at == len(r.b) || depth > MaxDepth {
		return false
	}
	switch c := r.b[r.at]; c {
	case '"':
		return r.skipString()
	case '{':
		return r.skipNested(depth, '}', true)
	case '[':
		return r.skipNested(depth, ']', false)
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	return r.skipNumber()
}

func (r *jsonReader) skipNested(depth int, end byte, named bool) bool {
	r.at++
	if r.next(end) {
		return true
	}
	for {
		if named && (!r.skipString() || !r.next(':')) {
			return false
		}
		if !r.skip(depth + 1) {
			return false
		}
		if !r.next(',') {
			return r.next(end)
		}
	}
}

func (r *jsonReader) skipString() bool {
	if !r.next('"') {
		return false
	}
	for ; r.at < len(r.b); r.at++ {
		switch c := r.b[r.at]; {
		case c == '"':
			r.at++
			return true
		case c < 0x20:
			return false
		case c == '\\':
			if !r.skipEscape() {
				return false
			}
		}
	}
	return false
}

// skipEscape passes over an escape but for its last byte.
func (r *jsonReader) skipEscape() bool {
	if r.at++; r.at == len(r.b) {
		return false
	}
	if r.b[r.at] != 'u' {
		return strings.IndexByte(`"\/bfnrt`, r.b[r.at]) >= 0
	}
	for range 4 {
		if r.at++; r.at == len(r.b) || strings.IndexByte("0123456789abcdefABCDEF", r.b[r.at]) < 0 {
			return false
		}
	}
	return true
}

func (r *jsonReader) digits() bool {
	begin := r.at
	for r.at < len(r.b) && r.b[r.at]-'0' <= 9 {
		r.at++
	}
	return r.at > begin
}

// skipNumber passes over a number (RFC 8259 §6).
func (r *jsonReader) skipNumber() bool {
	r.next('-')
	if !r.next('0') && !r.digits() {
		return false
	}
	if r.next('.') && !r.digits() {
		return false
	}
	if r.next('e') || r.next('E') {
		if !r.next('+') {
			r.next('-')
		}
		return r.digits()
	}
	return true
}

// read decodes a value into v, which is zero.
func (s *shape) read(r *jsonReader, v reflect.Value) bool {
	if r.at < len(r.b) && r.b[r.at] == 'n' && s.how != asData && s.how != asRaw {
		return s.readOther(r, v) // null: each type takes it its own way
	}
	switch s.how {
	case asString:
		return readString(r, v)
	case asBool:
		if r.word("true") {
			v.SetBool(true)
			return true
		}
		return r.word("false")
	case asInt:
		n, negative, ok := r.number()
		if x := int64(n); ok {
			if negative {
				x = -x
			}
			v.SetInt(x)
			return !v.OverflowInt(x)
		}
		return false
	case asUint:
		n, negative, ok := r.number()
		if !ok || negative || v.OverflowUint(n) {
			return false
		}
		v.SetUint(n)
		return true
	case asTime:
		begin := r.at
		_, ok := r.text()
		return ok && v.Addr().Interface().(*time.Time).UnmarshalJSON(r.b[begin:r.at]) == nil
	case asData, asRaw:
		return s.readData(r, v)
	case asStruct:
		return s.readStruct(r, v)
	case asPointer:
		v.Set(reflect.New(v.Type().Elem()))
		return s.elem.read(r, v.Elem())
	case asSlice:
		return s.readSlice(r, v)
	}
	return s.readOther(r, v)
}

func (s *shape) readOther(r *jsonReader, v reflect.Value) bool {
	begin := r.at
	return r.skip(0) && json.Unmarshal(r.b[begin:r.at], v.Addr().Interface()) == nil
}

func readString(r *jsonReader, v reflect.Value) bool {
	begin := r.at
	if text, ok := r.text(); ok && utf8.Valid(text) {
		v.SetString(string(text))
		return true
	}
	r.at = begin
	return r.skipString() && json.Unmarshal(r.b[begin:r.at], v.Addr().Interface()) == nil
}

func (s *shape) readData(r *jsonReader, v reflect.Value) bool {
	begin := r.at
	if !r.skip(0) {
		return false
	}
	if d := r.b[begin:r.at]; s.how == asRaw || string(d) != "null" {
		v.SetBytes(append(make([]byte, 0, len(d)), d...))
	}
	return true
}

func (s *shape) readStruct(r *jsonReader, v reflect.Value) bool {
	if !r.next('{') {
		return false
	}
	if r.next('}') {
		return true
	}
	var seen uint64
	for at := 0; ; at++ {
		name, ok := r.text()
		if !ok || !r.next(':') {
			return false
		}
		if at = s.find(name, at); at < 0 || seen>>at&1 != 0 {
			return false
		}
		seen |= 1 << at
		f := &s.fields[at]
		if !f.shape.read(r, v.Field(f.index)) {
			return false
		}
		if !r.next(',') {
			return r.next('}')
		}
	}
}

// find returns the field of a name; most often it is the one at or behind from.
func (s *shape) find(name []byte, from int) int {
	for i := from; i < len(s.fields); i++ {
		if s.fields[i].name == string(name) {
			return i
		}
	}
	for i := 0; i < min(from, len(s.fields)); i++ {
		if s.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (s *shape) readSlice(r *jsonReader, v reflect.Value) bool {
	if !r.next('[') {
		return false
	}
	if r.next(']') {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return true
	}
	for n := 0; ; n++ {
		v.Grow(1)
		v.SetLen(n + 1)
		if !s.elem.read(r, v.Index(n)) {
			return false
		}
		if !r.next(',') {
			return r.next(']')
		}
	}
}

// value decodes a Value as decodeAny does; false for what it does not know.
func (r *jsonReader) value(depth int, tagged bool) (Value, bool) {
	if r.at == len(r.b) || depth > MaxDepth {
		return nil, false
	}
	switch c := r.b[r.at]; c {
	case '"':
		return r.stringValue()
	case '{':
		return r.object(depth, tagged)
	case '[':
		return r.array(depth, tagged)
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	}
	begin := r.at
	if !r.skipNumber() {
		return nil, false
	}
	v, err := decodeNumber(string(r.b[begin:r.at]))
	return v, err == nil
}

func (r *jsonReader) stringValue() (s string, ok bool) {
	begin := r.at
	if text, ok := r.text(); ok && utf8.Valid(text) {
		return string(text), true
	}
	r.at = begin
	return s, r.skipString() && json.Unmarshal(r.b[begin:r.at], &s) == nil
}

func (r *jsonReader) array(depth int, tagged bool) (Value, bool) {
	r.at++
	list := []Value{}
	if r.next(']') {
		return list, true
	}
	for {
		v, ok := r.value(depth+1, tagged)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if !r.next(',') {
			return list, r.next(']')
		}
	}
}

func (r *jsonReader) object(depth int, tagged bool) (Value, bool) {
	r.at++
	m := map[string]Value{}
	for more := !r.next('}'); more; {
		key, ok := r.stringValue()
		if !ok || !r.next(':') {
			return nil, false
		}
		if m[key], ok = r.value(depth+1, tagged); !ok {
			return nil, false
		}
		if more = r.next(','); !more && !r.next('}') {
			return nil, false
		}
	}
	if tag, ok := m["$"].(string); ok && tagged {
		v, err := decodeTagged(tag, m)
		return v, err == nil
	}
	return m, true
}
