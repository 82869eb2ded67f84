package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/scripts"
)

// Answers stands in for the world in a replay: what builtins return, and what
// people answer. Immutable.
type Answers struct {
	// Fakes by builtin: one for every call, or several for the calls in order.
	Fakes map[string]Fakes
	// People answer in this order, each entry once.
	People []PersonAnswer
}

// Fakes are what the calls of one builtin come to.
type Fakes struct {
	Each    *Fake  // of every call
	InOrder []Fake // or of the first, the second, …
}

// Fake is the result of a call, or its error. Mappings are dicts; of them the
// outer one is given its builtin's type by who uses it.
type Fake struct {
	Result engine.Value
	Error  *engine.Error
}

// PersonAnswer is what one person answers to the next question that is theirs.
type PersonAnswer struct {
	Who, Choice, Reason string
	Fields              map[string][]string
	Files               map[string][]engine.Upload // of a test alone
	After               time.Duration              // since the question was asked
	At                  engine.Position
}

// LoadAnswers reads an answers file:
//
//	fakes:
//	  unifi.client: {online: true}          # of every call
//	  http.get:                             # of the first call, the second, …
//	    - {status: 200, body: fine}
//	    - error: {kind: timeout, message: no answer}
//	answers:
//	  - {who: dave, choice: Block, reason: homework first, after: 10m}
func LoadAnswers(path string, builtins []engine.Signature) (Answers, []engine.Problem) {
	text, err := readAnswers(path)
	if err != nil {
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		return Answers{}, []engine.Problem{{File: filepath.ToSlash(path), Line: 1, Col: 1, Severity: "error", Check: "read", Message: err.Error()}}
	}
	return parseAnswers(filepath.ToSlash(path), text, builtins)
}

func readAnswers(path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, maxFileBytes+1))
}

func parseAnswers(file string, text []byte, builtins []engine.Signature) (Answers, []engine.Problem) {
	a := Answers{Fakes: map[string]Fakes{}}
	r := &reader{at: map[string]engine.Position{}}
	root, bad := parse(file, text)
	if bad != nil {
		return a, []engine.Problem{*bad}
	}
	r.section(root, "", keys{
		"fakes": func(n *node, path string) { a.Fakes = r.allFakes(n, path, builtins) },
		"answers": func(n *node, path string) {
			if n.kind != list {
				r.wrong(n, path, "a list")
				return
			}
			for i, item := range n.items {
				a.People = append(a.People, r.answer(item, path+"["+strconv.Itoa(i)+"]"))
			}
		},
	})
	scripts.Sort(r.problems)
	return a, r.problems
}

// allFakes reads the results by builtin. null is a result, too.
func (r *reader) allFakes(n *node, path string, builtins []engine.Signature) map[string]Fakes {
	names := make([]string, len(builtins))
	for i, s := range builtins {
		names[i] = s.Name
	}
	all := map[string]Fakes{}
	for _, e := range r.entries(n, path) {
		if !slices.Contains(names, e.key) {
			r.problem("error", "unknown-builtin", e.at, "%s: there is no such builtin", join(path, e.key)).Hint = settings.Suggest(e.key, names)
			continue
		}
		all[e.key] = r.fakes(e.value, join(path, e.key))
	}
	return all
}

// fakes reads a result, or a list of them.
func (r *reader) fakes(n *node, path string) (f Fakes) {
	if n.kind != list {
		each := r.fake(n, path)
		return Fakes{Each: &each}
	}
	for i, item := range n.items {
		f.InOrder = append(f.InOrder, r.fake(item, path+"["+strconv.Itoa(i)+"]"))
	}
	return f
}

// fake reads a result; one with the key "error" alone is an error.
func (r *reader) fake(n *node, path string) Fake {
	if n.kind != mapping || len(n.entries) != 1 || n.entries[0].key != "error" {
		return Fake{Result: r.value(n, path)}
	}
	e := &engine.Error{Kind: engine.Unavailable, Message: "an error, as the answers file says"}
	r.section(n.entries[0].value, join(path, "error"), keys{
		"kind": func(n *node, path string) {
			e.Kind = engine.Kind(r.oneOf(n, path, kinds()))
		},
		"message": r.into(&e.Message),
		"cause":   r.into(&e.Cause),
	})
	return Fake{Error: e}
}

// value reads a value: {$time: …} and {$duration: 5m} are what YAML lacks.
func (r *reader) value(n *node, path string) engine.Value {
	switch {
	case n.kind == mapping && len(n.entries) == 1 && strings.HasPrefix(n.entries[0].key, "$"):
		return r.special(n.entries[0], path)
	case n.kind == mapping:
		dict := make(map[string]engine.Value, len(n.entries))
		for _, e := range n.entries {
			dict[e.key] = r.value(e.value, join(path, e.key))
		}
		return dict
	case n.kind == list:
		items := make([]engine.Value, len(n.items))
		for i, item := range n.items {
			items[i] = r.value(item, path+"["+strconv.Itoa(i)+"]")
		}
		return items
	}
	return n.value
}

func (r *reader) special(e entry, path string) engine.Value {
	text, _ := e.value.value.(string)
	switch e.key {
	case "$time":
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			r.wrong(e.value, join(path, e.key), `a time such as "2026-11-22T08:00:00Z"`)
		}
		return t.UTC()
	case "$duration":
		d, err := calendar.ParseDuration(text)
		if err != nil {
			r.wrong(e.value, join(path, e.key), `a duration such as "5m"`)
		}
		return d
	}
	r.problem("error", "unknown-key", e.at, "%s: got %s, want $time or $duration", path, e.key)
	return nil
}

// kinds of errors that the world can answer with.
func kinds() []string {
	return []string{string(engine.Timeout), string(engine.Unavailable), string(engine.Denied), string(engine.NotFound),
		string(engine.Conflict), string(engine.Invalid), string(engine.Internal)}
}

func (r *reader) answer(n *node, path string) (a PersonAnswer) {
	a.At = n.at
	r.section(n, path, keys{
		"who": r.into(&a.Who), "choice": r.into(&a.Choice), "reason": r.into(&a.Reason),
		"fields": func(n *node, path string) { a.Fields = r.answerFields(n, path) },
		"after": func(n *node, path string) {
			text, _ := n.value.(string)
			d, err := calendar.ParseDuration(text)
			if err != nil || d < 0 {
				r.wrong(n, path, `a duration such as "10m"`)
			}
			a.After = d
		},
	})
	if n.kind == mapping && a.Who == "" {
		r.problem("error", "required", n.at, "%s: who is missing: the person, or the address, that answers", path)
	}
	return a
}

// answerFields reads what a person fills in: texts, or lists where several may
// be chosen.
func (r *reader) answerFields(n *node, path string) map[string][]string {
	fields := map[string][]string{}
	r.named(n, path, func(name string, n *node, path string) {
		if n.kind == list {
			fields[name] = r.texts(n, path)
			return
		}
		if n.kind == mapping {
			r.wrong(n, path, "a text or a list of texts")
			return
		}
		fields[name] = []string{n.shown()}
		if s, ok := n.value.(string); ok {
			fields[name] = []string{s}
		}
	})
	return fields
}
