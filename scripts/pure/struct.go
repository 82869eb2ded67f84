package pure

import (
	"fmt"
	"maps"
	"sort"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Struct is an immutable value with named attributes: what struct() makes, and
// what results of builtins are. Constructor names its kind and is empty for
// struct(); Methods are attributes that are no fields.
type Struct struct {
	Constructor string
	fields      starlark.StringDict
	methods     map[string]*starlark.Builtin
}

var (
	_ starlark.HasAttrs   = (*Struct)(nil)
	_ starlark.Comparable = (*Struct)(nil)
	_ starlark.HasBinary  = (*Struct)(nil)
)

// NewStruct makes a struct of fields, which it keeps, and methods, which get the
// struct as their receiver.
func NewStruct(constructor string, fields starlark.StringDict, methods ...*starlark.Builtin) *Struct {
	s := &Struct{Constructor: constructor, fields: fields, methods: make(map[string]*starlark.Builtin, len(methods))}
	for _, m := range methods {
		s.methods[m.Name()] = m.BindReceiver(s)
	}
	return s
}

func makeStruct(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("struct: got %d positional arguments, want keywords alone", len(args))
	}
	fields := make(starlark.StringDict, len(kwargs))
	for _, kw := range kwargs {
		fields[string(kw[0].(starlark.String))] = kw[1]
	}
	return NewStruct("", fields), nil
}

// Fields returns the fields, which must not be changed.
func (s *Struct) Fields() starlark.StringDict { return s.fields }

// String prints the struct as the call that makes it.
func (s *Struct) String() string {
	var b strings.Builder
	b.WriteString(s.name())
	b.WriteByte('(')
	for i, name := range s.fields.Keys() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + " = " + s.fields[name].String())
	}
	b.WriteByte(')')
	return b.String()
}

func (s *Struct) name() string {
	if s.Constructor == "" {
		return "struct"
	}
	return s.Constructor
}

// Type returns "struct", or the kind of a result.
func (s *Struct) Type() string { return s.name() }

// Freeze freezes the fields.
func (s *Struct) Freeze() { s.fields.Freeze() }

// Truth is true: what is missing is None.
func (s *Struct) Truth() starlark.Bool { return true }

// Hash mixes names and values.
func (s *Struct) Hash() (uint32, error) {
	sum := uint64(len(s.fields))
	for _, name := range s.fields.Keys() {
		h, err := s.fields[name].Hash()
		if err != nil {
			return 0, err
		}
		n, _ := starlark.String(name).Hash()
		sum = sum*1_000_003 ^ uint64(n)<<32 ^ uint64(h)
	}
	return foldHash(sum), nil
}

// Attr returns a field or a method.
func (s *Struct) Attr(name string) (starlark.Value, error) {
	if v, ok := s.fields[name]; ok {
		return v, nil
	}
	if m, ok := s.methods[name]; ok {
		return m, nil
	}
	return nil, nil
}

// AttrNames lists fields and methods.
func (s *Struct) AttrNames() []string {
	names := s.fields.Keys()
	for name := range s.methods {
		if !s.fields.Has(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// CompareSameType compares field by field.
func (s *Struct) CompareSameType(op syntax.Token, other starlark.Value, depth int) (bool, error) {
	if op != syntax.EQL && op != syntax.NEQ {
		return false, fmt.Errorf("%s %s %s: structs have no order", s.Type(), op, other.Type())
	}
	equal, err := s.equal(other.(*Struct), depth)
	return equal == (op == syntax.EQL), err
}

func (s *Struct) equal(o *Struct, depth int) (bool, error) {
	if s.Constructor != o.Constructor || len(s.fields) != len(o.fields) {
		return false, nil
	}
	for _, name := range s.fields.Keys() {
		v, ok := o.fields[name]
		if !ok {
			return false, nil
		}
		if equal, err := starlark.EqualDepth(s.fields[name], v, depth-1); err != nil || !equal {
			return false, err
		}
	}
	return true, nil
}

// Binary joins two structs with +; fields of the right one win.
func (s *Struct) Binary(op syntax.Token, other starlark.Value, side starlark.Side) (starlark.Value, error) {
	o, ok := other.(*Struct)
	if !ok || op != syntax.PLUS || side != starlark.Left {
		return nil, nil
	}
	fields := make(starlark.StringDict, len(s.fields)+len(o.fields))
	maps.Copy(fields, s.fields)
	maps.Copy(fields, o.fields)
	return NewStruct("", fields), nil
}
