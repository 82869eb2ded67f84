package worker

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// paramValue is one parameter of a playbook: what larkspur.yaml may say for it.
// Immutable.
type paramValue struct {
	engine.PlaybookParam
	fallback engine.Value // where Optional is set
	of       *paramValue  // of many
}

func (p *paramValue) String() string       { return "param." + p.Kind }
func (p *paramValue) Type() string         { return "param" }
func (p *paramValue) Freeze()              {}
func (p *paramValue) Truth() starlark.Bool { return true }
func (p *paramValue) Hash() (uint32, error) {
	return 0, engine.Errorf(engine.Script, "unhashable: param")
}

// paramKind reads the values of one kind.
type paramKind struct {
	// own is the parameter of param.KIND itself, besides doc and default.
	own *engine.Param
	// read makes the value that a playbook sees of what the file has. names are
	// those that exist; nil verifies nothing.
	read func(p *paramValue, v engine.Value, in paramContext) (engine.Value, error)
}

// paramContext is what values are read against.
type paramContext struct {
	names map[string][]string
	zone  *time.Location
}

func paramKinds() map[string]paramKind {
	return map[string]paramKind{
		"text":       {read: readText},
		"int":        {read: readOf[int64]("a whole number")},
		"bool":       {read: readOf[bool]("true or false")},
		"duration":   {read: readDuration},
		"time":       {read: readMoment},
		"url":        {read: checkedText(isURL, "an address such as https://www.example.org/")},
		"domain":     {read: checkedText(asDomain, "a domain such as example.org")},
		"ip":         {read: checkedText(asIP, "an address such as 192.0.2.7")},
		"email":      {read: checkedText(isEmail, "an address such as dave@example.org")},
		"who":        {read: readWho},
		"team":       {read: listedText("teams", "team")},
		"list":       {read: listedText("lists", "list")},
		"severity":   {read: readSeverity},
		"webhook":    {read: checkedText(isHook, "the name of a webhook: small letters, digits and -")},
		"connection": {own: &engine.Param{Name: "kind", Kind: "text", Required: true}, read: readConnection},
		"choice":     {own: &engine.Param{Name: "choices", Kind: "list", Required: true}, read: readChoice},
		"many":       {own: &engine.Param{Name: "of", Kind: "any", Required: true}, read: readMany},
	}
}

func paramModule() *starlarkstruct.Module {
	members := starlark.StringDict{}
	for kind, k := range paramKinds() {
		members[kind] = starlark.NewBuiltin("param."+kind, paramWord(kind, k.own))
	}
	return &starlarkstruct.Module{Name: "param", Members: members}
}

// paramWord makes param.KIND(…).
func paramWord(kind string, own *engine.Param) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	sig := engine.Signature{Name: "param." + kind}
	if own != nil {
		sig.Params, sig.Positional = append(sig.Params, *own), 1
	}
	sig.Params = append(sig.Params, engine.Param{Name: "doc", Kind: "text"}, engine.Param{Name: "default", Kind: "any"})
	w := newWord(sig)
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		bound, err := w.bind(args, kwargs)
		if err != nil {
			return nil, err
		}
		p := &paramValue{PlaybookParam: engine.PlaybookParam{Kind: kind, Optional: givesDefault(kwargs)}}
		if doc, ok := starlark.AsString(bound["doc"]); ok {
			p.Doc = doc
		}
		if own != nil {
			if err := p.takeOwn(bound[own.Name]); err != nil {
				return nil, wrongArgument(w.Name, own.Name, err)
			}
		}
		if err := p.takeDefault(thread, bound["default"]); err != nil {
			return nil, wrongArgument(w.Name, "default", err)
		}
		return p, nil
	}
}

// givesDefault: default = None counts as one.
func givesDefault(kwargs []starlark.Tuple) bool {
	return slices.ContainsFunc(kwargs, func(kw starlark.Tuple) bool { return kw[0] == starlark.String("default") })
}

// takeOwn reads what a kind has besides.
func (p *paramValue) takeOwn(v starlark.Value) error {
	switch p.Kind {
	case "connection":
		section, ok := starlark.AsString(v)
		if !ok || section == "" {
			return engine.Errorf(engine.Invalid, "got %s, want a kind of connection, such as \"ssh\"", describe(v))
		}
		p.Section = section
	case "choice":
		value, err := (&converter{}).accept("list", v)
		list, _ := value.([]engine.Value)
		if err == nil {
			err = checkChoices(list)
		}
		if err != nil {
			return err
		}
		for _, c := range list {
			p.Choices = append(p.Choices, c.(string))
		}
	case "many":
		of, ok := v.(*paramValue)
		if !ok || of.Kind == "many" {
			return engine.Errorf(engine.Invalid, "got %s, want one of the other params, as in param.many(param.domain())", describe(v))
		}
		p.of, p.Of = of, &of.PlaybookParam
	}
	return nil
}

// takeDefault reads the default as if a file said it; names are verified once it
// is used.
func (p *paramValue) takeDefault(thread *starlark.Thread, v starlark.Value) error {
	if v == nil {
		return nil
	}
	in := paramContext{zone: time.UTC}
	if b, ok := thread.Local(bundleKey).(*bundle); ok {
		in.zone = b.zone
	}
	value, err := (&converter{}).toValue(v)
	if err != nil {
		return err
	}
	if p.fallback, err = p.read(value, in); err == nil {
		p.Default, err = engine.Encode(p.fallback)
	}
	return err
}

func (p *paramValue) read(v engine.Value, in paramContext) (engine.Value, error) {
	return paramKinds()[p.Kind].read(p, v, in)
}

// notA says what a value should have been. It is quoted as the file has it.
func notA(v engine.Value, want string) error {
	shown := "a value"
	if data, err := engine.Encode(v); err == nil {
		shown = cut(string(data), 60)
	}
	return engine.Errorf(engine.Invalid, "got %s, want %s", shown, want)
}

// readOf takes the values of one Go type.
func readOf[T any](want string) func(*paramValue, engine.Value, paramContext) (engine.Value, error) {
	return func(_ *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
		if _, ok := v.(T); !ok {
			return nil, notA(v, want)
		}
		return v, nil
	}
}

func readText(_ *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
	if _, ok := v.(string); !ok {
		return nil, engine.AsError(notA(v, "a text")).WithHint("put it in quotes")
	}
	return v, nil
}

func readDuration(_ *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
	if _, ok := v.(time.Duration); ok {
		return v, nil
	}
	text, _ := v.(string)
	d, err := calendar.ParseDuration(text)
	if err != nil || d <= 0 {
		return nil, notA(v, `a duration such as "5m" or "30d"`)
	}
	return d, nil
}

// momentForms are how a file writes a time; without a zone it is the
// workspace's.
var momentForms = []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly}

func readMoment(_ *paramValue, v engine.Value, in paramContext) (engine.Value, error) {
	if _, ok := v.(time.Time); ok {
		return v, nil
	}
	text, _ := v.(string)
	for _, form := range momentForms {
		if t, err := time.ParseInLocation(form, text, in.zone); err == nil {
			return t, nil
		}
	}
	return nil, notA(v, "a time such as 2026-11-22T08:00")
}

// checkedText takes texts that a function accepts, in its form of them.
func checkedText(as func(string) (string, bool), want string) func(*paramValue, engine.Value, paramContext) (engine.Value, error) {
	return func(_ *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
		text, _ := v.(string)
		text, ok := as(text)
		if !ok {
			return nil, notA(v, want)
		}
		return text, nil
	}
}

func isURL(text string) (string, bool) {
	u, err := url.Parse(text)
	return text, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// asDomain takes a name in any script; RFC 1035 bounds it.
func asDomain(text string) (string, bool) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsAny(label, " /:@*?#\t\n") {
			return "", false
		}
	}
	_, err := netip.ParseAddr(name)
	return name, err != nil && len(name) <= 253
}

func asIP(text string) (string, bool) {
	a, err := netip.ParseAddr(text)
	return a.String(), err == nil
}

func isEmail(text string) (string, bool) {
	a, err := mail.ParseAddress(text)
	return text, err == nil && a.Address == text
}

// hookPattern is that of names of webhooks.
var hookPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func isHook(text string) (string, bool) { return text, hookPattern.MatchString(text) }

// readWho takes a person, a team or an address.
func readWho(_ *paramValue, v engine.Value, in paramContext) (engine.Value, error) {
	text, _ := v.(string)
	if _, ok := isEmail(text); ok {
		return text, nil
	}
	known := slices.Concat(in.names["people"], in.names["teams"])
	if text == "" || in.names != nil && !slices.Contains(known, text) {
		return nil, engine.AsError(notA(v, "a person, a team or an e-mail address")).WithHint("%s", didYouMean(text, known))
	}
	return text, nil
}

// listedText takes the names of one sort.
func listedText(section, what string) func(*paramValue, engine.Value, paramContext) (engine.Value, error) {
	return func(_ *paramValue, v engine.Value, in paramContext) (engine.Value, error) {
		return readName(v, in, section, "a "+what)
	}
}

func readName(v engine.Value, in paramContext, section, want string) (engine.Value, error) {
	text, _ := v.(string)
	if text == "" || in.names != nil && !slices.Contains(in.names[section], text) {
		return nil, engine.AsError(notA(v, "the name of "+want)).WithHint("%s", didYouMean(text, in.names[section]))
	}
	return text, nil
}

func readConnection(p *paramValue, v engine.Value, in paramContext) (engine.Value, error) {
	return readName(v, in, p.Section, "a connection in connections."+p.Section)
}

func readSeverity(_ *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
	return oneOf(v, engine.Severities)
}

func readChoice(p *paramValue, v engine.Value, _ paramContext) (engine.Value, error) {
	return oneOf(v, p.Choices)
}

func oneOf(v engine.Value, choices []string) (engine.Value, error) {
	text, _ := v.(string)
	if !slices.Contains(choices, text) {
		return nil, engine.AsError(notA(v, strings.Join(choices, ", "))).WithHint("%s", didYouMean(text, choices))
	}
	return text, nil
}

// readMany takes a list, or a value alone.
func readMany(p *paramValue, v engine.Value, in paramContext) (engine.Value, error) {
	list, ok := v.([]engine.Value)
	if !ok {
		list = []engine.Value{v}
	}
	out := make([]engine.Value, len(list))
	for i, item := range list {
		var err error
		if out[i], err = p.of.read(item, in); err != nil {
			return nil, err
		}
	}
	return out, nil
}
