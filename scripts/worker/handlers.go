package worker

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// Rules say which functions get an incident and an event. From there the tree is
// followed into every function that they are handed on to, so that a misspelt
// method or field is found by check.

// role is what a parameter holds.
type role string

const (
	incidentRole role = "incident"
	eventRole    role = "event"
)

// walker follows incidents and events through functions.
type walker struct {
	*loader
	seen map[string]bool
	// A field is wrong when no rule that comes by has it.
	visits map[syntax.Position]int
	wrong  map[syntax.Position][]error
}

// inspectHandlers reads what rules start.
func (l *loader) inspectHandlers() {
	w := &walker{loader: l, seen: map[string]bool{}, visits: map[syntax.Position]int{}, wrong: map[syntax.Position][]error{}}
	for _, h := range l.handlers {
		path := scriptPath(h.fn.Position().Filename())
		if m := l.bundle.modules[path]; m != nil && m.file.syntax != nil && !m.file.isLibrary() {
			if def := topLevel(m.file.syntax, h.fn.Name()); def != nil {
				w.follow(m.file, def, h.roles, h.fields)
			}
		}
	}
	for pos, errs := range w.wrong {
		if len(errs) == w.visits[pos] {
			w.reportOnce(enginePosition(pos), errs[0])
		}
	}
}

func topLevel(tree *syntax.File, name string) *syntax.DefStmt {
	for _, stmt := range tree.Stmts {
		if def, ok := stmt.(*syntax.DefStmt); ok && def.Name.Name == name {
			return def
		}
	}
	return nil
}

// function is one function under way of being read. Names are told apart by
// where they are bound first.
type function struct {
	*walker
	file   *file
	roles  map[*syntax.Ident]role
	fields []string // of the incident's event; nil: any
}

// follow reads a function whose parameters have roles.
func (w *walker) follow(f *file, def *syntax.DefStmt, roles []role, fields []string) {
	key := fmt.Sprint(f.path, def.Def, roles, fields)
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	in := &function{walker: w, file: f, fields: fields, roles: map[*syntax.Ident]role{}}
	for i, r := range roles {
		if i < len(def.Params) {
			if id, ok := def.Params[i].(*syntax.Ident); ok && r != "" {
				in.roles[id] = r
			}
		}
	}
	for _, stmt := range def.Body {
		syntax.Walk(stmt, in.forget)
	}
	for _, stmt := range def.Body {
		syntax.Walk(stmt, in.visit)
	}
}

// forget gives up names that are assigned anew.
func (in *function) forget(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.AssignStmt:
		in.assigned(n.LHS)
	case *syntax.ForStmt:
		in.assigned(n.Vars)
	}
	return true
}

func (in *function) assigned(e syntax.Expr) {
	switch e := e.(type) {
	case *syntax.Ident:
		delete(in.roles, first(e))
	case *syntax.ParenExpr:
		in.assigned(e.X)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			in.assigned(x)
		}
	case *syntax.ListExpr:
		for _, x := range e.List {
			in.assigned(x)
		}
	}
}

// first is where a name is bound first, nil for what is predeclared.
func first(id *syntax.Ident) *syntax.Ident {
	if b, ok := id.Binding.(*resolve.Binding); ok && b != nil {
		return b.First
	}
	return nil
}

func (in *function) roleOf(e syntax.Expr) role {
	switch e := e.(type) {
	case *syntax.Ident:
		return in.roles[first(e)]
	case *syntax.DotExpr:
		if e.Name.Name == "event" && in.roleOf(e.X) == incidentRole {
			return eventRole
		}
	}
	return ""
}

func (in *function) visit(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.DotExpr:
		switch in.roleOf(n.X) {
		case incidentRole:
			in.attribute(n)
		case eventRole:
			in.field(n)
		}
	case *syntax.CallExpr:
		in.method(n)
		in.timers(n)
		in.mutation(n)
		in.handOn(n)
	case *syntax.AssignStmt:
		if index, ok := n.LHS.(*syntax.IndexExpr); ok && in.frozen(index.X) {
			in.frozenError(index.X)
		}
	}
	return true
}

// attribute finds what incidents do not have.
func (in *function) attribute(n *syntax.DotExpr) {
	name := n.Name.Name
	if name == "id" || slices.Contains(incidentAttributes, name) || in.methodWord(name) != nil {
		return
	}
	err := engine.Errorf(engine.Invalid, "an incident has no %s", name)
	if laterMembers["i."+name] {
		err.Hint = "this version has no i." + name + " yet"
	} else {
		err.Hint = didYouMean(name, in.incidentNames())
	}
	in.reportOnce(enginePosition(n.Name.NamePos), err)
}

func (in *function) incidentNames() []string {
	names := append([]string{"id"}, incidentAttributes...)
	for name, w := range in.env.words {
		if method, ok := strings.CutPrefix(name, incidentPrefix); ok && !w.Internal {
			names = append(names, method)
		}
	}
	slices.Sort(names)
	return names
}

// methodWord is the builtin behind a method of an incident, or nil.
func (in *function) methodWord(name string) *word {
	if w := in.env.words[incidentPrefix+name]; w != nil && !w.Internal && name != "get" {
		return w
	}
	return nil
}

// field finds what the event cannot have.
func (in *function) field(n *syntax.DotExpr) {
	pos := n.Name.NamePos
	in.visits[pos]++
	if err := knownField(n.Name.Name, in.fields); err != nil {
		in.wrong[pos] = append(in.wrong[pos], err)
	}
}

// method holds the arguments of i.close(…) against its signature.
func (in *function) method(n *syntax.CallExpr) {
	dot, ok := n.Fn.(*syntax.DotExpr)
	if !ok || in.roleOf(dot.X) != incidentRole {
		return
	}
	if w := in.methodWord(dot.Name.Name); w != nil && dot.Name.Name != "set" { // set takes any name
		in.arguments(w.without(), n, literalGlobals(in.file.syntax))
	}
}

// handOn follows an incident or event into the function that gets it.
func (in *function) handOn(n *syntax.CallExpr) {
	id, ok := n.Fn.(*syntax.Ident)
	if !ok {
		return
	}
	f, def := in.callee(id)
	if def == nil {
		return
	}
	roles := make([]role, 0, len(n.Args))
	for _, arg := range n.Args {
		if b, named := arg.(*syntax.BinaryExpr); named && b.Op == syntax.EQ {
			break
		}
		if u, spread := arg.(*syntax.UnaryExpr); spread && u.Op == syntax.STAR {
			break
		}
		roles = append(roles, in.roleOf(arg))
	}
	in.follow(f, def, roles, in.fields)
}

// callee finds the top-level def that a name means, here or in a loaded file.
func (in *function) callee(id *syntax.Ident) (*file, *syntax.DefStmt) {
	b, ok := id.Binding.(*resolve.Binding)
	if !ok || b == nil || b.First == nil {
		return nil, nil
	}
	for _, stmt := range in.file.syntax.Stmts {
		switch stmt := stmt.(type) {
		case *syntax.DefStmt:
			if stmt.Name == b.First {
				return in.file, stmt
			}
		case *syntax.LoadStmt:
			at := slices.Index(stmt.To, b.First)
			m := in.bundle.modules[stmt.ModuleName()]
			if at >= 0 && m != nil && m.file.syntax != nil && !m.file.isLibrary() {
				return m.file, topLevel(m.file.syntax, stmt.From[at].Name)
			}
		}
	}
	return nil, nil
}

// mutators change the list, dict or set that they are methods of.
var mutators = []string{"append", "extend", "insert", "remove", "pop", "clear", "update", "setdefault", "popitem", "add", "discard"}

// mutation finds changes of globals, which are frozen when a run begins.
func (in *function) mutation(n *syntax.CallExpr) {
	dot, ok := n.Fn.(*syntax.DotExpr)
	if ok && slices.Contains(mutators, dot.Name.Name) && in.frozen(dot.X) {
		in.frozenError(dot.X)
	}
}

// frozen says whether an expression names a list, dict or set that the file
// makes at its top level.
func (in *function) frozen(e syntax.Expr) bool {
	id, ok := e.(*syntax.Ident)
	if !ok {
		return false
	}
	b, ok := id.Binding.(*resolve.Binding)
	if !ok || b == nil || b.Scope != resolve.Global {
		return false
	}
	for _, stmt := range in.file.syntax.Stmts {
		if a, ok := stmt.(*syntax.AssignStmt); ok {
			if to, ok := a.LHS.(*syntax.Ident); ok && to.Name == id.Name {
				return isContainer(a.RHS)
			}
		}
	}
	return false
}

func isContainer(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.ListExpr, *syntax.DictExpr, *syntax.Comprehension:
		return true
	case *syntax.CallExpr:
		id, ok := e.Fn.(*syntax.Ident)
		return ok && slices.Contains([]string{"list", "dict", "set"}, id.Name)
	}
	return false
}

func (in *function) frozenError(e syntax.Expr) {
	in.reportOnce(enginePosition(syntax.Start(e)), engine.Errorf(engine.Invalid, "%s is frozen when a run begins: what a file defines at its top level cannot change", e.(*syntax.Ident).Name).
		WithHint("make a new one in the function, and hand it on"))
}
