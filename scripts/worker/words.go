package worker

import (
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// failWord ends the run as failed; no attempt catches it.
func failWord(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	message := starlark.String("")
	if err := starlark.UnpackArgs("fail", args, kwargs, "message", &message); err != nil {
		return nil, err
	}
	return nil, engine.Errorf(engine.Script, "%s", cut(string(message), maxMessageBytes)).WithCause(causeFailed)
}

// secretWord names a secret; its value never comes here.
func secretWord(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackArgs("secret", args, kwargs, "name", &name); err != nil {
		return nil, err
	}
	if name == "" || strings.ContainsAny(name, ":/\\\x00") {
		return nil, engine.Errorf(engine.Invalid, "secret: name: got %.60q, want the name of a secret", name)
	}
	return secretValue{Name: name}, nil
}

// printWord is print of Python: in a run a step, at the top level a remark of
// check.
func printWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	sep := " "
	if err := starlark.UnpackArgs("print", nil, kwargs, "sep?", &sep); err != nil {
		return nil, err
	}
	texts := make([]string, len(args))
	for i, v := range args {
		s, ok := starlark.AsString(v)
		if !ok {
			s = v.String()
		}
		texts[i] = s
	}
	text := strings.Join(texts, sep)
	if l, loading := thread.Local(loaderKey).(*loader); loading {
		l.printed(thread, text)
		return starlark.None, nil
	}
	if t, testing := thread.Local(testKey).(*testCall); testing {
		return t.perform("print", map[string]engine.Value{"text": cut(text, maxPrintBytes)})
	}
	c, err := running(thread, "print")
	if err != nil {
		return starlark.None, nil // where and dedup functions speak to nobody
	}
	w := c.env.words["print"]
	if w == nil || len(w.params) == 0 {
		return nil, engine.Errorf(engine.Internal, "print: not known to the supervisor")
	}
	return c.perform(w, map[string]engine.Value{w.params[0].Name: cut(text, maxPrintBytes)})
}

// maxPrintBytes bounds one line of a run's log.
const maxPrintBytes = 16 << 10

// inverseWord calls any builtin by its wire name: library only.
func inverseWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	var with *starlark.Dict
	if err := starlark.UnpackArgs("inverse", args, kwargs, "builtin", &name, "args", &with); err != nil {
		return nil, err
	}
	c, err := running(thread, "inverse")
	if err != nil {
		return nil, err
	}
	w := c.env.words[name]
	if w == nil {
		return nil, engine.Errorf(engine.NotFound, "inverse: this version has no builtin %.80q", name)
	}
	named := make([]starlark.Tuple, 0, with.Len())
	for _, item := range with.Items() {
		if _, ok := item[0].(starlark.String); !ok {
			return nil, engine.Errorf(engine.Invalid, "inverse: args: got a key %s, want strings", item[0].Type())
		}
		named = append(named, item)
	}
	values, err := w.normalize(c.converter, nil, named)
	if err != nil {
		return nil, err
	}
	return c.perform(w, values)
}

// resolveWord returns the function that a handler names: library only.
func resolveWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var handler starlark.HasAttrs
	if err := starlark.UnpackArgs("resolve", args, kwargs, "handler", &handler); err != nil {
		return nil, err
	}
	c, err := running(thread, "resolve")
	if err != nil {
		return nil, err
	}
	var h engine.Handler
	for name, to := range map[string]*string{"file": &h.File, "name": &h.Name} {
		v, err := handler.Attr(name)
		if err != nil || v == nil {
			return nil, engine.Errorf(engine.Invalid, "resolve: handler: got %s, want a struct with file and name", handler.Type())
		}
		*to, _ = starlark.AsString(v)
	}
	fn, err := c.bundle.function(h)
	return fn, err
}

// runWord is `run`, whose attributes id, link and bundle a script reads. The
// values belong to the thread and attributes know no thread, so that the parser's
// tree is made to say run() where the script says run (see callRun).
func runWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("run", args, kwargs); err != nil {
		return nil, err
	}
	c, err := running(thread, "run")
	if err != nil {
		return nil, err
	}
	return pure.NewStruct("run", starlark.StringDict{
		"id": starlark.String(c.run.Run), "link": starlark.String(c.run.Link), "bundle": starlark.String(c.run.Bundle),
	}), nil
}

// callRun turns run.x into run().x, unless the file has a run of its own.
func callRun(tree *syntax.File) {
	const name = "run"
	if boundNames(tree)[name] {
		return
	}
	syntax.Walk(tree, func(n syntax.Node) bool {
		if dot, ok := n.(*syntax.DotExpr); ok {
			if id, ok := dot.X.(*syntax.Ident); ok && id.Name == name {
				dot.X = &syntax.CallExpr{Fn: id, Lparen: id.NamePos, Rparen: id.NamePos}
			}
		}
		return true
	})
}

// boundNames are all names that a file binds anywhere.
func boundNames(tree *syntax.File) map[string]bool {
	names := map[string]bool{}
	bind := func(e syntax.Expr) {
		syntax.Walk(e, func(n syntax.Node) bool {
			if id, ok := n.(*syntax.Ident); ok {
				names[id.Name] = true
			}
			_, index := n.(*syntax.IndexExpr)
			_, dot := n.(*syntax.DotExpr)
			return !index && !dot
		})
	}
	params := func(list []syntax.Expr) {
		for _, p := range list {
			if b, ok := p.(*syntax.BinaryExpr); ok {
				p = b.X // name = default
			}
			bind(p)
		}
	}
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			bind(n.LHS)
		case *syntax.ForStmt:
			bind(n.Vars)
		case *syntax.ForClause:
			bind(n.Vars)
		case *syntax.DefStmt:
			names[n.Name.Name] = true
			params(n.Params)
		case *syntax.LambdaExpr:
			params(n.Params)
		case *syntax.LoadStmt:
			for _, id := range n.To {
				names[id.Name] = true
			}
		}
		return true
	})
	return names
}
