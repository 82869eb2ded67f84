package worker

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
	"larkspur/engine/wire"
	"larkspur/scripts/pure"
)

// Bounds of what is parsed.
const (
	maxFileBytes = 1 << 20
	maxProblems  = 200
)

// dialect is Starlark as LANGUAGE has it.
func dialect() *syntax.FileOptions {
	return &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}
}

// file is one script of a bundle, parsed.
type file struct {
	path    string // from the workspace's root
	text    string
	syntax  *syntax.File
	program *starlark.Program
}

// isTest says whether a script holds tests.
func (f *file) isTest() bool { return engine.IsTestFile(f.path) }

func (f *file) isLibrary() bool { return strings.HasPrefix(f.path, libraryPrefix) }

// loader parses and executes one bundle. For one goroutine.
type loader struct {
	env       *environment
	bundle    *bundle
	converter *converter
	problems  []engine.Problem
	names     map[string]engine.Position // of rules and jobs
	handlers  []pendingHandler
	stack     []string // files being loaded
	files     map[string]string
	tests     map[string]string // files that only tests may load
	places    map[string]engine.Position
}

// load makes a bundle of a message. With an error among its problems it must not
// be used.
func load(env *environment, l wire.Load) *bundle {
	b := &bundle{hash: l.Bundle.Hash, names: l.Names, modules: map[string]*module{}, rules: map[string]*ruleFunctions{}}
	ld := &loader{env: env, bundle: b, converter: &converter{bundle: b}, names: map[string]engine.Position{}, files: l.Bundle.Files, tests: l.Tests, places: l.Places}
	zone, err := zoneNamed(l.Timezone)
	if err != nil {
		ld.report(engine.Position{File: "larkspur.yaml", Line: 1, Col: 1}, "zone", err)
	}
	b.zone = zone
	paths := sortedKeys(l.Bundle.Files)
	for _, p := range paths {
		if strings.HasSuffix(p, ".star") && (strings.HasPrefix(p, scriptsFolder) || strings.HasPrefix(p, libraryPrefix)) {
			ld.parse(p, l.Bundle.Files[p])
		}
	}
	for _, p := range sortedKeys(l.Tests) {
		ld.parse(p, l.Tests[p])
	}
	for _, p := range slices.Concat(paths, sortedKeys(l.Tests)) {
		if m := b.modules[scriptPath(p)]; m != nil {
			_, _ = ld.module(scriptPath(p)) // its problem is reported
		}
	}
	ld.switchOn()
	ld.settleHandlers()
	ld.inspectHandlers()
	ld.settleTests()
	slices.SortStableFunc(ld.problems, func(a, b engine.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	b.declarations.Problems = ld.problems
	return b
}

// exists says whether load() can name a file, parsed or not. Tests are named by
// tests alone.
func (l *loader) exists(from *file, target string) bool {
	if _, test := l.tests[scriptsFolder+target]; test {
		return from.isTest()
	}
	_, script := l.files[scriptsFolder+target]
	_, library := l.files[target]
	return strings.HasSuffix(target, ".star") && (script || library && strings.HasPrefix(target, libraryPrefix))
}

// add keeps a finding, as long as there are not too many.
func (l *loader) add(p engine.Problem) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, p)
	}
}

// report makes a finding of an error.
func (l *loader) report(pos engine.Position, check string, err error) {
	e := engine.AsError(err)
	l.add(problemAt(pos, "error", check, e.Message, e.Hint))
}

// predeclared is what a file can name.
func (l *loader) predeclared(f *file) starlark.StringDict {
	if f.isLibrary() {
		return l.env.library
	}
	return l.env.scripts
}

// parse parses and resolves one file, and reads its syntax tree for mistakes.
func (l *loader) parse(path, text string) {
	f := &file{path: path, text: text}
	m := &module{file: f, state: broken}
	l.bundle.modules[scriptPath(path)] = m
	if p := checkText(path, text); p != nil {
		l.add(*p)
		return
	}
	tree, err := dialect().Parse(path, text, 0)
	if err != nil {
		l.reportSyntax(f, err)
		return
	}
	f.syntax = tree
	callRun(tree)
	if l.env.cover != nil && !f.isLibrary() && !f.isTest() {
		l.env.cover.instrument(tree)
	}
	program, err := starlark.FileProgram(tree, l.predeclared(f).Has)
	var list resolve.ErrorList
	if errors.As(err, &list) {
		for _, e := range list {
			l.reportResolve(f, e)
		}
		return
	}
	if err != nil {
		l.reportSyntax(f, err)
		return
	}
	f.program = program
	m.state = untouched
	l.inspect(f)
}

// loadFailed stops a file whose load() names a broken one: that one's problem is
// reported already.
var errLoadFailed = errors.New("a file that it loads has problems")

// module executes a file once and returns its globals.
func (l *loader) module(path string) (starlark.StringDict, error) {
	m := l.bundle.modules[path]
	switch m.state {
	case loaded:
		return m.globals, nil
	case broken:
		return nil, errLoadFailed
	case loading:
		cycle := append(l.stack[slices.Index(l.stack, path):], path)
		return nil, engine.Errorf(engine.Script, "load cycle: %s", strings.Join(cycle, " → ")).
			WithHint("move what both need into a third file")
	}
	m.state = loading
	l.stack = append(l.stack, path)
	err := l.execute(m)
	l.stack = l.stack[:len(l.stack)-1]
	m.state = loaded
	if err != nil {
		m.state = broken
		l.reportExecution(m.file, err)
		return nil, errLoadFailed
	}
	return m.globals, nil
}

// thread makes one that may declare, bounded.
func (l *loader) thread(name string) (*starlark.Thread, *limiter) {
	thread := &starlark.Thread{Name: name}
	thread.SetLocal(loaderKey, l)
	thread.SetLocal(bundleKey, l.bundle)
	pure.SetZone(thread, l.bundle.zone)
	return thread, limitThread(thread, l.env.hello.MaxEvaluateTicks, "at the top level", l.env.trace)
}

// call calls a function that declares.
func (l *loader) call(fn starlark.Callable, args ...starlark.Value) error {
	thread, limits := l.thread(fn.Name())
	_, err := starlark.Call(thread, fn, args, nil)
	if limits.broken != nil {
		return limits.broken
	}
	return err
}

// execute runs a file's top level.
func (l *loader) execute(m *module) error {
	thread, limits := l.thread(m.file.path)
	thread.Load = func(_ *starlark.Thread, target string) (starlark.StringDict, error) {
		if l.bundle.modules[target] == nil {
			return nil, errLoadFailed // inspect reported that it is missing
		}
		return l.module(target)
	}
	globals, err := m.file.program.Init(thread, l.predeclared(m.file))
	globals.Freeze()
	m.globals = globals
	if limits.broken != nil {
		return limits.broken
	}
	return err
}

// missing says that load() names no file.
func (l *loader) missing(target string) error {
	var files []string
	for p := range l.files {
		files = append(files, scriptPath(p))
	}
	slices.Sort(files)
	hint := ""
	if near := engine.Nearest(target, files); near != "" {
		hint = "did you mean " + near + "?"
	}
	switch clean := path.Clean(target); {
	case strings.HasPrefix(target, scriptsFolder):
		hint = "paths are from scripts/: write " + strings.TrimPrefix(target, scriptsFolder)
	case strings.HasPrefix(clean, "..") || strings.HasPrefix(target, "./") || strings.HasPrefix(target, "/"):
		hint = "paths are from scripts/, wherever the loading file lies"
	}
	return engine.Errorf(engine.NotFound, "no such file").WithHint("%s", hint)
}

// reportExecution makes a finding of an error at the top level.
func (l *loader) reportExecution(f *file, err error) {
	if errors.Is(err, errLoadFailed) {
		return
	}
	e := scriptError(err)
	pos := engine.Position{File: f.path, Line: 1, Col: 1}
	if p, ok := parsePosition(e.At); ok {
		pos = p
	}
	if !l.told(pos) {
		l.add(problemAt(pos, "error", "execute", e.Message, e.Hint))
	}
}

// told says whether there is an error on a line already, found before it was
// executed.
func (l *loader) told(pos engine.Position) bool {
	return slices.ContainsFunc(l.problems, func(p engine.Problem) bool {
		return p.File == pos.File && p.Line == pos.Line && p.Severity == "error"
	})
}

// printed shows what a top level prints, as a remark.
func (l *loader) printed(thread *starlark.Thread, text string) {
	l.add(problemAt(enginePosition(here(thread)), "warning", "print", "print at the top level: "+cut(text, 200), ""))
}
