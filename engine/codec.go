package engine

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Codec encodes and decodes values of the types that it was made for as
// MarshalJSON and encoding/json do, byte for byte and value for value, several
// times as fast: payloads of records, projections and messages pass through it
// again and again. What it does not know, or is not written as we write it
// (spaces, escapes, keys in other cases), it leaves to encoding/json.
//
// Safe for concurrent use.
type Codec struct{ shapes map[reflect.Type]*shape }

// NewCodec returns a codec for the types of the examples, which are structs.
func NewCodec(examples ...any) *Codec {
	c := &Codec{shapes: map[reflect.Type]*shape{}}
	for _, e := range examples {
		t := reflect.TypeOf(e)
		if s := shapeOf(t, 0); s.how == asStruct {
			c.shapes[t] = s
		}
	}
	return c
}

// how a value is read and written.
type how int

const (
	asOther how = iota // by encoding/json
	asString
	asBool
	asInt
	asUint
	asTime
	asData // is JSON already
	asRaw  // the same, json.RawMessage
	asStruct
	asPointer
	asSlice
)

// shape is what is known of a type.
type shape struct {
	how    how
	elem   *shape // of a pointer or slice
	fields []field
}

// field is a field of a struct.
type field struct {
	index     int
	name      string
	start     string // "name": with its colon
	omitEmpty bool
	omitZero  bool
	shape     *shape
}

// maxFields: a mask of 64 bits remembers which ones were read.
const maxFields = 64

// maxNested bounds the types within types that are known.
const maxNested = 8

func shapeOf(t reflect.Type, depth int) *shape {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &shape{how: asTime}
	case reflect.TypeFor[Data]():
		return &shape{how: asData}
	case reflect.TypeFor[json.RawMessage]():
		return &shape{how: asRaw}
	}
	if depth > maxNested || codesItself(t) || codesItself(reflect.PointerTo(t)) {
		return &shape{}
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{how: asString}
	case reflect.Bool:
		return &shape{how: asBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &shape{how: asInt}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &shape{how: asUint}
	case reflect.Struct:
		return structShape(t, depth+1)
	case reflect.Pointer:
		return elemShape(asPointer, t, depth+1)
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // base64
			return elemShape(asSlice, t, depth+1)
		}
	}
	return &shape{}
}

// codesItself reports whether a type has methods that say how it is written.
func codesItself(t reflect.Type) bool {
	for _, m := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if t.Implements(m) {
			return true
		}
	}
	return false
}

func elemShape(as how, t reflect.Type, depth int) *shape {
	elem := shapeOf(t.Elem(), depth)
	if elem.how == asOther || elem.how == asPointer || as == asPointer && elem.how != asStruct {
		return &shape{}
	}
	return &shape{how: as, elem: elem}
}

// structShape knows structs whose fields are tagged with a plain name, and have no
// other options than omitempty and omitzero.
func structShape(t reflect.Type, depth int) *shape {
	s := &shape{how: asStruct}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" || !plainName(name) || len(s.fields) == maxFields {
			return &shape{}
		}
		known := field{index: i, name: name, start: `"` + name + `":`, shape: shapeOf(f.Type, depth)}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "":
			case "omitempty":
				known.omitEmpty = true
			case "omitzero":
				known.omitZero = true
			default:
				return &shape{}
			}
		}
		if _, own := reflect.PointerTo(f.Type).MethodByName("IsZero"); known.omitZero && own && known.shape.how != asTime {
			return &shape{}
		}
		s.fields = append(s.fields, known)
	}
	return s
}

func plainName(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
