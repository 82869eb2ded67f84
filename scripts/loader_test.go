package scripts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
)

// reader is a Worker for a toy language: every line "rule NAME LIST" declares a
// rule on a list's domains, "rule NAME DOMAIN." one on a domain; "broken" is an
// error.
type reader struct {
	mu     sync.Mutex
	loads  []wire.Load
	deaths []error // what the next loads answer
}

func (r *reader) Load(_ context.Context, l wire.Load) (wire.Loaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loads = append(r.loads, l)
	if len(r.deaths) > 0 {
		err := r.deaths[0]
		r.deaths = r.deaths[1:]
		return wire.Loaded{}, err
	}
	var d engine.Declarations
	for name, text := range l.Bundle.Files {
		for i, line := range strings.Split(text, "\n") {
			at := engine.Position{File: name, Line: i + 1, Col: 1}
			words := strings.Fields(line)
			switch {
			case line == "broken":
				d.Problems = append(d.Problems, engine.Problem{File: name, Line: i + 1, Col: 1, Severity: "error", Check: "syntax", Message: "broken"})
			case len(words) == 3 && words[0] == "rule":
				args := map[string]engine.Value{"list": words[2]}
				if strings.HasSuffix(words[2], ".") {
					args = map[string]engine.Value{"domains": words[2]}
				}
				d.Rules = append(d.Rules, engine.Rule{Name: words[1], Mode: "live", At: at, When: []engine.Trigger{{Kind: "dns", Args: engine.MustEncode(args), At: at}}})
			}
		}
	}
	return wire.Loaded{Declarations: d}, nil
}

// fixed is a clock that stands.
type fixed struct{}

func (fixed) Now() time.Time                                   { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }
func (fixed) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func newLoader(dir string, w Worker) *Loader {
	return &Loader{
		Dir: dir, Worker: w, Clock: fixed{},
		Library:  map[string]string{"@larkspur//outbox.star": "shipped"},
		Settings: func() (Settings, []engine.Problem) { return Settings{Timezone: "UTC"}, nil },
	}
}

func messages(problems []engine.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Severity, p.Message))
	}
	return out
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"scripts/a.star": "rule a netflix.com.", "scripts/deep/b.star": "rule b watch", "scripts/a_test.star": "broken",
		"scripts/.#a.star": "broken", "scripts/.git/x.star": "broken", "scripts/notes.txt": "broken",
		"lists/watch.txt": "bad.example\n", "lists/deep/more.txt": "x.example",
		"state/x.star": "broken",
	})
	w := &reader{}
	live, err := newLoader(dir, w).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !live.OK() {
		t.Fatalf("got problems %v", messages(live.Snapshot.Problems))
	}
	var names []string
	for name := range w.loads[0].Bundle.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	if got, want := strings.Join(names, " "), "@larkspur//outbox.star scripts/a.star scripts/deep/b.star"; got != want {
		t.Errorf("got files %s, want %s", got, want)
	}
	if w.loads[0].Timezone != "UTC" || live.Snapshot.Hash != Hash(w.loads[0].Bundle.Files) || live.Snapshot.Since != (fixed{}).Now() {
		t.Errorf("got %+v", live.Snapshot)
	}
	for name, want := range map[string]bool{"www.netflix.com": true, "bad.example": true, "x.example": false} {
		if got := live.Rules.WantsDNS(query(name)); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestHashCoversPathsAndContents(t *testing.T) {
	seen := map[string]string{}
	for what, files := range map[string]map[string]string{
		"none": {}, "one": {"a": "x"}, "other path": {"b": "x"}, "other content": {"a": "y"}, "two": {"a": "x", "b": "x"}, "moved border": {"ax": ""},
	} {
		h := Hash(files)
		if other, ok := seen[h]; ok || len(h) != 64 {
			t.Errorf("%s and %s: both %s", what, other, h)
		}
		seen[h] = what
	}
}

func TestPlaybooksBelongToTheBundle(t *testing.T) {
	dir := t.TempDir()
	l := newLoader(dir, &reader{})
	one, err := l.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l.Settings = func() (Settings, []engine.Problem) { return Settings{Playbooks: "- x: {}"}, nil }
	two, err := l.Load(context.Background())
	if err != nil || one.Snapshot.Hash == two.Snapshot.Hash {
		t.Errorf("got %v, the same hash %s", err, two.Snapshot.Hash)
	}
}

func TestLoadRefuses(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "out.star")
	write(t, filepath.Dir(outside), map[string]string{"out.star": "rule out x.example."})
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"not UTF-8", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts/a.star": "ü\nab\xff"})
		}, "scripts/a.star:2:3: error: not UTF-8: save the file in that encoding"},
		{"large", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts/a.star": strings.Repeat("#", MaxFileBytes+1)})
		}, "scripts/a.star:1:1: error: larger than 1048576 bytes"},
		{"large together", func(t *testing.T, dir string) {
			for i := range 18 {
				write(t, dir, map[string]string{fmt.Sprintf("scripts/%02d.star", i): strings.Repeat("#", MaxFileBytes)})
			}
		}, "scripts/16.star:1:1: error: more than 16777216 bytes in the bundle"},
		{"link out", func(t *testing.T, dir string) {
			link(t, outside, filepath.Join(dir, "scripts/a.star"))
		}, "scripts/a.star:1:1: error: leads out of the workspace, or is an absolute link"},
		{"link up", func(t *testing.T, dir string) {
			link(t, "../../../../../../../../etc/hosts", filepath.Join(dir, "scripts/a.star"))
		}, "scripts/a.star:1:1: error: leads out of the workspace, or is an absolute link"},
		{"link to a folder", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"shared/a.star": ""})
			link(t, "../shared", filepath.Join(dir, "scripts/more"))
		}, "scripts/more:1:1: error: links to a folder, and such links are not followed"},
		{"link to nothing", func(t *testing.T, dir string) {
			link(t, "none.star", filepath.Join(dir, "scripts/a.star"))
		}, "scripts/a.star:1:1: error: leads to nothing"},
		{"link in a circle", func(t *testing.T, dir string) {
			link(t, "a.star", filepath.Join(dir, "scripts/a.star"))
		}, "scripts/a.star:1:1: error: too many levels of symbolic links"},
		{"folder that leads out", func(t *testing.T, dir string) {
			link(t, filepath.Dir(outside), filepath.Join(dir, "scripts"))
		}, "scripts:1:1: error: leads out of the workspace, or is an absolute link"},
		{"file for a folder", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts": ""})
		}, "scripts:1:1: error: is a file, want a folder"},
		{"bad pattern", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts/a.star": "\nrule a *.x.example."})
		}, `scripts/a.star:2:1: error: on.dns: domains: "*.x.example.": write "x.example", which matches the name and all below it`},
		{"missing list", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts/a.star": "rule a none"})
		}, `scripts/a.star:1:1: error: on.dns: list: no list "none"`},
		{"broken", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"scripts/a.star": "\nbroken"})
		}, "scripts/a.star:2:1: error: broken"},
		{"bad line in a list", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"lists/a.txt": "\n||x^"})
		}, `lists/a.txt:2:1: warning: "||x^" is no domain: it holds '|'`},
		{"Sigma", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"rules/a/x.yml": "title: x"})
		}, "rules/a/x.yml:1:1: warning: declarative rules are not used by this version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			live, err := newLoader(dir, &reader{}).Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := messages(live.Snapshot.Problems)
			if len(got) != 1 || got[0] != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if live.OK() != strings.Contains(c.want, "warning") {
				t.Errorf("OK: got %v", live.OK())
			}
		})
	}
}

func link(t *testing.T, target, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, at); err != nil {
		t.Fatal(err)
	}
}

func TestLoadFollowsLinksInside(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"shared/a.star": "rule a x.example."})
	link(t, "../shared/a.star", filepath.Join(dir, "scripts/a.star"))
	write(t, dir, map[string]string{"elsewhere/x.txt": "y.example"})
	link(t, "elsewhere", filepath.Join(dir, "lists"))
	live, err := newLoader(dir, &reader{}).Load(context.Background())
	if err != nil || !live.OK() || !live.Rules.WantsDNS(query("x.example")) {
		t.Errorf("got %v, %v", err, live)
	}
}

func TestLoadTooManyFiles(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{}
	for i := range MaxFiles + 3 {
		files[fmt.Sprintf("scripts/%04d.star", i)] = ""
	}
	write(t, dir, files)
	live, err := newLoader(dir, &reader{}).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := messages(live.Snapshot.Problems); len(got) != 1 || got[0] != "scripts/2000.star:1:1: error: more than 2000 files in the bundle" {
		t.Errorf("got %q", got)
	}
}

func TestLoadNoWorkspace(t *testing.T) {
	_, err := newLoader(filepath.Join(t.TempDir(), "none"), &reader{}).Load(context.Background())
	if e := engine.AsError(err); e == nil || e.Kind != engine.NotFound || e.Hint == "" {
		t.Errorf("got %v, want not_found with a hint", err)
	}
}

func TestLoadOfDeadlyScripts(t *testing.T) {
	dir := t.TempDir()
	death := &sandbox.Death{Why: sandbox.DiedMemory, Detail: "out of memory", Suspect: true}
	w := &reader{deaths: []error{death}}
	live, err := newLoader(dir, w).Load(context.Background())
	if err != nil || !live.OK() {
		t.Errorf("after one death: got %v, %v, want a second try", err, live)
	}
	w.deaths = []error{death, death}
	live, err = newLoader(dir, w).Load(context.Background())
	if err != nil || live.OK() || live.Snapshot.Problems[0].Message != "the top level of a script uses more memory than a worker has" {
		t.Errorf("after two deaths: got %v, %v", err, live)
	}
	w.deaths = []error{sandbox.ErrClosed}
	if _, err = newLoader(dir, w).Load(context.Background()); err == nil {
		t.Error("got no error of a closed pool")
	}
}

// query is what capture says of one for a name.
func query(name string) *engine.Sighting {
	return &engine.Sighting{Name: []byte(name), Type: 1, Proto: "udp"}
}
