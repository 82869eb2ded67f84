package worker

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine/calendar"
	"larkspur/scripts/pure"
)

// same compares as a test means it: "8h" is a duration of eight hours, "dave" the
// person of that name, a time its text, and a tuple the list of its values.
func same(a, b starlark.Value) (bool, error) {
	if ok, known := likeText(a, b); known {
		return ok, nil
	}
	x, xList := sequence(a)
	y, yList := sequence(b)
	if xList && yList {
		return sameItems(x, y)
	}
	if d, ok := a.(*starlark.Dict); ok {
		if e, ok := b.(*starlark.Dict); ok {
			return sameEntries(d, e)
		}
	}
	if s, ok := a.(*pure.Struct); ok {
		if t, ok := b.(*pure.Struct); ok {
			return sameFields(s.Fields(), t.Fields())
		}
	}
	return starlark.Compare(syntax.EQL, a, b)
}

// likeText compares a value with a text that stands for it; known is false for
// other pairs.
func likeText(a, b starlark.Value) (ok, known bool) {
	text, isText := a.(starlark.String)
	value := b
	if !isText {
		if text, isText = b.(starlark.String); !isText {
			return false, false
		}
		value = a
	}
	switch v := value.(type) {
	case pure.Duration:
		d, err := calendar.ParseDuration(string(text))
		return err == nil && pure.Duration(d) == v, true
	case pure.Time:
		return v.String() == string(text) || v.T.Format("2006-01-02T15:04") == string(text), true
	case personValue:
		return v.Name == string(text) || v.Email == string(text), true
	case *viewValue:
		return v.id == string(text), true
	}
	return false, false
}

func sequence(v starlark.Value) ([]starlark.Value, bool) {
	switch v := v.(type) {
	case starlark.Tuple:
		return v, true
	case *starlark.List:
		items := make([]starlark.Value, v.Len())
		for i := range items {
			items[i] = v.Index(i)
		}
		return items, true
	}
	return nil, false
}

func sameItems(a, b []starlark.Value) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		if ok, err := same(a[i], b[i]); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func sameEntries(a, b *starlark.Dict) (bool, error) {
	if a.Len() != b.Len() {
		return false, nil
	}
	for _, item := range a.Items() {
		other, found, err := b.Get(item[0])
		if err != nil || !found {
			return false, err
		}
		if ok, err := same(item[1], other); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func sameFields(a, b starlark.StringDict) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for name, v := range a {
		other, found := b[name]
		if !found {
			return false, nil
		}
		if ok, err := same(v, other); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// contains says whether an item is in a string, list, dict or set.
func contains(container, item starlark.Value) (bool, error) {
	if text, ok := starlark.AsString(container); ok {
		part, ok := starlark.AsString(item)
		return ok && strings.Contains(text, part), nil
	}
	list, ok := container.(starlark.Iterable)
	if !ok {
		return false, fmt.Errorf("t.contains: got a %s, want a string, a list, a dict or a set", container.Type())
	}
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		if ok, err := same(x, item); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// difference says where two long values part, or "".
func difference(got, want starlark.Value) string {
	x, xList := sequence(got)
	y, yList := sequence(want)
	if xList && yList {
		return listDifference(x, y)
	}
	d, isDict := got.(*starlark.Dict)
	e, alsoDict := want.(*starlark.Dict)
	if isDict && alsoDict {
		return dictDifference(d, e)
	}
	return ""
}

func listDifference(x, y []starlark.Value) string {
	for i := range min(len(x), len(y)) {
		if ok, _ := same(x[i], y[i]); !ok && max(len(x), len(y)) > 1 {
			return fmt.Sprintf("\n  differs first at [%d]: got %s, want %s", i, shown(x[i]), shown(y[i]))
		}
	}
	if len(x) != len(y) {
		return fmt.Sprintf("\n  got %d of them, want %d", len(x), len(y))
	}
	return ""
}

func dictDifference(d, e *starlark.Dict) string {
	for _, item := range d.Items() {
		other, found, _ := e.Get(item[0])
		if !found {
			return fmt.Sprintf("\n  the key %s was not wanted", item[0])
		}
		if ok, _ := same(item[1], other); !ok {
			return fmt.Sprintf("\n  differs at [%s]: got %s, want %s", item[0], shown(item[1]), shown(other))
		}
	}
	for _, key := range e.Keys() {
		if _, found, _ := d.Get(key); !found {
			return fmt.Sprintf("\n  the key %s is missing", key)
		}
	}
	return ""
}
