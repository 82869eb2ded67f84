package pure

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
)

// regexps is the module re: Python's words over RE2 (package regexp), which has
// no backtracking, so that no pattern can hang a rule. Positions count bytes.
type regexps struct {
	mu       sync.Mutex
	compiled map[regexpKey]*regexp.Regexp
}

type regexpKey struct {
	pattern string
	flags   int
	full    bool
}

// maxCompiled bounds the memory of compiled patterns; past it the memory starts
// anew.
const maxCompiled = 256

// maxPatternBytes bounds a pattern: compiled, it takes some hundred times its
// length.
const maxPatternBytes = 16 << 10

// Python's flags.
const (
	flagIgnoreCase = 2
	flagMultiLine  = 8
	flagDotAll     = 16
)

func newRegexps() *regexps { return &regexps{compiled: map[regexpKey]*regexp.Regexp{}} }

func (r *regexps) module() *starlarkstruct.Module {
	m := module("re", map[string]builtin{
		"search": r.match(anywhere), "match": r.match(atStart), "fullmatch": r.match(whole),
		"findall": r.findAll, "finditer": r.findIter, "sub": r.sub, "split": r.split, "escape": escape,
	})
	for name, flag := range map[string]int{
		"I": flagIgnoreCase, "IGNORECASE": flagIgnoreCase, "M": flagMultiLine, "MULTILINE": flagMultiLine, "S": flagDotAll, "DOTALL": flagDotAll,
	} {
		m.Members[name] = starlark.MakeInt(flag)
	}
	return m
}

func (r *regexps) compile(fn, pattern string, flags int, full bool) (*regexp.Regexp, error) {
	key := regexpKey{pattern, flags, full}
	r.mu.Lock()
	defer r.mu.Unlock()
	if re := r.compiled[key]; re != nil {
		return re, nil
	}
	if len(pattern) > maxPatternBytes {
		return nil, engine.Errorf(engine.Script, "%s: a pattern of %d bytes, at most %d", fn, len(pattern), maxPatternBytes).WithCause("limit").
			WithHint("a long list of words is looked up faster in a set or a dict")
	}
	letters := ""
	for flag, letter := range map[int]string{flagIgnoreCase: "i", flagMultiLine: "m", flagDotAll: "s"} {
		if flags&flag != 0 {
			letters += letter
		}
	}
	source := pattern
	if full {
		source = `\A(?:` + pattern + `)\z`
	}
	if letters != "" {
		source = "(?" + letters + ")" + source
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, badPattern(fn, pattern, err)
	}
	if len(r.compiled) >= maxCompiled {
		clear(r.compiled)
	}
	r.compiled[key] = re
	return re, nil
}

func badPattern(fn, pattern string, err error) error {
	e := engine.Errorf(engine.Invalid, "%s: pattern %.80q: %w", fn, pattern, err)
	if strings.Contains(err.Error(), "invalid or unsupported Perl syntax") || strings.Contains(err.Error(), "invalid escape sequence") {
		return e.WithHint("patterns are RE2: they have no look-ahead, look-behind or back references")
	}
	return e
}

// subject is what most functions of re take first.
type subject struct {
	re   *regexp.Regexp
	text string
}

func (r *regexps) unpack(b *starlark.Builtin, full bool, args starlark.Tuple, kwargs []starlark.Tuple) (subject, error) {
	var pattern string
	var t text
	flags := 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "pattern", &pattern, "string", &t, "flags?", &flags); err != nil {
		return subject{}, err
	}
	re, err := r.compile(b.Name(), pattern, flags, full)
	return subject{re, string(t)}, err
}

type where int

const (
	anywhere where = iota
	atStart
	whole
)

func (r *regexps) match(at where) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		s, err := r.unpack(b, at == whole, args, kwargs)
		if err != nil {
			return nil, err
		}
		loc := s.re.FindStringSubmatchIndex(s.text)
		if loc == nil || at == atStart && loc[0] != 0 {
			return starlark.None, nil
		}
		return &match{s.re, s.text, loc}, nil
	}
}

// groupText is the text of group i, None where it took no part.
func groupText(text string, loc []int, i int) starlark.Value {
	if loc[2*i] < 0 {
		return starlark.None
	}
	return starlark.String(text[loc[2*i]:loc[2*i+1]])
}

func (r *regexps) findAll(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := r.unpack(b, false, args, kwargs)
	if err != nil {
		return nil, err
	}
	var list []starlark.Value
	for _, loc := range s.re.FindAllStringSubmatchIndex(s.text, -1) {
		list = append(list, found(s.text, loc))
	}
	return starlark.NewList(list), nil
}

// found is what findall returns of one match: the match, its only group, or a
// tuple of its groups, with "" for a group that took no part.
func found(text string, loc []int) starlark.Value {
	groups := make(starlark.Tuple, 0, len(loc)/2)
	for i := range len(loc) / 2 {
		v := groupText(text, loc, i)
		if v == starlark.None {
			v = starlark.String("")
		}
		groups = append(groups, v)
	}
	switch len(groups) {
	case 1, 2:
		return groups[len(groups)-1]
	}
	return groups[1:]
}

func (r *regexps) findIter(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := r.unpack(b, false, args, kwargs)
	if err != nil {
		return nil, err
	}
	var list []starlark.Value
	for _, loc := range s.re.FindAllStringSubmatchIndex(s.text, -1) {
		list = append(list, &match{s.re, s.text, loc})
	}
	return starlark.NewList(list), nil
}

func (r *regexps) split(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var pattern string
	var t text
	most, flags := 0, 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "pattern", &pattern, "string", &t, "maxsplit?", &most, "flags?", &flags); err != nil {
		return nil, err
	}
	re, err := r.compile(b.Name(), pattern, flags, false)
	if err != nil {
		return nil, err
	}
	if most <= 0 {
		most = -1
	}
	var list []starlark.Value
	last := 0
	for _, loc := range re.FindAllStringSubmatchIndex(string(t), most) {
		list = append(list, starlark.String(t[last:loc[0]]))
		for i := 1; i < len(loc)/2; i++ {
			list = append(list, groupText(string(t), loc, i))
		}
		last = loc[1]
	}
	return starlark.NewList(append(list, starlark.String(t[last:]))), nil
}

func (r *regexps) sub(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var pattern string
	var repl starlark.Value
	var t text
	count, flags := 0, 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "pattern", &pattern, "repl", &repl, "string", &t, "count?", &count, "flags?", &flags); err != nil {
		return nil, err
	}
	re, err := r.compile(b.Name(), pattern, flags, false)
	if err != nil {
		return nil, err
	}
	if count <= 0 {
		count = -1
	}
	replace, err := replacer(thread, re, repl)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	last := 0
	for _, loc := range re.FindAllStringSubmatchIndex(string(t), count) {
		out.WriteString(string(t[last:loc[0]]))
		piece, err := replace(&match{re, string(t), loc})
		if err != nil {
			return nil, err
		}
		out.WriteString(piece)
		last = loc[1]
	}
	out.WriteString(string(t[last:]))
	return starlark.String(out.String()), nil
}

// replacer makes the function behind sub's repl: a template with \1 and
// \g<name>, or a function of the match.
func replacer(thread *starlark.Thread, re *regexp.Regexp, repl starlark.Value) (func(*match) (string, error), error) {
	switch repl := repl.(type) {
	case starlark.Callable:
		return func(m *match) (string, error) {
			v, err := starlark.Call(thread, repl, starlark.Tuple{m}, nil)
			if err != nil {
				return "", err
			}
			s, ok := starlark.AsString(v)
			if !ok {
				return "", fmt.Errorf("re.sub: repl returned %s, want string", v.Type())
			}
			return s, nil
		}, nil
	case starlark.String:
		parts, err := parseTemplate(re, string(repl))
		return func(m *match) (string, error) { return expand(parts, m), nil }, err
	}
	return nil, fmt.Errorf("re.sub: for parameter repl: got %s, want string or function", repl.Type())
}

// templatePart is a literal, or a group when group ≥ 0.
type templatePart struct {
	literal string
	group   int
}

func parseTemplate(re *regexp.Regexp, template string) ([]templatePart, error) {
	var parts []templatePart
	literal := func(s string) { parts = append(parts, templatePart{s, -1}) }
	for template != "" {
		i := strings.IndexByte(template, '\\')
		if i < 0 || i+1 == len(template) {
			literal(template)
			break
		}
		literal(template[:i])
		c, rest := template[i+1], template[i+2:]
		name := ""
		switch {
		case c >= '0' && c <= '9':
			name = string(c)
		case c == 'g' && strings.HasPrefix(rest, "<") && strings.Contains(rest, ">"):
			name, rest, _ = strings.Cut(rest[1:], ">")
		case c == 'n':
			literal("\n")
		case c == 't':
			literal("\t")
		case c == '\\':
			literal(`\`)
		default:
			literal(template[i : i+2])
		}
		if name != "" {
			group, err := groupIndex(re, name)
			if err != nil {
				return nil, fmt.Errorf("re.sub: repl: %w", err)
			}
			parts = append(parts, templatePart{"", group})
		}
		template = rest
	}
	return parts, nil
}

func expand(parts []templatePart, m *match) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.literal)
		if p.group >= 0 {
			s, _ := starlark.AsString(groupText(m.text, m.loc, p.group))
			b.WriteString(s)
		}
	}
	return b.String()
}

func escape(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var t text
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &t); err != nil {
		return nil, err
	}
	return starlark.String(regexp.QuoteMeta(string(t))), nil
}
