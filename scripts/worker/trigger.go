package worker

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
)

// triggerValue is what on.x(…) returns.
type triggerValue struct {
	engine.Trigger
	where starlark.Callable
}

func (t *triggerValue) String() string        { return "on." + t.Kind + "(…)" }
func (t *triggerValue) Type() string          { return "trigger" }
func (t *triggerValue) Truth() starlark.Bool  { return true }
func (t *triggerValue) Hash() (uint32, error) { return starlark.String(t.Kind).Hash() }

// Freeze freezes what the filter captured.
func (t *triggerValue) Freeze() {
	if t.where != nil {
		t.where.Freeze()
	}
}

// triggerKind is one on.x: its arguments besides match and where, how they are
// checked, and the fields that its events can have (nil: any).
type triggerKind struct {
	params     []engine.Param
	positional int
	check      func(args map[string]engine.Value) error
	fields     []string
}

// eventWords are what every event has.
var eventWords = []string{"time", "kind", "source", "fields", "get"}

// triggerKinds are the triggers of this version.
func triggerKinds() map[string]triggerKind {
	return map[string]triggerKind{
		"dns": {
			positional: 1,
			params: []engine.Param{
				{Name: "domains", Kind: "text|list"}, {Name: "types", Kind: "text|list"}, {Name: "clients", Kind: "text|list"},
				{Name: "rcodes", Kind: "text|list"}, {Name: "answers", Kind: "text|list"}, {Name: "first_seen", Kind: "bool|duration"},
				{Name: "list", Kind: "text|list"}, {Name: "proto", Kind: "text|list"},
			},
			check: checkDNS,
			fields: []string{
				"client", "client_port", "client_mac", "server", "server_port", "proto", "id", "response", "opcode",
				"query", "type", "class", "rcode", "flags", "answers", "elapsed", "vlans", "edns", "more_questions",
				"answers_cut", "query_seen", "domain", "client_name", "first_seen", "last_seen", "memory_since",
			},
		},
		"webhook": {
			positional: 1,
			params:     []engine.Param{{Name: "name", Kind: "text", Required: true}, {Name: "secret", Kind: "secret"}},
			check:      checkWebhook,
		},
	}
}

// laterTriggers come with later versions.
var laterTriggers = []string{"email", "syslog", "file", "sigma", "incident"}

func onModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for name, kind := range triggerKinds() {
		members[name] = starlark.NewBuiltin("on."+name, onWord(name, kind))
	}
	for _, name := range laterTriggers {
		members[name] = starlark.NewBuiltin("on."+name, noTrigger)
	}
	return &starlarkstruct.Module{Name: "on", Members: members}
}

func noTrigger(_ *starlark.Thread, b *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return nil, engine.Errorf(engine.Invalid, "%s: this version has no such trigger yet", b.Name()).
		WithHint("there is on.dns and on.webhook")
}

// onWord makes the function of one kind of trigger.
func onWord(name string, kind triggerKind) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	params := append(slices.Clone(kind.params), engine.Param{Name: "match", Kind: "dict"}, engine.Param{Name: "where", Kind: "function"})
	w := newWord(engine.Signature{Name: "on." + name, Params: params, Positional: kind.positional})
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		bound, err := w.bind(args, kwargs)
		if err != nil {
			return nil, err
		}
		c := &converter{}
		t := &triggerValue{Trigger: engine.Trigger{Kind: name, At: enginePosition(here(thread))}}
		values := map[string]engine.Value{}
		for _, p := range kind.params {
			if v, given := bound[p.Name]; given {
				if values[p.Name], err = acceptStrings(c, p.Kind, v); err != nil {
					return nil, wrongArgument(w.Name, p.Name, err)
				}
			}
		}
		if err := kind.check(values); err != nil {
			return nil, wrongArgument(w.Name, "", err)
		}
		if t.Args, err = engine.Encode(values); err != nil {
			return nil, engine.WrapError(engine.Invalid, err, w.Name)
		}
		if t.Match, err = matchGlobs(bound["match"], kind.fields); err != nil {
			return nil, wrongArgument(w.Name, "match", err)
		}
		if v := bound["where"]; v != nil {
			if t.where, err = whereFunction(v); err != nil {
				return nil, wrongArgument(w.Name, "where", err)
			}
			t.Where = true
		}
		return t, nil
	}
}

// acceptStrings accepts an argument; where one string or a list may stand, the
// result is a list of strings.
func acceptStrings(c *converter, kind string, v starlark.Value) (engine.Value, error) {
	value, err := c.accept(kind, v)
	if err != nil || kind != "text|list" {
		return value, err
	}
	if s, ok := value.(string); ok {
		return []engine.Value{s}, nil
	}
	for _, x := range value.([]engine.Value) {
		if _, ok := x.(string); !ok {
			return nil, engine.Errorf(engine.Invalid, "got a list with a %T in it, want strings", x)
		}
	}
	return value, nil
}

// matchGlobs reads match = {"field": "glob"}.
func matchGlobs(v starlark.Value, fields []string) (map[string]string, error) {
	if v == nil {
		return nil, nil
	}
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "got %s, want a dict of field to glob", describe(v))
	}
	globs := map[string]string{}
	for _, item := range d.Items() {
		field, okField := starlark.AsString(item[0])
		glob, okGlob := starlark.AsString(item[1])
		if !okField || !okGlob {
			return nil, engine.Errorf(engine.Invalid, "got %s: %s, want strings", describe(item[0]), describe(item[1]))
		}
		top, _, _ := strings.Cut(field, ".")
		if err := knownField(top, fields); err != nil {
			return nil, err
		}
		globs[field] = glob
	}
	return globs, nil
}

// knownField refuses a field that events of a kind cannot have.
func knownField(name string, fields []string) error {
	if fields == nil || slices.Contains(fields, name) || slices.Contains(eventWords, name) {
		return nil
	}
	return engine.Errorf(engine.Invalid, "the event has no field %q", name).WithHint("%s", didYouMean(name, fields))
}

func whereFunction(v starlark.Value) (starlark.Callable, error) {
	fn, ok := v.(starlark.Callable)
	if !ok {
		return nil, engine.Errorf(engine.Invalid, "got %s, want a function of the event", describe(v))
	}
	if f, ok := v.(*starlark.Function); ok {
		if why := accepts(f, []string{"e"}, nil); why != "" {
			return nil, engine.Errorf(engine.Invalid, "%s", why)
		}
	}
	return fn, nil
}

// each calls check for every string of a list argument.
func each(args map[string]engine.Value, name string, check func(string) error) error {
	list, _ := args[name].([]engine.Value)
	for _, v := range list {
		if err := check(v.(string)); err != nil {
			return wrongArgument("", name, err)
		}
	}
	return nil
}

func checkDNS(args map[string]engine.Value) error {
	for name, check := range map[string]func(string) error{
		"domains": checkDomain, "clients": checkClient, "types": checkToken, "rcodes": checkToken, "proto": checkProto,
	} {
		if err := each(args, name, check); err != nil {
			return err
		}
	}
	return nil
}

func checkDomain(s string) error {
	bare := strings.TrimSuffix(s, ".")
	if bare == "" || len(bare) > 253 || strings.ContainsAny(bare, "/: \t*") || strings.Contains(bare, "..") || strings.HasPrefix(bare, ".") {
		return engine.Errorf(engine.Invalid, "got %.80q, want a domain name", s).
			WithHint("a domain matches itself and every name below it; globs go into match = {\"query\": …}")
	}
	return nil
}

// checkClient takes what tells devices apart.
func checkClient(s string) error {
	if _, err := net.ParseMAC(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	return engine.Errorf(engine.Invalid, "got %.80q, want an address, a network or a MAC address", s).
		WithHint(`like "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" or "02:00:00:00:00:07"`)
}

func checkToken(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9')
	}) {
		return engine.Errorf(engine.Invalid, `got %.80q, want a name like "AAAA" or "NXDOMAIN"`, s)
	}
	return nil
}

func checkProto(s string) error {
	known := []string{"udp", "tcp", "mdns", "llmnr"}
	if slices.Contains(known, s) {
		return nil
	}
	return engine.Errorf(engine.Invalid, "got %.80q, want udp, tcp, mdns or llmnr", s)
}

func checkWebhook(args map[string]engine.Value) error {
	name, _ := args["name"].(string)
	if !validName(name) {
		return wrongArgument("", "name", engine.Errorf(engine.Invalid, "got %.80q, want letters a-z, digits, _ and -", name))
	}
	if args["secret"] == nil {
		args["secret"] = engine.Secret{Name: name} // the secret named like the hook
	}
	return nil
}

// validName is the form of names in URLs.
func validName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}
