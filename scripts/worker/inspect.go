package worker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// inspector reads the syntax tree of one resolved file for mistakes that would
// otherwise show at night.
type inspector struct {
	*loader
	file     *file
	literals map[string]string // globals that are assigned once, a string
}

func (l *loader) inspect(f *file) {
	in := &inspector{loader: l, file: f, literals: literalGlobals(f.syntax)}
	in.hidden()
	syntax.Walk(f.syntax, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			in.call(n)
		case *syntax.DotExpr:
			in.member(n)
		case *syntax.BinaryExpr:
			in.format(n)
		case *syntax.LoadStmt:
			in.load(n)
		case *syntax.ForStmt:
			in.captures(n.Vars, n.Body...)
		}
		return true
	})
}

func (in *inspector) find(pos syntax.Position, severity, check, hint, format string, args ...any) {
	in.add(problemAt(enginePosition(pos), severity, check, fmt.Sprintf(format, args...), hint))
}

// literalGlobals are top-level names assigned once in the file, with a string.
func literalGlobals(tree *syntax.File) map[string]string {
	times := map[string]int{}
	literals := map[string]string{}
	syntax.Walk(tree, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.AssignStmt); ok {
			if id, ok := a.LHS.(*syntax.Ident); ok {
				times[id.Name]++
			}
		}
		return true
	})
	for _, stmt := range tree.Stmts {
		a, ok := stmt.(*syntax.AssignStmt)
		if !ok || a.Op != syntax.EQ {
			continue
		}
		id, isName := a.LHS.(*syntax.Ident)
		if text, isText := stringLiteral(a.RHS); isName && isText && times[id.Name] == 1 {
			literals[id.Name] = text
		}
	}
	return literals
}

func stringLiteral(e syntax.Expr) (string, bool) {
	lit, ok := e.(*syntax.Literal)
	if !ok || lit.Token != syntax.STRING {
		return "", false
	}
	text, ok := lit.Value.(string)
	return text, ok
}

// text returns the string that an argument is for sure.
func (in *inspector) text(e syntax.Expr) (string, bool) {
	if e == nil {
		return "", false
	}
	if id, ok := e.(*syntax.Ident); ok {
		text, known := in.literals[id.Name]
		b, _ := id.Binding.(*resolve.Binding)
		return text, known && b != nil && b.Scope == resolve.Global
	}
	return stringLiteral(e)
}

// load finds files that are not there, before anything is executed.
func (in *inspector) load(n *syntax.LoadStmt) {
	target := n.ModuleName()
	if in.exists(in.file, target) {
		return
	}
	err := in.missing(target)
	in.find(n.Module.TokenPos, "error", "load", engine.AsError(err).Hint, "cannot load %s: no such file", target)
}

// word finds the builtin that a call names: http.get, ask.
func (in *inspector) word(fn syntax.Expr) *word {
	switch fn := fn.(type) {
	case *syntax.Ident:
		if in.predeclaredName(fn) {
			return in.env.words[fn.Name]
		}
	case *syntax.DotExpr:
		if id, ok := fn.X.(*syntax.Ident); ok && in.predeclaredName(id) {
			return in.env.words[id.Name+"."+fn.Name.Name]
		}
	}
	return nil
}

func (in *inspector) predeclaredName(id *syntax.Ident) bool {
	b, ok := id.Binding.(*resolve.Binding)
	return ok && (b.Scope == resolve.Predeclared || b.Scope == resolve.Universal)
}

// call holds the literal names in a call against those that exist.
func (in *inspector) call(n *syntax.CallExpr) {
	in.where(n)
	if w := in.known(n); w != nil && !in.file.isLibrary() {
		in.arguments(w, n, in.literals)
	}
	w := in.word(n.Fn)
	switch {
	case w == nil:
	case w.Name == "ask":
		in.choices(w, n)
		in.declares(w, n)
	case w.Name == "expect":
		in.expected(w, n)
	}
	if w == nil || in.bundle.names == nil || in.file.isLibrary() {
		return
	}
	if w.Name == "ask" && !in.file.isTest() {
		in.mailed(n)
	}
	given, complete := in.argumentsOf(w, n)
	for _, p := range w.params {
		kinds := strings.Split(p.Kind, "|")
		e := given[p.Name]
		switch {
		case e != nil && slices.Contains(kinds, "person"):
			in.person(w, p, e)
		case !slices.Contains(kinds, "connection") || w.Connection == "":
		case e != nil:
			in.connection(w, e)
		case complete && (w.positional > 0 && w.params[0].Name == p.Name || p.Required):
			in.onlyConnection(w, n)
		}
	}
}

// where finds fields that a trigger's event cannot have in its where lambda.
func (in *inspector) where(n *syntax.CallExpr) {
	dot, ok := n.Fn.(*syntax.DotExpr)
	if !ok {
		return
	}
	if id, ok := dot.X.(*syntax.Ident); !ok || id.Name != "on" || !in.predeclaredName(id) {
		return
	}
	fields := triggerKinds()[dot.Name.Name].fields
	for _, arg := range n.Args {
		named, ok := arg.(*syntax.BinaryExpr)
		if !ok || named.Op != syntax.EQ || named.X.(*syntax.Ident).Name != "where" {
			continue
		}
		if l, ok := named.Y.(*syntax.LambdaExpr); ok && len(l.Params) == 1 {
			in.eventFields(l, fields)
		}
	}
}

func (in *inspector) eventFields(l *syntax.LambdaExpr, fields []string) {
	event, ok := l.Params[0].(*syntax.Ident)
	if !ok {
		return
	}
	syntax.Walk(l.Body, func(n syntax.Node) bool {
		dot, ok := n.(*syntax.DotExpr)
		if !ok {
			return true
		}
		if id, ok := dot.X.(*syntax.Ident); !ok || id.Name != event.Name {
			return true
		}
		if err := knownField(dot.Name.Name, fields); err != nil {
			e := engine.AsError(err)
			in.find(dot.Name.NamePos, "error", "field", e.Hint, "%s", e.Message)
		}
		return true
	})
}

// argumentsOf finds which expression each parameter gets; complete is false when
// *args or **kwargs hide some.
func (in *inspector) argumentsOf(w *word, n *syntax.CallExpr) (given map[string]syntax.Expr, complete bool) {
	given, complete = map[string]syntax.Expr{}, true
	position := 0
	for _, arg := range n.Args {
		switch a := arg.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				complete = false
				continue
			}
		case *syntax.BinaryExpr:
			if id, ok := a.X.(*syntax.Ident); ok && a.Op == syntax.EQ {
				given[id.Name] = a.Y
				continue
			}
		}
		if position < len(w.params) && complete {
			given[w.params[position].Name] = arg
		}
		position++
	}
	return given, complete
}

func (in *inspector) connection(w *word, e syntax.Expr) {
	name, known := in.text(e)
	names := in.bundle.names[w.Connection]
	if !known || slices.Contains(names, name) {
		return
	}
	hint := didYouMean(name, names)
	if len(names) == 0 {
		hint = "larkspur.yaml has no connections." + w.Connection
	}
	in.find(syntax.Start(e), "error", "connection", hint, "%s: there is no connection %q", w.Name, name)
}

// mailed warns, once, that what people are asked is not mailed to them.
func (in *inspector) mailed(n *syntax.CallExpr) {
	told := slices.ContainsFunc(in.problems, func(p engine.Problem) bool { return p.Check == mailCheck })
	if hint := in.noMail(); hint != "" && !told {
		in.find(syntax.Start(n), "warning", mailCheck, hint, "ask: questions are not mailed, they wait on the page: there is no mail connection")
	}
}

const mailCheck = "mail"

// noMail says what to do when no mail can be sent: there is no mail connection, or
// there are several without a default; "" when it can.
func (l *loader) noMail() (hint string) {
	names := l.bundle.names["smtp"]
	switch {
	case l.bundle.names == nil || len(names) == 1 || slices.Contains(names, "default"):
		return ""
	case len(names) > 1:
		return "call one of the mail connections default: " + strings.Join(names, ", ")
	}
	return "add to larkspur.yaml: connections: {smtp: {default: {host: 192.0.2.25, port: 587, user: soar, password: secret:smtp, from: soar@example.org}}}"
}

// writes tells a file that writes to people: it asks, mails, or replies.
func writes(tree *syntax.File) (does bool) {
	syntax.Walk(tree, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return !does
		}
		switch fn := call.Fn.(type) {
		case *syntax.Ident:
			does = does || fn.Name == "ask"
		case *syntax.DotExpr:
			module, _ := fn.X.(*syntax.Ident)
			does = does || fn.Name.Name == "reply" || fn.Name.Name == "send" && module != nil && module.Name == "email"
		}
		return !does
	})
	return does
}

func (in *inspector) onlyConnection(w *word, n *syntax.CallExpr) {
	names := in.bundle.names[w.Connection]
	if len(names) == 1 || slices.Contains(names, "default") {
		return
	}
	hint := "name one of " + strings.Join(names, ", ")
	if len(names) == 0 {
		hint = "add connections." + w.Connection + " to larkspur.yaml"
	}
	in.find(syntax.Start(n), "error", "connection", hint, "%s: which connection?", w.Name)
}

// person finds names of people and teams that do not exist, in a string or a
// literal list.
func (in *inspector) person(w *word, p engine.Param, e syntax.Expr) {
	if list, ok := e.(*syntax.ListExpr); ok {
		for _, x := range list.List {
			in.person(w, p, x)
		}
		return
	}
	name, known := in.text(e)
	people, told := in.bundle.names["people"]
	names := slices.Concat(people, in.bundle.names["teams"])
	if !known || !told || strings.Contains(name, "@") || slices.Contains(names, name) {
		return
	}
	hint := didYouMean(name, names)
	in.find(syntax.Start(e), "error", "person", hint, "%s: %s: there is no person or team %q", w.Name, p.Name, name)
}

// precise is a conversion with a width or a precision.
var precise = regexp.MustCompile(`%[-+ #0]*(\d+(\.\d+)?|\.\d+)[a-zA-Z]`)

// format finds "%.1f" % x, which the interpreter does not know.
func (in *inspector) format(n *syntax.BinaryExpr) {
	if n.Op != syntax.PERCENT {
		return
	}
	text, ok := stringLiteral(n.X)
	if !ok {
		return
	}
	if found := precise.FindString(strings.ReplaceAll(text, "%%", "")); found != "" {
		in.find(syntax.Start(n), "error", "format", `write "%s" % round(x, 1)`, "%s has a width or a precision, which %% does not know here", found)
	}
}

// hidden warns of names that hide a module.
func (in *inspector) hidden() {
	check := func(list []*resolve.Binding) {
		for _, b := range list {
			if b.First == nil {
				continue
			}
			if _, isModule := in.env.scripts[b.First.Name].(*starlarkstruct.Module); isModule {
				in.find(b.First.NamePos, "warning", "hidden", "give it another name", "%s hides the module %s", b.First.Name, b.First.Name)
			}
		}
	}
	m := in.file.syntax.Module.(*resolve.Module)
	check(m.Globals)
	check(m.Locals)
	syntax.Walk(in.file.syntax, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			check(n.Function.(*resolve.Function).Locals)
		case *syntax.LambdaExpr:
			check(n.Function.(*resolve.Function).Locals)
		}
		return true
	})
}

// captures warns of lambdas in a loop that use the loop's variable: all of them
// see its last value. Those handed straight to attempt or parallel are called at
// once.
func (in *inspector) captures(vars syntax.Expr, body ...syntax.Stmt) {
	names := map[string]bool{}
	syntax.Walk(vars, func(n syntax.Node) bool {
		if id, ok := n.(*syntax.Ident); ok {
			names[id.Name] = true
		}
		return true
	})
	for _, stmt := range body {
		syntax.Walk(stmt, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.CallExpr:
				if id, ok := n.Fn.(*syntax.Ident); ok && (id.Name == "attempt" || id.Name == "parallel") {
					return false
				}
			case *syntax.LambdaExpr:
				if name := usesOf(n, names); name != "" {
					in.find(n.Lambda, "warning", "capture", fmt.Sprintf("hand it over: lambda %s = %s: …", name, name),
						"this lambda sees the last value of %s, not the one of its turn", name)
				}
			}
			return true
		})
	}
}

// usesOf returns a name that a lambda's body takes from outside, or "".
func usesOf(l *syntax.LambdaExpr, names map[string]bool) string {
	own := map[string]bool{}
	for _, p := range l.Params {
		if b, ok := p.(*syntax.BinaryExpr); ok {
			p = b.X
		}
		if id, ok := p.(*syntax.Ident); ok {
			own[id.Name] = true
		}
	}
	found := ""
	syntax.Walk(l.Body, func(n syntax.Node) bool {
		if id, ok := n.(*syntax.Ident); ok && names[id.Name] && !own[id.Name] {
			found = id.Name
		}
		return found == ""
	})
	return found
}
