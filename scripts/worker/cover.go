package worker

import (
	"slices"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine/wire"
)

// Where Hello.Cover asks for it, a call stands before each statement of the
// workspace's scripts that notes the statement's line. No script can name it.

// coverWord is the name of that call.
const coverWord = "\x00cover"

// coverage collects lines for the supervisor. Safe for concurrent use.
type coverage struct {
	mu      sync.Mutex // guards what follows
	known   map[string]map[int]bool
	reached map[string]map[int]bool
	news    wire.Covered // since take
}

func newCoverage() *coverage {
	return &coverage{known: map[string]map[int]bool{}, reached: map[string]map[int]bool{}}
}

// note adds a line to a set and to the news, once.
func note(set map[string]map[int]bool, news *map[string][]int, file string, line int) {
	if set[file] == nil {
		set[file] = map[int]bool{}
	}
	if set[file][line] {
		return
	}
	set[file][line] = true
	if *news == nil {
		*news = map[string][]int{}
	}
	(*news)[file] = append((*news)[file], line)
}

// take returns what is new; false for nothing.
func (c *coverage) take() (wire.Covered, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.news
	c.news = wire.Covered{}
	return news, news.Lines != nil || news.Reached != nil
}

// word is the call.
func (c *coverage) word(thread *starlark.Thread, _ *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	pos := here(thread)
	c.mu.Lock()
	defer c.mu.Unlock()
	note(c.reached, &c.news.Reached, pos.Filename(), int(pos.Line))
	return starlark.None, nil
}

// instrument puts the call before each statement of a file.
func (c *coverage) instrument(tree *syntax.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tree.Stmts = c.statements(tree.Stmts)
}

func (c *coverage) statements(list []syntax.Stmt) []syntax.Stmt {
	if list == nil {
		return nil // an if without else, and the tree tells by that
	}
	out := make([]syntax.Stmt, 0, 2*len(list))
	for i, stmt := range list {
		switch s := stmt.(type) {
		case *syntax.DefStmt:
			s.Body = c.statements(s.Body)
		case *syntax.IfStmt:
			s.True, s.False = c.statements(s.True), c.statements(s.False)
		case *syntax.ForStmt:
			s.Body = c.statements(s.Body)
		case *syntax.WhileStmt:
			s.Body = c.statements(s.Body)
		}
		if i > 0 || !isText(stmt) { // what comes first may be the documentation
			pos := syntax.Start(stmt)
			note(c.known, &c.news.Lines, pos.Filename(), int(pos.Line))
			out = append(out, &syntax.ExprStmt{X: &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: coverWord}, Lparen: pos, Rparen: pos}})
		}
		out = append(out, stmt)
	}
	return slices.Clip(out)
}

func isText(stmt syntax.Stmt) bool {
	e, ok := stmt.(*syntax.ExprStmt)
	if !ok {
		return false
	}
	_, text := stringLiteral(e.X)
	return text
}
