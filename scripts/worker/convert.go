package worker

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/scripts/pure"
)

// handlerType is the Type of the struct by which a handler travels as a value.
const handlerType = "handler"

// converter turns values of scripts into those of the engine and back, on behalf
// of one call or one loading bundle.
type converter struct {
	bundle *bundle
	call   *call     // nil outside of a run: incidents then have no steps
	test   *testCall // nil outside of a test
}

// kindNames are the kinds of parameters as people read them.
var kindNames = map[string]string{
	"text": "a string", "int": "an int", "number": "a number", "bool": "True or False", "duration": `a duration like "5m"`,
	"time": "a time", "list": "a list", "dict": "a dict", "secret": `secret("name")`, "connection": "the name of a connection",
	"person": "a person", "incident": "an incident", "handler": "a function", "breach": "a function", "bytes": "bytes", "pairs": "a list or a dict", "struct": "a struct", "any": "a value",
	"mac": "a MAC address", "trigger": "a trigger like on.dns(…)", "pick": "less-busy or random", "attachment": "a text, bytes or an attachment",
}

// accept converts an argument of a kind; several kinds are separated by "|".
func (c *converter) accept(kind string, v starlark.Value) (engine.Value, error) {
	kinds := strings.Split(kind, "|")
	for _, k := range kinds {
		if value, ok, err := c.acceptOne(k, v); ok || err != nil {
			return value, err
		}
	}
	wants := make([]string, len(kinds))
	for i, k := range kinds {
		if wants[i] = kindNames[k]; wants[i] == "" {
			wants[i] = k
		}
	}
	return nil, engine.Errorf(engine.Invalid, "got %s, want %s", describe(v), strings.Join(wants, " or "))
}

// acceptOne reports ok when v is of the kind, and an error when it is but wrong.
func (c *converter) acceptOne(kind string, v starlark.Value) (engine.Value, bool, error) {
	ok := true
	switch kind {
	case "text", "connection":
		_, ok = v.(starlark.String)
	case "int":
		_, ok = v.(starlark.Int)
	case "number":
		_, isInt := v.(starlark.Int)
		_, isFloat := v.(starlark.Float)
		ok = isInt || isFloat
	case "bool":
		_, ok = v.(starlark.Bool)
	case "bytes":
		if s, isText := v.(starlark.String); isText {
			return engine.Bytes(s), true, nil
		}
		_, ok = v.(starlark.Bytes)
	case "time":
		_, ok = v.(pure.Time)
	case "secret":
		_, ok = v.(secretValue)
	case "incident":
		_, ok = v.(*incidentValue)
	case "struct":
		_, ok = v.(*pure.Struct)
	case "dict", engine.KindKeywords:
		_, ok = v.(starlark.IterableMapping)
	case "attachment":
		return c.acceptAttachment(v)
	case "mac":
		return acceptMAC(v)
	case "duration":
		return acceptDuration(v)
	case "list":
		return c.acceptList(v)
	case "person":
		return c.acceptPerson(v)
	case "handler":
		return c.acceptHandler(v)
	case "breach":
		return c.acceptBreach(v)
	case "trigger":
		return acceptTrigger(v)
	case "pairs":
		return c.acceptPairs(v)
	case "pick":
		return acceptPick(v)
	}
	if !ok {
		return nil, false, nil
	}
	value, err := c.toValue(v)
	return value, err == nil, err
}

func acceptDuration(v starlark.Value) (engine.Value, bool, error) {
	var d time.Duration
	switch v := v.(type) {
	case pure.Duration:
		d = time.Duration(v)
	case starlark.String:
		if v == "" {
			return nil, true, nil // as good as left out
		}
		var err error
		if d, err = calendar.ParseDuration(string(v)); err != nil {
			return nil, false, err
		}
	default:
		return nil, false, nil
	}
	if d < 0 {
		return nil, false, engine.Errorf(engine.Invalid, "got %s, want a duration that is not negative", calendar.FormatDuration(d))
	}
	return d, true, nil
}

// acceptAttachment takes a text or bytes of any length: its bound is that of
// attachments, not of values. Else it takes what has the fields of one.
func (c *converter) acceptAttachment(v starlark.Value) (engine.Value, bool, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), true, nil
	case starlark.Bytes:
		return engine.Bytes(v), true, nil
	case *pure.Struct, *starlark.Dict:
		value, err := c.toValue(v)
		return value, err == nil, err
	}
	return nil, false, nil
}

// acceptMAC takes the usual notations of a MAC address. What it means is the
// builtin's.
func acceptMAC(v starlark.Value) (engine.Value, bool, error) {
	s, ok := starlark.AsString(v)
	if !ok {
		return nil, false, nil
	}
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.TrimSpace(s))
	if len(digits) != 12 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return nil, false, engine.Errorf(engine.Invalid, "got %.60q, want a MAC address", s).WithHint("such as 02:00:00:00:00:07")
	}
	return s, true, nil
}

// acceptPick takes a way to pick somebody of a team.
func acceptPick(v starlark.Value) (engine.Value, bool, error) {
	switch s, ok := starlark.AsString(v); {
	case !ok:
		return nil, false, nil
	case s == "on-duty":
		return nil, false, engine.Errorf(engine.Invalid, "this version does not know yet who of a team is on duty").
			WithHint("pick less-busy or random, or leave it to the team")
	case s == "less-busy" || s == "random":
		return s, true, nil
	default:
		return nil, false, engine.Errorf(engine.Invalid, "got %.60q, want less-busy, random or on-duty", s)
	}
}

func (c *converter) acceptList(v starlark.Value) (engine.Value, bool, error) {
	list, ok := v.(starlark.Iterable)
	if _, isDict := v.(starlark.IterableMapping); !ok || isDict {
		return nil, false, nil
	}
	values, err := c.listOf(list)
	return values, err == nil, err
}

// acceptPerson takes a name, an address, a person, or whatever has an email.
func (c *converter) acceptPerson(v starlark.Value) (engine.Value, bool, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), true, nil
	case personValue:
		return engine.PersonRef(v), true, nil
	case *pure.Struct:
		email, hasEmail := starlark.AsString(v.Fields()["email"])
		name, _ := starlark.AsString(v.Fields()["name"])
		return engine.PersonRef{Name: name, Email: email}, hasEmail, nil
	}
	return nil, false, nil
}

// acceptPairs takes a dict, or a list of keys alone, as a list of [key, value] in
// the order in which it was written: dicts travel in the order of their keys.
func (c *converter) acceptPairs(v starlark.Value) (engine.Value, bool, error) {
	var items []starlark.Tuple
	if d, ok := v.(starlark.IterableMapping); ok {
		items = d.Items()
	} else if list, ok := v.(starlark.Iterable); ok {
		it := list.Iterate()
		defer it.Done()
		for x := starlark.Value(nil); it.Next(&x); {
			items = append(items, starlark.Tuple{x, starlark.None})
		}
	} else {
		return nil, false, nil
	}
	pairs, err := c.toPairs(items)
	return pairs, err == nil, err
}

func (c *converter) toPairs(items []starlark.Tuple) ([]engine.Value, error) {
	pairs := make([]engine.Value, len(items))
	for i, item := range items {
		pair, err := c.listOf(item)
		if err != nil {
			return nil, err
		}
		pairs[i] = pair
	}
	return pairs, nil
}

func (c *converter) acceptHandler(v starlark.Value) (engine.Value, bool, error) {
	fn, ok := v.(*starlark.Function)
	if !ok {
		return nil, false, nil
	}
	h, err := c.bundle.handler(fn)
	if err != nil {
		return nil, false, err
	}
	return handlerStruct(h), true, nil
}

// acceptBreach takes a function that is called with the incident alone.
func (c *converter) acceptBreach(v starlark.Value) (engine.Value, bool, error) {
	if fn, ok := v.(*starlark.Function); ok {
		if why := accepts(fn, []string{"incident"}, nil); why != "" {
			return nil, false, engine.Errorf(engine.Invalid, "%s", why)
		}
	}
	return c.acceptHandler(v)
}

// handlerStruct is how a handler travels as a value.
func handlerStruct(h engine.Handler) engine.Struct {
	return engine.Struct{Type: handlerType, Fields: map[string]engine.Value{"file": h.File, "name": h.Name}}
}

// maxValueBytes bounds what one value of a script may come to as plain data. A
// step takes far less (LANGUAGE section 3), and says so; this keeps a value that
// shares its parts, or a range, from growing over the memory of the worker.
const maxValueBytes = 1 << 20

// toValue makes plain data of a value of a script. Errors (kind invalid) name
// what cannot be recorded.
func (c *converter) toValue(v starlark.Value) (engine.Value, error) {
	p := plainer{room: maxValueBytes}
	return p.value(v, 0)
}

// listOf makes plain data of what can be iterated.
func (c *converter) listOf(v starlark.Iterable) ([]engine.Value, error) {
	p := plainer{room: maxValueBytes}
	return p.list(v, 0)
}

// plainer makes plain data, as long as it has room.
type plainer struct{ room int } // bytes

// valueBytes is what any value takes besides its text.
const valueBytes = 8

// take gives room to a value.
func (p *plainer) take(n int) error {
	if p.room -= n + valueBytes; p.room < 0 {
		return engine.Errorf(engine.Invalid, "a value of more than %d KB cannot be recorded", maxValueBytes>>10).
			WithHint("hand over the part that counts")
	}
	return nil
}

func (p *plainer) value(v starlark.Value, depth int) (engine.Value, error) {
	if depth > engine.MaxDepth {
		return nil, engine.Errorf(engine.Invalid, "a value nested deeper than %d cannot be recorded", engine.MaxDepth)
	}
	if err := p.take(textBytes(v)); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Int:
		return intValue(v), nil
	case starlark.Float:
		return float64(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Bytes:
		return engine.Bytes(v), nil
	case pure.Duration:
		return time.Duration(v), nil
	case pure.Time:
		return v.T.UTC(), nil
	case secretValue:
		return engine.Secret(v), nil
	case personValue:
		return engine.PersonRef(v), nil
	case *incidentValue:
		if v.id == "" {
			return nil, nil
		}
		return engine.IncidentRef{ID: v.id}, nil
	case *viewValue:
		return engine.Struct{Type: viewType, Fields: map[string]engine.Value{"kind": v.kind, "id": v.id}}, nil
	}
	return p.container(v, depth)
}

// textBytes is the size of what has no parts.
func textBytes(v starlark.Value) int {
	switch v := v.(type) {
	case starlark.String:
		return len(v)
	case starlark.Bytes:
		return len(v)
	case starlark.Int:
		if _, small := v.Int64(); !small {
			return v.BigInt().BitLen() / 3 // as decimal digits
		}
	}
	return 0
}

func (p *plainer) container(v starlark.Value, depth int) (engine.Value, error) {
	switch v := v.(type) {
	case starlark.Tuple:
		list, err := p.list(v, depth)
		return engine.Tuple(list), err
	case *starlark.Set:
		list, err := p.list(v, depth)
		return engine.Set(list), err
	case *starlark.List:
		return p.list(v, depth)
	case *pure.Struct:
		fields := make(map[string]engine.Value, len(v.Fields()))
		for name, f := range v.Fields() {
			value, err := p.value(f, depth+1)
			if err != nil {
				return nil, err
			}
			fields[name] = value
		}
		return engine.Struct{Type: v.Constructor, Fields: fields}, nil
	case *eventValue:
		return v.data, nil
	case starlark.IterableMapping:
		return p.dict(v, depth)
	case starlark.Callable:
		return nil, engine.Errorf(engine.Invalid, "a function (%s) cannot be recorded", v.Name()).
			WithHint("what may run later is given as do or undo, which take a top-level def")
	case starlark.Iterable:
		return p.list(v, depth)
	}
	return nil, engine.Errorf(engine.Invalid, "a %s cannot be recorded", v.Type())
}

func intValue(v starlark.Int) engine.Value {
	if i, ok := v.Int64(); ok {
		return i
	}
	return new(big.Int).Set(v.BigInt())
}

func (p *plainer) list(v starlark.Iterable, depth int) ([]engine.Value, error) {
	list := []engine.Value{}
	it := v.Iterate()
	defer it.Done()
	var x starlark.Value
	for it.Next(&x) {
		value, err := p.value(x, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, nil
}

func (p *plainer) dict(v starlark.IterableMapping, depth int) (engine.Value, error) {
	d := engine.Dict{}
	plain := true
	it := v.Iterate()
	defer it.Done()
	var k starlark.Value
	for it.Next(&k) {
		key, err := p.value(k, depth+1)
		if err != nil {
			return nil, err
		}
		x, _, err := v.Get(k)
		if err != nil {
			return nil, err
		}
		value, err := p.value(x, depth+1)
		if err != nil {
			return nil, err
		}
		_, text := key.(string)
		plain = plain && text
		d = append(d, engine.Pair{Key: key, Value: value})
	}
	if !plain {
		return d, nil
	}
	m := make(map[string]engine.Value, len(d))
	for _, p := range d {
		m[p.Key.(string)] = p.Value
	}
	return m, nil
}

// fromData decodes what was recorded.
func (c *converter) fromData(d engine.Data) (starlark.Value, error) {
	v, err := d.Value()
	if err != nil {
		return nil, err
	}
	return c.fromValue(v)
}

// fromValue makes a value of scripts. Lists and dicts are new and may be changed.
func (c *converter) fromValue(v engine.Value) (starlark.Value, error) {
	switch v := v.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(v), nil
	case int64:
		return starlark.MakeInt64(v), nil
	case *big.Int:
		return starlark.MakeBigInt(v), nil
	case float64:
		return starlark.Float(v), nil
	case string:
		return starlark.String(v), nil
	case engine.Bytes:
		return starlark.Bytes(v), nil
	case time.Duration:
		return pure.Duration(v), nil
	case time.Time:
		return pure.Time{T: v.In(c.bundle.zone)}, nil
	case engine.Secret:
		return secretValue(v), nil
	case engine.PersonRef:
		return personValue(v), nil
	case engine.IncidentRef:
		if c.test != nil {
			return &viewValue{call: c.test, kind: incidentView, id: v.ID}, nil
		}
		return &incidentValue{id: v.ID, call: c.call}, nil
	}
	return c.fromContainer(v)
}

func (c *converter) fromContainer(v engine.Value) (starlark.Value, error) {
	switch v := v.(type) {
	case []engine.Value:
		list, err := c.fromList(v)
		return starlark.NewList(list), err
	case engine.Tuple:
		list, err := c.fromList(v)
		return starlark.Tuple(list), err
	case engine.Set:
		return c.fromSet(v)
	case map[string]engine.Value:
		return c.fromMap(v)
	case engine.Dict:
		d := starlark.NewDict(len(v))
		for _, p := range v {
			if err := c.setKey(d, p.Key, p.Value); err != nil {
				return nil, err
			}
		}
		return d, nil
	case engine.Struct:
		return c.fromStruct(v)
	}
	return nil, fmt.Errorf("a %T is no value", v)
}

func (c *converter) fromList(list []engine.Value) ([]starlark.Value, error) {
	out := make([]starlark.Value, len(list))
	for i, v := range list {
		x, err := c.fromValue(v)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

func (c *converter) fromSet(list engine.Set) (starlark.Value, error) {
	s := starlark.NewSet(len(list))
	items, err := c.fromList(list)
	if err != nil {
		return nil, err
	}
	for _, x := range items {
		if err := s.Insert(x); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (c *converter) fromMap(m map[string]engine.Value) (starlark.Value, error) {
	d := starlark.NewDict(len(m))
	for _, k := range sortedKeys(m) {
		if err := c.setKey(d, k, m[k]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (c *converter) setKey(d *starlark.Dict, key, value engine.Value) error {
	k, err := c.fromValue(key)
	if err != nil {
		return err
	}
	v, err := c.fromValue(value)
	if err != nil {
		return err
	}
	return d.SetKey(k, v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fromStruct makes a struct, with the methods that results of its type have.
func (c *converter) fromStruct(s engine.Struct) (starlark.Value, error) {
	if s.Type == eventType {
		return c.newEvent(s.Fields)
	}
	if s.Type == openedType {
		return c.opened(s)
	}
	if s.Type == viewType && c.test != nil {
		return c.test.view(s), nil
	}
	if s.Type == expectationType {
		step, _ := s.Fields["step"].(string)
		return &expectationValue{step: step, elapsed: starlark.None}, nil
	}
	fields := make(starlark.StringDict, len(s.Fields))
	for name, f := range s.Fields {
		v, err := c.fromValue(f)
		if err != nil {
			return nil, err
		}
		fields[name] = v
	}
	switch s.Type {
	case "http.response":
		return pure.NewStruct(s.Type, fields, starlark.NewBuiltin("json", responseJSON)), nil
	case changeType:
		return pure.NewStruct(s.Type, fields, starlark.NewBuiltin("undo", changeUndo)), nil
	case lockType:
		return pure.NewStruct(s.Type, fields, starlark.NewBuiltin("release", lockRelease)), nil
	}
	return pure.NewStruct(s.Type, fields), nil
}

// responseJSON decodes the body of an HTTP response.
func responseJSON(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("json", args, kwargs); err != nil {
		return nil, err
	}
	body := b.Receiver().(*pure.Struct).Fields()["body"]
	switch body := body.(type) {
	case starlark.String:
		return pure.DecodeJSON(thread, string(body))
	case starlark.Bytes:
		return pure.DecodeJSON(thread, string(body))
	}
	return nil, engine.Errorf(engine.Invalid, "json: the response has no body")
}
