package library_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/appliance/trial"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/scripts/library"
)

// house makes a workspace of testdata's larkspur.yaml in which the tests beside the
// shipped scripts are its own.
func house(t *testing.T) (dir string, tests int) {
	t.Helper()
	dir = t.TempDir()
	copied(t, filepath.Join("testdata", config.WorkspaceFile), filepath.Join(dir, config.WorkspaceFile))
	for _, folder := range []string{"scripts", "lists"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	copied(t, filepath.Join("testdata", "lists", "easter.txt"), filepath.Join(dir, "lists", "easter.txt"))
	files, err := filepath.Glob("*_test.star")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		copied(t, f, filepath.Join(dir, "scripts", f))
	}
	return dir, len(files)
}

func copied(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pool(t *testing.T) *sandbox.Pool {
	t.Helper()
	p, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(t), Hello: appliance.Hello()})
	if err != nil {
		t.Fatal(err)
	}
	var running errgroup.Group
	running.Go(func() error { return p.Run(t.Context()) })
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		_ = running.Wait() // ended by Close
	})
	return p
}

// TestPlaybooks runs the tests of the shipped playbooks, scripts/library/NAME_test.star,
// as larkspur test runs those of a workspace. One alone:
//
//	go test ./scripts/library -run 'TestPlaybooks/server_watch_test.star/test_restart'
func TestPlaybooks(t *testing.T) {
	dir, files := house(t)
	settings, _ := config.Load(dir) // what the box lacks, such as secrets, tests do not need
	bench, live, err := trial.OpenBench(t.Context(), trial.Workspace{
		Dir: dir, Library: library.Files(), Config: settings, Evaluator: appliance.Evaluator,
	}, pool(t), pool(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range live.Snapshot.Problems {
		if p.Severity == "error" {
			t.Errorf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Col, p.Message, p.Hint)
		}
	}
	seen := map[string]bool{}
	for _, test := range live.Tests {
		file := filepath.Base(test.File)
		seen[file] = true
		t.Run(file+"/"+test.Name, func(t *testing.T) {
			r, err := bench.Run(t.Context(), test)
			if err != nil || r.Status != trial.Passed {
				t.Errorf("%v, %s: %s\n%s\n%s", err, r.At, r.Message, r.Hint, strings.Join(r.Printed, "\n"))
			}
		})
	}
	if len(seen) != files {
		t.Errorf("got tests in %d files, want some in each of %d", len(seen), files)
	}
}
