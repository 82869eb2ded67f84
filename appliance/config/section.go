package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
)

// reader reads nodes strictly and collects what is wrong with them.
type reader struct {
	problems []engine.Problem
	// at holds the places of all keys that were met, by path.
	at map[string]engine.Position
	// uses are the secrets that the file names.
	uses []secretUse
	// lost says that an unknown key hides names: its section was not read.
	lost bool
}

// secretUse is a key that names a secret.
type secretUse struct {
	name, path string
	at         engine.Position
	least      int // characters that the value must have
}

func (r *reader) problem(severity, check string, at engine.Position, format string, args ...any) *engine.Problem {
	r.problems = append(r.problems, engine.Problem{File: at.File, Line: at.Line, Col: at.Col,
		Severity: severity, Check: check, Message: fmt.Sprintf(format, args...)})
	return &r.problems[len(r.problems)-1]
}

// wrongAt tells whether there is an error on a key's line.
func (r *reader) wrongAt(at engine.Position) bool {
	return slices.ContainsFunc(r.problems, func(p engine.Problem) bool {
		return p.Severity == "error" && p.File == at.File && p.Line == at.Line
	})
}

// wrong notes a value that is not what its key wants.
func (r *reader) wrong(n *node, path, want string) {
	r.problem("error", "value", n.at, "%s: got %s, want %s", path, n.shown(), want)
}

// unused warns of a section whose function comes with a later version.
func (r *reader) unused(at engine.Position, path string) {
	r.problem("warning", "unused", at, "%s: not used by this version", path)
}

// keys are the known keys of a mapping and how each is read.
type keys map[string]func(n *node, path string)

// section reads a mapping of known keys. A key without a value counts as absent.
func (r *reader) section(n *node, path string, known keys) {
	for _, e := range r.entries(n, path) {
		full := join(path, e.key)
		read, ok := known[e.key]
		switch {
		case !ok:
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			r.problem("error", "unknown-key", e.at, "%s: unknown key", full).Hint = settings.Suggest(e.key, names)
			if path == "" || path == "connections" {
				r.lost = true
			}
		case e.value.kind != scalar || e.value.value != nil:
			read(e.value, full)
		}
	}
}

// entries returns the entries of a mapping and notes their places.
func (r *reader) entries(n *node, path string) []entry {
	if n == nil {
		return nil
	}
	if n.kind != mapping {
		where := path
		if where == "" {
			where = n.at.File
		}
		r.wrong(n, where, "keys and values")
		return nil
	}
	for _, e := range n.entries {
		r.at[join(path, e.key)] = e.at
	}
	return n.entries
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// named reads a mapping whose keys are names that the file gives.
func (r *reader) named(n *node, path string, read func(name string, n *node, path string)) {
	for _, e := range r.entries(n, path) {
		full := join(path, e.key)
		if !nameForm.MatchString(e.key) {
			r.problem("error", "value", e.at, "%s: got the name %.60q, want letters, digits, dots, hyphens or underscores, at most 64", path, e.key)
			continue
		}
		read(e.key, e.value, full)
	}
}

// nameForm is that of names: of people, teams, connections, tokens, secrets.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// text reads a text that is not empty.
func (r *reader) text(n *node, path string) string {
	s, ok := n.value.(string)
	if !ok || strings.TrimSpace(s) == "" {
		r.wrong(n, path, "a text")
		return ""
	}
	return s
}

// into stores a text.
func (r *reader) into(target *string) func(*node, string) {
	return func(n *node, path string) { *target = r.text(n, path) }
}

// texts reads a list of texts.
func (r *reader) texts(n *node, path string) []string {
	if n.kind != list {
		r.wrong(n, path, "a list of texts")
		return nil
	}
	out := make([]string, 0, len(n.items))
	for i, item := range n.items {
		if s := r.text(item, path+"["+strconv.Itoa(i)+"]"); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// oneOrMore reads a text, or a list of them.
func (r *reader) oneOrMore(n *node, path string) []string {
	if n.kind == list {
		return r.texts(n, path)
	}
	if s := r.text(n, path); s != "" {
		return []string{s}
	}
	return nil
}

// number reads a whole number; least for a wrong one.
func (r *reader) number(n *node, path string, least, most int64) int {
	v, ok := n.value.(int64)
	if !ok || v < least || v > most {
		r.wrong(n, path, fmt.Sprintf("a number from %d to %d", least, most))
		return int(least)
	}
	return int(v)
}

// size reads a number of bytes, as in "8MB" (MB are 1024 KB, KB 1024 bytes); 0 for
// none.
func (r *reader) size(n *node, path string, least, most int64) int {
	text, _ := n.value.(string)
	digits := strings.TrimRight(text, "KMGB")
	unit, known := map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[text[len(digits):]]
	v, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || !known || v*unit < least || v*unit > most {
		r.wrong(n, path, fmt.Sprintf(`a size from "%dMB" to "%dMB"`, least>>20, most>>20))
		return 0
	}
	return int(v * unit)
}

// intoTexts stores a list of texts.
func (r *reader) intoTexts(target *[]string) func(*node, string) {
	return func(n *node, path string) { *target = r.texts(n, path) }
}

// duration checks a span of time.
func (r *reader) duration(n *node, path string) { r.span(n, path) }

// span reads a span of time; 0 for none.
func (r *reader) span(n *node, path string) time.Duration {
	if s, ok := n.value.(string); ok {
		if d, err := calendar.ParseDuration(s); err == nil && d > 0 {
			return d
		}
	}
	r.wrong(n, path, `a duration such as "5m" or "30d"`)
	return 0
}

// zone checks a time zone and returns its name.
func (r *reader) zone(n *node, path string) string {
	name := r.text(n, path)
	if name == "" {
		return ""
	}
	if _, err := calendar.Zone(name); err != nil {
		r.problem("error", "value", n.at, "%s: got %q, want a name of the IANA database", path, name).Hint = engine.AsError(err).Hint
		return ""
	}
	return name
}

// oneOf reads one of some words.
func (r *reader) oneOf(n *node, path string, words []string) string {
	s := r.text(n, path)
	for _, w := range words {
		if s == w {
			return s
		}
	}
	if s != "" {
		r.problem("error", "value", n.at, "%s: got %.60q, want %s", path, s, orList(words)).Hint = settings.Suggest(s, words)
	}
	return ""
}

// orList writes "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// secretPrefix marks the name of a secret in a value.
const secretPrefix = "secret:"

// secret reads secret:NAME and returns the name.
func (r *reader) secret(n *node, path string) string {
	s, _ := n.value.(string)
	name, ok := strings.CutPrefix(s, secretPrefix)
	if !ok || !nameForm.MatchString(name) {
		r.problem("error", "value", n.at, "%s: want secret:NAME, not the value itself", path).Hint =
			"put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME"
		return ""
	}
	r.uses = append(r.uses, secretUse{name: name, path: path, at: n.at})
	return name
}

// secrets notes every secret:NAME below a node, and the places of its keys.
func (r *reader) secrets(n *node, path string) {
	switch n.kind {
	case mapping:
		for _, e := range r.entries(n, path) {
			r.secrets(e.value, join(path, e.key))
		}
	case list:
		for i, item := range n.items {
			r.secrets(item, path+"["+strconv.Itoa(i)+"]")
		}
	default:
		if s, ok := n.value.(string); ok && strings.HasPrefix(s, secretPrefix) {
			r.secret(n, path)
		}
	}
}
