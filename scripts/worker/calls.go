package worker

import (
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// What a call of a known word would say at night is said by check: which word
// there is not, which argument is missing or misspelt, and which literal is not
// what its parameter wants. The very functions that bind and accept arguments in
// a run are asked, with a stand-in for every value that only a run knows.

// callCheck names the check that finds what a run would find, too.
const callCheck = "call"

// unsaid stands in for a value that only a run knows.
type unsaid struct{ starlark.NoneType }

// member finds words that a module does not have.
func (in *inspector) member(n *syntax.DotExpr) {
	id, ok := n.X.(*syntax.Ident)
	if !ok || !in.predeclaredName(id) {
		return
	}
	m, ok := in.predeclared(in.file)[id.Name].(*starlarkstruct.Module)
	if !ok || m.Members.Has(n.Name.Name) {
		return
	}
	word := id.Name + "." + n.Name.Name
	hint := didYouMean(n.Name.Name, m.Members.Keys())
	if laterMembers[word] {
		hint = "this version has no " + word + " yet"
	}
	in.find(n.Name.NamePos, "error", "undefined", hint, "there is no %s", word)
}

// laterMembers are words of modules of this version that come with later ones.
var laterMembers = map[string]bool{
	"unifi.kick": true, "unifi.group_add": true, "unifi.group_remove": true, "unifi.traffic_block": true, "unifi.traffic_allow": true,
	"unifi.dns_set": true, "unifi.devices": true,
	"i.reply": true, "i.button": true,
}

// known finds the signature of a call whose arguments can be held against it:
// a builtin, or a word that the worker performs by itself.
func (in *inspector) known(n *syntax.CallExpr) *word {
	if id, ok := n.Fn.(*syntax.Ident); ok && in.predeclaredName(id) {
		switch id.Name {
		case "print":
			return nil // takes whatever it is given
		case "attempt":
			return attemptSignature()
		case "change":
			return changeSignature()
		case "continue_as":
			return continueSignature()
		case "parallel":
			return parallelSignature(withoutName(n.Args))
		}
	}
	return in.word(n.Fn)
}

// withoutName counts the arguments of a call that have no name.
func withoutName(args []syntax.Expr) (n int) {
	for _, arg := range args {
		if a, ok := arg.(*syntax.BinaryExpr); !ok || a.Op != syntax.EQ {
			n++
		}
	}
	return n
}

// arguments holds a call against the signature of its word.
func (l *loader) arguments(w *word, n *syntax.CallExpr, literals map[string]string) {
	var args starlark.Tuple
	var kwargs []starlark.Tuple
	given := map[string]syntax.Expr{}
	for _, arg := range n.Args {
		switch a := arg.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				return // what is hidden cannot be judged
			}
		case *syntax.BinaryExpr:
			if id, ok := a.X.(*syntax.Ident); ok && a.Op == syntax.EQ {
				given[id.Name] = a.Y
				kwargs = append(kwargs, starlark.Tuple{starlark.String(id.Name), literal(a.Y, literals)})
				continue
			}
		}
		if len(args) < len(w.params) {
			given[w.params[len(args)].Name] = arg
		}
		args = append(args, literal(arg, literals))
	}
	bound, err := w.bind(args, kwargs)
	if err != nil {
		l.reportOnce(enginePosition(syntax.Start(n)), err)
		return
	}
	for _, p := range w.params {
		v, e := bound[p.Name], given[p.Name]
		if v == nil || e == nil {
			continue
		}
		if err := l.argument(w, p, v, e); err != nil {
			l.reportOnce(enginePosition(syntax.Start(e)), wrongArgument(w.Name, p.Name, err))
		}
	}
}

// argument judges one argument by its literal, or by its form.
func (l *loader) argument(w *word, p engine.Param, v starlark.Value, e syntax.Expr) error {
	_, isLambda := e.(*syntax.LambdaExpr)
	_, isCall := e.(*syntax.CallExpr)
	_, notLiteral := v.(unsaid)
	switch {
	case (p.Kind == "handler" || p.Kind == "breach") && isLambda:
		return engine.Errorf(engine.Invalid, "got a lambda, want a top-level def").
			WithHint("what may run later is named: write a def at the top level of the file and give what it needs as args")
	case p.Kind == "function" && isCall && l.isStep(e.(*syntax.CallExpr)):
		return engine.Errorf(engine.Invalid, "got what the call returns, want a function").
			WithHint("write %s(lambda: …): what is called there must be called inside", w.Name)
	case notLiteral || p.Kind == "function" || p.Kind == "trigger":
		return nil
	}
	_, err := l.converter.accept(p.Kind, v)
	return err
}

// isStep says whether a call is one of a builtin, whose result is no function.
func (l *loader) isStep(n *syntax.CallExpr) bool {
	in := &inspector{loader: l}
	return in.word(n.Fn) != nil
}

// reportOnce makes a finding that another one at the same place may have made.
func (l *loader) reportOnce(pos engine.Position, err error) {
	e := engine.AsError(err)
	for _, p := range l.problems {
		if p.File == pos.File && p.Line == pos.Line && p.Col == pos.Col && p.Severity == "error" {
			return
		}
	}
	l.add(problemAt(pos, "error", callCheck, e.Message, e.Hint))
}

// literal is the value of an expression that says it, or unsaid.
func literal(e syntax.Expr, literals map[string]string) starlark.Value {
	switch e := e.(type) {
	case *syntax.ParenExpr:
		return literal(e.X, literals)
	case *syntax.Literal:
		return literalValue(e)
	case *syntax.Ident:
		return named(e, literals)
	case *syntax.DictExpr, *syntax.ListExpr, *syntax.TupleExpr:
		return literalContainer(e, literals)
	case *syntax.LambdaExpr:
		return unsaid{}
	}
	return unsaid{}
}

func literalValue(e *syntax.Literal) starlark.Value {
	switch v := e.Value.(type) {
	case string:
		if e.Token == syntax.STRING {
			return starlark.String(v)
		}
	case int64:
		return starlark.MakeInt64(v)
	case float64:
		return starlark.Float(v)
	}
	return unsaid{}
}

// named is the value of True, False and None, and of texts that a file names once.
func named(id *syntax.Ident, literals map[string]string) starlark.Value {
	b, _ := id.Binding.(*resolve.Binding)
	switch {
	case b == nil:
	case b.Scope == resolve.Universal:
		if v, ok := starlark.Universe[id.Name].(starlark.Bool); ok {
			return v
		}
		if id.Name == "None" {
			return starlark.None
		}
	case b.Scope == resolve.Global:
		if text, ok := literals[id.Name]; ok {
			return starlark.String(text)
		}
	}
	return unsaid{}
}

// literalContainer is a list, tuple or dict of literals alone.
func literalContainer(e syntax.Expr, literals map[string]string) starlark.Value {
	var exprs []syntax.Expr
	switch e := e.(type) {
	case *syntax.ListExpr:
		exprs = e.List
	case *syntax.TupleExpr:
		exprs = e.List
	case *syntax.DictExpr:
		for _, item := range e.List {
			pair := item.(*syntax.DictEntry)
			exprs = append(exprs, pair.Key, pair.Value)
		}
	default:
		return unsaid{}
	}
	values := make(starlark.Tuple, len(exprs))
	for i, x := range exprs {
		if values[i] = literal(x, literals); values[i] == (unsaid{}) {
			return unsaid{}
		}
	}
	switch e.(type) {
	case *syntax.ListExpr:
		return starlark.NewList(values)
	case *syntax.TupleExpr:
		return values
	}
	d := starlark.NewDict(len(values) / 2)
	for i := 0; i < len(values); i += 2 {
		if d.SetKey(values[i], values[i+1]) != nil {
			return unsaid{}
		}
	}
	return d
}

// choices finds a default that is none of the choices.
func (in *inspector) choices(w *word, n *syntax.CallExpr) {
	given, _ := in.argumentsOf(w, n)
	fallback, known := in.text(given["default"])
	if !known || given["choices"] == nil {
		return
	}
	list, ok := literalContainer(given["choices"], in.literals).(starlark.Iterable)
	if !ok {
		return
	}
	var names []string
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		name, _ := starlark.AsString(x)
		if name == fallback {
			return
		}
		names = append(names, name)
	}
	in.find(syntax.Start(given["default"]), "error", callCheck, didYouMean(fallback, names), "ask: default: got %q, want one of the choices %s", fallback, strings.Join(names, ", "))
}
