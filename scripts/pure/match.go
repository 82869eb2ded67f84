package pure

import (
	"fmt"
	"regexp"
	"strconv"

	"go.starlark.net/starlark"
)

// match is what re.search found: Python's match object.
type match struct {
	re   *regexp.Regexp
	text string
	loc  []int // begin and end of the match and each group
}

var _ starlark.HasAttrs = (*match)(nil)

func (m *match) String() string {
	return fmt.Sprintf("<match %q at %d>", m.text[m.loc[0]:m.loc[1]], m.loc[0])
}
func (m *match) Type() string          { return "match" }
func (m *match) Freeze()               {}
func (m *match) Truth() starlark.Bool  { return true }
func (m *match) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: match") }

func (m *match) AttrNames() []string {
	return []string{"end", "group", "groupdict", "groups", "span", "start", "string"}
}

func (m *match) Attr(name string) (starlark.Value, error) {
	var do builtin
	switch name {
	case "string":
		return starlark.String(m.text), nil
	case "group":
		do = m.group
	case "groups":
		do = m.groups
	case "groupdict":
		do = m.groupDict
	case "start":
		do = m.place(func(begin, _ int) starlark.Value { return starlark.MakeInt(begin) })
	case "end":
		do = m.place(func(_, end int) starlark.Value { return starlark.MakeInt(end) })
	case "span":
		do = m.place(func(begin, end int) starlark.Value {
			return starlark.Tuple{starlark.MakeInt(begin), starlark.MakeInt(end)}
		})
	default:
		return nil, nil
	}
	return starlark.NewBuiltin("match."+name, do), nil
}

// groupIndex finds a group by number or name.
func groupIndex(re *regexp.Regexp, name string) (int, error) {
	i, err := strconv.Atoi(name)
	if err != nil {
		i = re.SubexpIndex(name)
	}
	if i < 0 || i > re.NumSubexp() {
		return 0, fmt.Errorf("the pattern has no group %s", name)
	}
	return i, nil
}

func (m *match) index(v starlark.Value) (int, error) {
	name, ok := starlark.AsString(v)
	if !ok {
		name = v.String()
	}
	return groupIndex(m.re, name)
}

func (m *match) group(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: unexpected keyword arguments", b.Name())
	}
	if len(args) == 0 {
		args = starlark.Tuple{starlark.MakeInt(0)}
	}
	result := make(starlark.Tuple, len(args))
	for n, arg := range args {
		i, err := m.index(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name(), err)
		}
		result[n] = groupText(m.text, m.loc, i)
	}
	if len(result) == 1 {
		return result[0], nil
	}
	return result, nil
}

func (m *match) groups(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fallback starlark.Value = starlark.None
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "default?", &fallback); err != nil {
		return nil, err
	}
	result := make(starlark.Tuple, 0, m.re.NumSubexp())
	for i := 1; i <= m.re.NumSubexp(); i++ {
		result = append(result, m.or(i, fallback))
	}
	return result, nil
}

func (m *match) or(i int, fallback starlark.Value) starlark.Value {
	if v := groupText(m.text, m.loc, i); v != starlark.None {
		return v
	}
	return fallback
}

func (m *match) groupDict(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fallback starlark.Value = starlark.None
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "default?", &fallback); err != nil {
		return nil, err
	}
	d := starlark.NewDict(m.re.NumSubexp())
	for i, name := range m.re.SubexpNames() {
		if name != "" {
			_ = d.SetKey(starlark.String(name), m.or(i, fallback)) // strings are hashable
		}
	}
	return d, nil
}

func (m *match) place(part func(begin, end int) starlark.Value) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var group starlark.Value = starlark.MakeInt(0)
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "group?", &group); err != nil {
			return nil, err
		}
		i, err := m.index(group)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name(), err)
		}
		return part(m.loc[2*i], m.loc[2*i+1]), nil
	}
}
