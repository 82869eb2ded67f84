package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/appliance/trial"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/scripts"
	"larkspur/scripts/library"
)

// TestLine is one line of `larkspur test --json` (LANGUAGE section 8). Test is
// empty for a file that could not be loaded; Line is where a test failed, else
// where it begins; Elapsed is in seconds.
type TestLine struct {
	Test    string  `json:"test"`
	File    string  `json:"file"`
	Line    int     `json:"line"`
	Status  string  `json:"status"` // passed or failed
	Elapsed float64 `json:"elapsed"`
	Message string  `json:"message"`
}

// tester is one use of `larkspur test`.
type tester struct {
	*call
	dir            string
	only           *regexp.Regexp
	json, cover    bool
	verbose        bool
	passed, failed int
	covered        *trial.Cover
}

func runTest(c *call) error {
	t := &tester{call: c}
	pattern := ""
	args, err := c.flags(func(f *flag.FlagSet) {
		f.StringVar(&pattern, "run", "", "only tests whose name, or file:name, matches a `REGEXP`")
		f.BoolVar(&t.json, "json", false, "a line a test")
		f.BoolVar(&t.cover, "cover", false, "which lines of the scripts the tests executed")
		f.BoolVar(&t.verbose, "v", false, "name the tests that pass, too, and show what tests print")
	})
	if err != nil {
		return err
	}
	if t.dir, err = oneDir(args); err != nil {
		return err
	}
	if t.only, err = regexp.Compile(pattern); err != nil {
		return usagef("-run: %v", err)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelError}))) // a worker that dies is told by its test
	return t.withPools(func(tests, runs *sandbox.Pool) error { return t.all(tests, runs) })
}

// testTicks bounds what a test computes between two words of t: its worker, which
// writes down where it is, does so many in a second.
const testTicks = 5_000_000

// withPools starts a worker for tests and one for the playbooks that they start.
func (t *tester) withPools(fn func(tests, runs *sandbox.Pool) error) error {
	settings := sandbox.Config{Binary: t.worker, Hello: appliance.Hello()}
	if t.cover {
		t.covered = trial.NewCover()
		settings.Hello.Cover, settings.Covered = true, t.covered.Add
	}
	traced := settings
	traced.Trace, traced.Hello.MaxTicks = true, testTicks
	return t.withPool(traced, func(tests *sandbox.Pool) error {
		return t.withPool(settings, func(runs *sandbox.Pool) error { return fn(tests, runs) })
	})
}

// all loads the workspace and runs its tests.
func (t *tester) all(tests, runs *sandbox.Pool) error {
	began := time.Now()
	settings, problems := config.Load(t.dir)
	bench, live, err := trial.OpenBench(t.ctx, trial.Workspace{
		Dir: t.dir, Library: library.Files(), Config: settings, Problems: problems, Version: appliance.Version,
		Evaluator: appliance.Evaluator,
	}, tests, runs)
	if err != nil {
		return err
	}
	broken, failed := t.broken(live)
	if failed {
		return errProblems
	}
	if err := t.each(bench, live.Tests); err != nil {
		return err
	}
	for _, p := range broken {
		t.tell(trial.Result{Test: engine.Test{File: p.File, Line: p.Line}, Status: trial.Failed, Message: p.Message, Hint: p.Hint,
			At: engine.Position{File: p.File, Line: p.Line, Col: p.Col}.String()})
	}
	return t.sum(time.Since(began))
}

// broken finds test files that could not be loaded; what else is wrong in one its
// tests tell. Errors of the workspace itself end it all.
func (t *tester) broken(live *scripts.Live) (tests []engine.Problem, failed bool) {
	loaded := map[string]bool{}
	for _, test := range live.Tests {
		loaded[test.File] = true
	}
	for _, p := range live.Snapshot.Problems {
		switch {
		case p.Severity != "error" || loaded[p.File]:
		case engine.IsTestFile(p.File):
			tests = append(tests, p)
		default:
			printProblem(t.stderr, t.dir, p)
			failed = true
		}
	}
	return tests, failed
}

func (t *tester) each(bench *trial.Bench, tests []engine.Test) error {
	for _, test := range tests {
		if !t.only.MatchString(test.Name) && !t.only.MatchString(test.File+":"+test.Name) {
			continue
		}
		r, err := bench.Run(t.ctx, test)
		if err != nil {
			return fmt.Errorf("%s: %w", test.Name, err)
		}
		if err := t.tell(r); err != nil {
			return err
		}
	}
	return nil
}

// tell prints what became of one test.
func (t *tester) tell(r trial.Result) error {
	if r.Status == trial.Passed {
		t.passed++
	} else {
		t.failed++
	}
	if t.json {
		return t.tellJSON(r)
	}
	name := r.Name
	if name == "" {
		name = "cannot be loaded"
	}
	switch {
	case r.Status == trial.Failed:
		fmt.Fprintf(t.stdout, "FAIL  %s (%s)\n", name, elapsed(r.Elapsed))
		fmt.Fprintf(t.stdout, "      %s: %s\n", filepath.Join(t.dir, r.At), indent(r.Message))
		if line := sourceLine(t.dir, r.At); line != "" {
			fmt.Fprintf(t.stdout, "        > %s\n", line)
		}
		if r.Hint != "" {
			fmt.Fprintf(t.stdout, "        %s\n", indent(r.Hint))
		}
	case t.verbose:
		fmt.Fprintf(t.stdout, "ok    %s (%s)\n", name, elapsed(r.Elapsed))
	}
	if r.Status == trial.Failed || t.verbose {
		for _, line := range r.Printed {
			fmt.Fprintf(t.stdout, "        | %s\n", indent(line))
		}
	}
	return nil
}

func (t *tester) tellJSON(r trial.Result) error {
	line := TestLine{Test: r.Name, File: r.File, Line: r.Line, Status: r.Status, Elapsed: r.Elapsed.Round(time.Microsecond).Seconds(), Message: r.Message}
	if at := placeOf(r.At); at.Line > 0 {
		line.Line = at.Line
	}
	if r.Hint != "" {
		line.Message += "\n" + r.Hint
	}
	out := json.NewEncoder(t.stdout)
	out.SetEscapeHTML(false)
	return out.Encode(line)
}

// placeOf reads FILE:LINE:COL.
func placeOf(at string) (p engine.Position) {
	parts := strings.Split(at, ":")
	if n := len(parts); n >= 3 {
		p.File = strings.Join(parts[:n-2], ":")
		p.Line, _ = strconv.Atoi(parts[n-2])
		p.Col, _ = strconv.Atoi(parts[n-1])
	}
	return p
}

// sourceLine is the line of a script where a test failed.
func sourceLine(dir, at string) string {
	p := placeOf(at)
	lines := scripts.Lines(dir, p.File)
	if p.Line < 1 || p.Line > len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[p.Line-1])
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n      ")
}

func elapsed(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// sum ends it with what a person wants to know first.
func (t *tester) sum(took time.Duration) error {
	if t.covered != nil {
		if err := t.tellCover(); err != nil {
			return err
		}
	}
	switch {
	case t.passed+t.failed == 0 && t.only.String() != "":
		fmt.Fprintf(t.stderr, "no test matches %q\n", t.only)
	case t.passed+t.failed == 0:
		fmt.Fprintln(t.stderr, "there are no tests: write def test_…(t): into a file scripts/…_test.star")
	default:
		fmt.Fprintf(t.stderr, "%s passed, %d failed (%s)\n", number(t.passed, "test"), t.failed, took.Round(time.Millisecond))
	}
	if t.failed > 0 {
		return errProblems
	}
	return nil
}

// tellCover prints the share of each script that was executed, and the lines that
// were not; with --json on standard error.
func (t *tester) tellCover() error {
	for _, f := range t.covered.Files() {
		missing := ""
		if len(f.Missing) > 0 {
			missing = "   not reached: " + ranges(f.Missing)
		}
		w := t.stdout
		if t.json {
			w = t.stderr
		}
		if _, err := fmt.Fprintf(w, "%3d%%  %s%s\n", f.Percent(), f.File, missing); err != nil {
			return err
		}
	}
	return nil
}

// ranges writes 3, 5-8, 12.
func ranges(lines []int) string {
	var parts []string
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		text := strconv.Itoa(lines[i])
		if j > i {
			text += "-" + strconv.Itoa(lines[j])
		}
		parts = append(parts, text)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
