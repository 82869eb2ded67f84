package builtins

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// prepare makes the call that the builtin sees: the connection found, durations
// read, handles of secrets replaced. The caller's call stays as it is. tokens
// are the addresses of links that went into it.
func (d *Door) prepare(b reach.Builtin, c *engine.Call) (call *engine.Call, tokens []string, err error) {
	copied := *c
	call = &copied
	if call.Connection == "" {
		call.Connection = c.Text(b.ConnectionParam())
	}
	if call.Connection, err = d.connection(b, call.Connection); err != nil {
		return call, nil, engine.WrapError(engine.Invalid, err, c.Name)
	}
	e := expander{door: d, keep: b.Handles, internal: b.Internal}
	call.Args = make(map[string]engine.Value, len(c.Args))
	for name, v := range c.Args {
		out, err := e.value(v, 0)
		if err != nil {
			return call, e.tokens, engine.WrapError(engine.Invalid, err, c.Name+": "+name)
		}
		call.Args[name] = out
	}
	for _, p := range b.Params {
		if err := normalise(call, p); err != nil {
			return call, e.tokens, err
		}
	}
	return call, e.tokens, nil
}

// normalise reads a duration that was given as text.
func normalise(c *engine.Call, p engine.Param) error {
	text, ok := c.Args[p.Name].(string)
	if !ok || p.Kind != "duration" {
		return nil
	}
	d, err := calendar.ParseDuration(text)
	if err != nil {
		return engine.WrapError(engine.Invalid, err, c.Name+": "+p.Name)
	}
	c.Args[p.Name] = d
	return nil
}

// connection returns the name of the connection that a call uses, "" for none.
func (d *Door) connection(b reach.Builtin, given string) (string, error) {
	if b.Connection == "" || given == "" && b.Bare {
		return given, nil
	}
	names := d.names[b.Connection]
	switch {
	case slices.Contains(names, given):
		return given, nil
	case given != "":
		return "", engine.Errorf(engine.Invalid, "no connection %q in connections.%s", given, b.Connection).
			WithHint("%s", suggestName(given, names, b.Connection))
	case len(names) == 1:
		return names[0], nil
	case slices.Contains(names, "default"):
		return "default", nil
	case len(names) == 0:
		return "", engine.Errorf(engine.Invalid, "there is no connection in connections.%s", b.Connection).
			WithHint("add one to larkspur.yaml")
	}
	return "", engine.Errorf(engine.Invalid, "which connection? connections.%s has %s", b.Connection, strings.Join(names, ", ")).
		WithHint("say connection = %q, or call one of them default", names[0])
}

func suggestName(given string, names []string, section string) string {
	if len(names) == 0 {
		return "connections." + section + " is empty"
	}
	return settings.Suggest(given, names)
}

// expander replaces handles of secrets, deeply.
type expander struct {
	door     *Door
	keep     bool
	internal bool // only our own scripts call the builtin
	tokens   []string
}

func (e *expander) value(v engine.Value, depth int) (engine.Value, error) {
	if depth > engine.MaxDepth {
		return nil, engine.Errorf(engine.Invalid, "nested deeper than %d", engine.MaxDepth)
	}
	switch v := v.(type) {
	case engine.Secret:
		if e.keep {
			return v, nil
		}
		return e.secret(v)
	case []engine.Value:
		return e.list(v, depth)
	case engine.Tuple:
		list, err := e.list(v, depth)
		return engine.Tuple(list), err
	case engine.Set:
		list, err := e.list(v, depth)
		return engine.Set(list), err
	case map[string]engine.Value:
		return e.fields(v, depth)
	case engine.Struct:
		fields, err := e.fields(v.Fields, depth)
		return engine.Struct{Type: v.Type, Fields: fields}, err
	case engine.Dict:
		out := make(engine.Dict, len(v))
		for i, p := range v {
			pair, err := e.list([]engine.Value{p.Key, p.Value}, depth)
			if err != nil {
				return nil, err
			}
			out[i] = engine.Pair{Key: pair[0], Value: pair[1]}
		}
		return out, nil
	}
	return v, nil
}

func (e *expander) list(list []engine.Value, depth int) ([]engine.Value, error) {
	out := make([]engine.Value, len(list))
	for i, v := range list {
		var err error
		if out[i], err = e.value(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *expander) fields(m map[string]engine.Value, depth int) (map[string]engine.Value, error) {
	out := make(map[string]engine.Value, len(m))
	for k, v := range m {
		var err error
		if out[k], err = e.value(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *expander) secret(s engine.Secret) (engine.Value, error) {
	if token, ok := engine.ParseCodeSecret(s.Name); ok {
		return e.code(token)
	}
	if !engine.IsLink(s.Name) {
		return e.door.vault.Get(s.Name)
	}
	if e.door.links == nil {
		return nil, engine.Errorf(engine.Internal, "links cannot be made here")
	}
	link, err := e.door.links.URL(s)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "making a link")
	}
	e.tokens = append(e.tokens, link)
	if u, err := url.Parse(link); err == nil && len(path.Base(u.Path)) >= minTokenBytes {
		e.tokens = append(e.tokens, path.Base(u.Path))
	}
	return link, nil
}

// code expands the handle of a sign-in code, for our own outbox alone.
func (e *expander) code(token string) (engine.Value, error) {
	if e.door.links == nil || !e.internal {
		return nil, engine.Errorf(engine.Denied, "a sign-in code goes nowhere but into its own mail")
	}
	code := e.door.links.Code(token)
	e.tokens = append(e.tokens, code)
	return code, nil
}

// minTokenBytes tells a link's token from a short part of its path.
const minTokenBytes = 16

// missing says which secret is not there and where to put it.
func missing(name string, err error) *engine.Error {
	var known *engine.Error
	e := engine.Errorf(engine.Invalid, "there is no secret %q", name)
	if err != nil && !(errors.As(err, &known) && known.Kind == engine.NotFound) {
		e = engine.WrapError(engine.Invalid, err, "secret \""+name+"\"")
		e.Kind = engine.Invalid
	}
	return e.WithHint("put it into the file ./secrets/%s, or into the environment as %s", name, environment(name))
}

// environment is the variable that a secret may stand in.
func environment(name string) string {
	return "LARKSPUR_SECRET_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}

// trimRune drops a rune that was cut at the end of s.
func trimRune(s string) string {
	for i := 1; i <= utf8.UTFMax && i <= len(s); i++ {
		if utf8.RuneStart(s[len(s)-i]) {
			if !utf8.FullRuneInString(s[len(s)-i:]) {
				return s[:len(s)-i]
			}
			break
		}
	}
	return s
}
