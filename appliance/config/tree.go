package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"larkspur/engine"
)

// Bounds of a configuration file.
const (
	maxFileBytes = 256 << 10
	maxTokens    = 30_000
	maxDepth     = 20
)

// node is one value of a YAML file.
type node struct {
	kind    kind
	value   any // of a scalar: nil, bool, int64, float64 or string
	entries []entry
	items   []*node
	at      engine.Position
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    engine.Position
	value *node
}

type kind int

const (
	scalar kind = iota
	mapping
	list
)

// plain is the value as nested maps and lists.
func (n *node) plain() any {
	switch n.kind {
	case mapping:
		m := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			m[e.key] = e.value.plain()
		}
		return m
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = item.plain()
		}
		return items
	}
	return n.value
}

// shown names the value for a person.
func (n *node) shown() string {
	switch n.kind {
	case mapping:
		return "keys and values"
	case list:
		return "a list"
	}
	if text, ok := n.value.(string); ok {
		return fmt.Sprintf("%.60q", text)
	}
	if n.value == nil {
		return "nothing"
	}
	return fmt.Sprint(n.value)
}

// parse reads a YAML file: one document of mappings, lists and plain values. nil
// stands for an empty file. The problem, if any, has its place.
func parse(file string, text []byte) (root *node, bad *engine.Problem) {
	t := tree{file: file}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fault:
			root, bad = nil, &r.Problem
		default: // the parser is others' code, and must not end the program
			f := t.fault(nil, "not YAML: %v", r)
			root, bad = nil, &f.Problem
		}
	}()
	if len(text) > maxFileBytes {
		panic(t.fault(nil, "larger than %d bytes", maxFileBytes))
	}
	tokens := lexer.Tokenize(string(text))
	t.check(tokens)
	parsed, err := parser.Parse(tokens, 0)
	if err != nil {
		panic(t.syntax(err, tokens))
	}
	switch {
	case len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil:
		return nil, nil
	case len(parsed.Docs) > 1:
		panic(t.fault(parsed.Docs[1].Start, "a second document, want one"))
	}
	return t.convert(parsed.Docs[0].Body), nil
}

// tree turns what the YAML library makes of a file into nodes. It panics with a
// fault; parse recovers.
type tree struct{ file string }

// fault is a problem on its way to parse.
type fault struct{ engine.Problem }

func (t tree) fault(at *token.Token, format string, args ...any) fault {
	place := t.place(at)
	return fault{engine.Problem{File: place.File, Line: place.Line, Col: place.Col, Severity: "error", Check: "syntax",
		Message: fmt.Sprintf(format, args...)}}
}

func (t tree) place(at *token.Token) engine.Position {
	p := engine.Position{File: t.file, Line: 1, Col: 1}
	if at != nil && at.Position != nil {
		p.Line, p.Col = at.Position.Line, at.Position.Column
	}
	return p
}

// saying is how we put what the library finds.
type saying struct{ theirs, ours, hint string }

// sayings are tried in order; an empty ours keeps the library's words.
func sayings() []saying {
	return []saying{
		{"cannot start any token", "a tab indents this line", "indent with spaces"},
		{"unexpected key name", "a name without a colon, or a line that is indented wrongly", `write it as in "people:"; what belongs to it stands below it, indented with spaces`},
		{"mapping value is not allowed", "a second colon, or a line that is indented too far", `put a text with a colon and a blank into quotes: "a: b"`},
		{"map key-value is pre-defined", "text after the closing quote", `a quote within quotes: "it's", or 'it''s'`},
		{"is not allowed in this context", "a line that does not fit those above it", "what belongs together begins in the same column, and a blank follows each colon"},
		{"non-map value is specified", "a line that does not fit those above it", "what belongs together begins in the same column, and a blank follows each colon"},
		{"is a reserved character", "", "put the text into quotes"},
		{"could not find end character", "the quotes are never closed", ""},
	}
}

// twice finds where the library says that a key stands already.
var twice = regexp.MustCompile(`^mapping key (".*") already defined at \[(\d+:\d+)\]$`)

// syntax says what is wrong with a file that the library cannot read.
func (t tree) syntax(err error, tokens token.Tokens) fault {
	var known yaml.Error
	if !errors.As(err, &known) {
		return t.fault(nil, "%s", err)
	}
	message := known.GetMessage()
	if strings.Contains(message, "must be specified") || strings.Contains(message, "could not find flow") {
		if open := unclosed(tokens); open != nil {
			f := t.fault(open, "this %s is never closed", open.Value)
			f.Hint = map[string]string{"{": "close it with }", "[": "close it with ]"}[open.Value]
			return f
		}
	}
	f := t.fault(known.GetToken(), "%s", message)
	if m := twice.FindStringSubmatch(message); m != nil {
		f.Message, f.Hint = "the key "+m[1]+" stands at "+m[2]+" already", "write each key once"
	}
	for _, s := range sayings() {
		if strings.Contains(message, s.theirs) {
			f.Hint = s.hint
			if s.ours != "" {
				f.Message = s.ours
			}
			break
		}
	}
	return f
}

// unclosed is the last bracket that nothing closes.
func unclosed(tokens token.Tokens) *token.Token {
	var open []*token.Token
	for _, tk := range tokens {
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			open = append(open, tk)
		case token.MappingEndType, token.SequenceEndType:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[len(open)-1]
}

// notUsed are parts of YAML that a configuration does without.
var notUsed = map[token.Type]string{
	token.AnchorType: "anchors", token.AliasType: "aliases", token.MergeKeyType: "merge keys",
	token.TagType: "tags", token.DirectiveType: "directives", token.MappingKeyType: "keys that begin with ?",
}

// check refuses what would cost the parser much: it recurses, and is not linear.
func (t tree) check(tokens token.Tokens) {
	if len(tokens) > maxTokens {
		panic(t.fault(tokens[maxTokens], "more than %d words and signs", maxTokens))
	}
	flow, dashes, line := 0, 0, 0
	for _, tk := range tokens {
		if what := notUsed[tk.Type]; what != "" {
			panic(t.fault(tk, "%s are not used here: write the values out", what))
		}
		if tk.Position.Line != line {
			line, dashes = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			dashes++
		}
		if flow > maxDepth || dashes > maxDepth {
			panic(t.fault(tk, "nested deeper than %d", maxDepth))
		}
	}
}

// convert makes a node of the library's. Depth is bounded by check and by the
// size of a file whose lines are indented.
func (t tree) convert(n ast.Node) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return t.mapping(n, n.Values)
	case *ast.MappingValueNode:
		return t.mapping(n, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &node{kind: list, at: t.place(n.GetToken())}
		for _, item := range n.Values {
			out.items = append(out.items, t.convert(item))
		}
		return out
	case *ast.LiteralNode:
		return &node{value: n.Value.Value, at: t.place(n.GetToken())}
	case ast.ScalarNode:
		return &node{value: t.scalar(n), at: t.place(n.GetToken())}
	case nil:
		panic(t.fault(nil, "not YAML"))
	}
	panic(t.fault(n.GetToken(), "%s: not used here", n.Type()))
}

// scalar brings numbers down to int64 and float64.
func (t tree) scalar(n ast.ScalarNode) any {
	switch v := n.GetValue().(type) {
	case nil, bool, string, int64, float64:
		return v
	case int:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	}
	panic(t.fault(n.GetToken(), "%.40q: a number too large; in quotes it is text", n.GetToken().Value))
}

func (t tree) mapping(at ast.Node, values []*ast.MappingValueNode) *node {
	out := &node{kind: mapping, at: t.place(at.GetToken())}
	for _, v := range values {
		key := v.Key.GetToken()
		if _, plain := v.Key.(ast.ScalarNode); !plain {
			panic(t.fault(key, "a key that is no plain text"))
		}
		out.entries = append(out.entries, entry{key: key.Value, at: t.place(key), value: t.convert(v.Value)})
	}
	if len(out.entries) > 0 {
		out.at = out.entries[0].at
	}
	return out
}
