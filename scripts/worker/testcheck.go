package worker

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// settleTests finds in test files what a test would stumble over: functions that
// cannot be called with t alone, words of t that there are not, and names of
// rules, jobs, builtins and people that nobody has. The tests run all the same, and
// fail where they do stumble.
func (l *loader) settleTests() {
	for _, path := range sortedKeys(l.tests) {
		m := l.bundle.modules[scriptPath(path)]
		if m.state != loaded {
			continue
		}
		for _, name := range m.globals.Keys() {
			if fn, ok := m.globals[name].(*starlark.Function); ok && strings.HasPrefix(name, testPrefix) && fn.Position().Filename() == path {
				l.testSignature(fn)
			}
		}
		in := &inspector{loader: l, file: m.file, literals: literalGlobals(m.file.syntax)}
		for _, stmt := range m.file.syntax.Stmts {
			if def, ok := stmt.(*syntax.DefStmt); ok {
				in.test(def)
			}
		}
	}
}

func (l *loader) testSignature(fn *starlark.Function) {
	if why := accepts(fn, []string{"t"}, nil); why != "" {
		l.add(problemAt(enginePosition(fn.Position()), "error", "test", why, fmt.Sprintf("a test takes the bench alone: def %s(t):", fn.Name())))
	}
}

// test reads a function whose first parameter is the bench: a test's own, or one
// that is called t.
func (in *inspector) test(def *syntax.DefStmt) {
	if len(def.Params) == 0 {
		return
	}
	bench, ok := def.Params[0].(*syntax.Ident)
	if !ok || bench.Name != "t" && !strings.HasPrefix(def.Name.Name, testPrefix) {
		return
	}
	syntax.Walk(def, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DotExpr:
			if in.isBench(n, bench) {
				in.benchName(n)
			}
		case *syntax.CallExpr:
			if dot, ok := n.Fn.(*syntax.DotExpr); ok && in.isBench(dot, bench) {
				in.benchCall(dot.Name.Name, n)
				return dot.Name.Name != "fails" // what is in it shall be wrong
			}
		}
		return true
	})
}

func (in *inspector) isBench(dot *syntax.DotExpr, bench *syntax.Ident) bool {
	id, ok := dot.X.(*syntax.Ident)
	return ok && first(id) == bench
}

func (in *inspector) benchName(dot *syntax.DotExpr) {
	if _, err := benchWordNamed(dot.Name.Name); err != nil {
		in.reportOnce(enginePosition(dot.Name.NamePos), err)
	}
}

// benchCall holds a call of a word of t against its signature, and the names in
// it against what there is.
func (in *inspector) benchCall(name string, n *syntax.CallExpr) {
	w, err := benchWordNamed(name)
	if err != nil {
		return // said already
	}
	if !w.fields {
		in.arguments(w.word, n, in.literals)
	}
	given, known := "", false
	if len(n.Args) > 0 {
		given, known = in.text(n.Args[0])
	}
	names, what := in.namesFor(name)
	if (what == "rule" || what == "job") && switchesOn(in.file.syntax) {
		return // what it declares is known once it is switched on
	}
	if !known || names == nil || slices.Contains(names, given) || what == "person" && strings.Contains(given, "@") {
		return
	}
	in.find(syntax.Start(n.Args[0]), "error", "test", didYouMean(given, names), "t.%s: there is no %s %q", name, what, given)
}

// switchesOn says whether a file of tests switches on playbooks of its own.
func switchesOn(tree *syntax.File) (does bool) {
	syntax.Walk(tree, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return !does
		}
		dot, ok := call.Fn.(*syntax.DotExpr)
		does = does || ok && dot.Name.Name == "playbook"
		return !does
	})
	return does
}

// namesFor are the names that the first argument of a word of t may be; nil where
// any may, or where they are not known.
func (in *inspector) namesFor(name string) (names []string, what string) {
	declared := in.bundle.declarations
	names = []string{}
	switch name {
	case "trigger":
		for _, r := range declared.Rules {
			names = append(names, r.Name)
		}
		return names, "rule"
	case "job":
		for _, j := range declared.Jobs {
			names = append(names, j.Name)
		}
		return names, "job"
	case "playbook":
		for _, p := range declared.Playbooks {
			names = append(names, p.Name)
		}
		return names, "playbook"
	case "fake", "delay":
		return sortedKeys(in.env.words), "builtin"
	case "answer", "person":
		if people, told := in.bundle.names["people"]; told {
			return slices.Concat(people, in.bundle.names["teams"]), "person"
		}
	}
	return nil, ""
}
