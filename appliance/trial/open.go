package trial

import (
	"context"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/intake"
	"larkspur/engine/sandbox"
	"larkspur/scripts"
)

// Workspace is where the tests are that a Bench executes.
type Workspace struct {
	Dir      string
	Library  map[string]string
	Config   *config.Config
	Problems []engine.Problem // of the configuration
	Version  string
	// Evaluator asks the pool of the playbooks.
	Evaluator func(runs *sandbox.Pool, clock engine.Clock) intake.Evaluator
}

// OpenBench loads a workspace with its tests into one pool, without them into the
// other. The bench can be used if the scripts of the Live have no errors.
func OpenBench(ctx context.Context, w Workspace, tests, runs *sandbox.Pool) (*Bench, *scripts.Live, error) {
	loader := scripts.Loader{Dir: w.Dir, Worker: tests, Library: w.Library, Clock: engine.SystemClock{}, Tests: true, Settings: w.settings}
	live, err := loader.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	loader.Worker, loader.Tests = runs, false
	if _, err := loader.Load(ctx); err != nil {
		return nil, nil, err
	}
	b := &Bench{
		Tests: tests, Runs: runs, Config: w.Config, Version: w.Version,
		Evaluator: func(clock engine.Clock) intake.Evaluator { return w.Evaluator(runs, clock) },
		Switched: func(ctx context.Context, s scripts.Settings) (*scripts.Live, error) {
			with := loader
			with.Settings = func() (scripts.Settings, []engine.Problem) { return s, nil }
			return with.Load(ctx)
		},
	}
	b.take(live)
	return b, live, nil
}

func (w *Workspace) settings() (scripts.Settings, []engine.Problem) {
	return w.Config.Settings(), w.Problems
}

// take makes a bundle the one that events and jobs of the bench meet.
func (b *Bench) take(live *scripts.Live) {
	b.Rules = Rules{Bundle: live.Snapshot.Hash, Commit: live.Snapshot.Commit, Set: live.Rules}
	b.Declarations = live.Snapshot.Declarations
}
