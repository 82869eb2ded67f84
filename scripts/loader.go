package scripts

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
	"larkspur/rules"
)

// Worker parses a bundle and executes its top levels; sandbox.Pool is one.
type Worker interface {
	Load(ctx context.Context, l wire.Load) (wire.Loaded, error)
}

// Settings is what of the configuration counts for scripts.
type Settings struct {
	// Playbooks is the text of the `playbooks` block, part of the bundle.
	Playbooks string
	Timezone  string
	// Names are those that scripts may say: connections by kind, people, teams.
	Names map[string][]string
	// Places are where the entries of Playbooks stand: "0", "0.url".
	Places map[string]engine.Position
}

// Live is a workspace that can run: what it declares and its rules, compiled.
// Immutable.
type Live struct {
	Snapshot *engine.Snapshot
	Rules    *rules.Set
	Tests    []engine.Test // with Loader.Tests: those of files without errors
}

// OK tells whether the newest files have no error.
func (l *Live) OK() bool { return !HasError(l.Snapshot.Problems) }

// Loader makes a Live of a workspace's files. Not safe for concurrent use.
type Loader struct {
	Dir    string
	Worker Worker
	// Library holds the shipped scripts, by names such as "@larkspur//outbox.star".
	Library map[string]string
	// Settings reads the configuration anew, with its problems.
	Settings func() (Settings, []engine.Problem)
	Clock    engine.Clock
	// Tests has the worker load the workspace's tests, too. Their problems are
	// among the others.
	Tests bool

	known map[string]*keptList
}

// input is what was read from the disk.
type input struct {
	bundle   engine.Bundle
	settings Settings
	lists    map[string]*keptList
	tests    map[string]string
	problems []engine.Problem
	dirs     []string
}

// same tells whether two inputs make the same Live.
func (in *input) same(other *input) bool {
	return other != nil && in.bundle.Hash == other.bundle.Hash && in.bundle.Commit == other.bundle.Commit &&
		reflect.DeepEqual(in.settings, other.settings) && maps.Equal(in.lists, other.lists) &&
		slices.Equal(in.problems, other.problems)
}

// Load reads the workspace and returns it with all its problems. With an error
// among them the Live's rules and declarations are incomplete and must not run.
// The error is one of reading the workspace at all, or of the worker.
func (l *Loader) Load(ctx context.Context) (*Live, error) {
	in, err := l.read()
	if err != nil {
		return nil, err
	}
	return l.make(ctx, in)
}

// read reads everything that a Live depends on.
func (l *Loader) read() (*input, error) {
	f, err := openFolder(l.Dir)
	if err != nil {
		return nil, err
	}
	defer f.root.Close()
	in := &input{}
	in.settings, in.problems = l.Settings()
	files := f.bundleFiles()
	if l.Tests {
		in.tests = f.testFiles()
	}
	maps.Copy(files, l.Library)
	if in.settings.Playbooks != "" {
		files[playbooksFile] = in.settings.Playbooks
	}
	in.bundle = engine.Bundle{Hash: Hash(files), Commit: Commit(l.Dir), Files: files}
	in.lists = f.lists(l.known)
	l.known = in.lists
	in.problems = append(slices.Clip(in.problems), f.problems...)
	in.dirs = f.dirs
	return in, nil
}

// make has the worker look at the bundle and compiles its rules.
func (l *Loader) make(ctx context.Context, in *input) (*Live, error) {
	loaded, err := l.load(ctx, wire.Load{
		Bundle: in.bundle, Names: in.names(), Places: in.settings.Places, Timezone: in.settings.Timezone, Tests: in.tests,
	})
	if err != nil {
		return nil, err
	}
	set := rules.Compile(loaded.Declarations, in.rulesLists())
	problems := slices.Concat(in.problems, loaded.Declarations.Problems, set.Problems())
	Sort(problems)
	return &Live{
		Snapshot: &engine.Snapshot{
			Bundle: in.bundle, Hash: in.bundle.Hash, Commit: in.bundle.Commit, Since: l.Clock.Now(),
			Declarations: loaded.Declarations, Problems: problems,
		},
		Rules: set, Tests: loaded.Tests,
	}, nil
}

// loadTries is how often a worker may die on a bundle before the bundle is
// blamed: it may have been killed by somebody else's call.
const loadTries = 2

// load asks the worker. Scripts that kill it are a problem, not an error.
func (l *Loader) load(ctx context.Context, load wire.Load) (wire.Loaded, error) {
	for try := 1; ; try++ {
		loaded, err := l.Worker.Load(ctx, load)
		var death *sandbox.Death
		if !errors.As(err, &death) || ctx.Err() != nil {
			return loaded, err
		}
		switch {
		case try < loadTries:
		case len(load.Tests) > 0:
			return l.blame(ctx, load)
		default:
			return wire.Loaded{Declarations: engine.Declarations{Problems: []engine.Problem{deadly("scripts", death)}}}, nil
		}
	}
}

// blame finds the files of tests that kill the worker, and loads without them.
func (l *Loader) blame(ctx context.Context, load wire.Load) (wire.Loaded, error) {
	tests := load.Tests
	load.Tests = nil
	loaded, err := l.load(ctx, load)
	if err != nil || !loaded.Good() {
		return loaded, err
	}
	var deaths []engine.Problem
	for _, path := range slices.Sorted(maps.Keys(tests)) {
		with := maps.Clone(load.Tests)
		if with == nil {
			with = map[string]string{}
		}
		with[path] = tests[path]
		next, err := l.Worker.Load(ctx, wire.Load{Bundle: load.Bundle, Names: load.Names, Places: load.Places, Timezone: load.Timezone, Tests: with})
		var death *sandbox.Death
		switch {
		case errors.As(err, &death):
			deaths = append(deaths, deadly(path, death))
		case err != nil:
			return loaded, err
		default:
			loaded, load.Tests = next, with
		}
	}
	loaded.Declarations.Problems = append(loaded.Declarations.Problems, deaths...)
	return loaded, nil
}

// deadly says that the scripts' top level costs too much.
func deadly(file string, death *sandbox.Death) engine.Problem {
	p := engine.Problem{File: file, Line: 1, Col: 1, Severity: "error", Check: "load",
		Message: "the top level of a script ended the process that loaded it: " + death.Detail}
	switch death.Why {
	case sandbox.DiedMemory:
		p.Message = "the top level of a script uses more memory than a worker has"
		p.Hint = "look for a list or a string that grows without bound"
	case sandbox.DiedTime:
		p.Message = "the top level of a script takes too long"
		p.Hint = "look for a sort or a number without bound"
	}
	return p
}

// names are those of the settings and of the lists.
func (in *input) names() map[string][]string {
	if in.settings.Names == nil {
		return nil
	}
	names := maps.Clone(in.settings.Names)
	names["lists"] = slices.Sorted(maps.Keys(in.lists))
	return names
}

func (in *input) rulesLists() map[string]*rules.List {
	lists := make(map[string]*rules.List, len(in.lists))
	for name, kept := range in.lists {
		lists[name] = kept.List
	}
	return lists
}

// with returns the same live bundle with the problems of newer files.
func (l *Live) with(problems []engine.Problem) *Live {
	snapshot := *l.Snapshot
	snapshot.Problems = problems
	return &Live{Snapshot: &snapshot, Rules: l.Rules}
}

// empty is what runs before a workspace was ever good.
func empty(now time.Time, problems []engine.Problem) *Live {
	return &Live{Snapshot: &engine.Snapshot{Since: now, Problems: problems}, Rules: rules.Compile(engine.Declarations{}, nil)}
}

// HasError tells whether one of the problems is an error.
func HasError(problems []engine.Problem) bool {
	return slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Severity == "error" })
}

// Sort orders problems by place.
func Sort(problems []engine.Problem) {
	slices.SortStableFunc(problems, func(a, b engine.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}
