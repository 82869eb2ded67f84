package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance"
	"larkspur/appliance/command"
	"larkspur/appliance/config"
	"larkspur/appliance/trial"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/scripts"
	"larkspur/scripts/library"
	"larkspur/ui/api"
)

// documents are the pages whose examples are executed.
var documents = append([]string{"README.md", "docs/GUIDE.md", "docs/USE-CASES.md"}, playbookPages()...)

// block is one fenced example: ```LANGUAGE SHAPE.
type block struct {
	file            string
	line            int
	language, shape string
	text            string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

var fence = regexp.MustCompile("(?ms)^```([a-z]*) ?([a-z]*)\n(.*?)^```$")

// blocks returns the examples in one of some languages.
func blocks(t *testing.T, languages ...string) []block {
	t.Helper()
	var found []block
	for _, file := range documents {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatchIndex(string(text), -1) {
			part := func(n int) string { return string(text[m[2*n]:m[2*n+1]]) }
			b := block{file, 1 + bytes.Count(text[:m[0]], []byte("\n")), part(1), part(2), part(3)}
			if slices.Contains(languages, b.language) {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no examples in %v", languages)
	}
	return found
}

// checker checks workspaces with the real worker.
type checker struct{ pool *sandbox.Pool }

func newChecker(t *testing.T) *checker {
	t.Helper()
	pool, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(t), Hello: appliance.Hello()})
	if err != nil {
		t.Fatal(err)
	}
	var running errgroup.Group
	running.Go(func() error { return pool.Run(t.Context()) })
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		_ = running.Wait() // ended by Close
	})
	return &checker{pool}
}

// problems are what check finds in a workspace of these files, without what
// concerns the box that runs it.
func (c *checker) problems(t *testing.T, files map[string]string) []engine.Problem {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	found, err := config.Check(t.Context(), dir, library.Files(), c.pool)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(p engine.Problem) bool { return p.Check == "secret" || p.Check == "role" })
}

// home is the guide's own larkspur.yaml: its names are those of all examples.
func home(t *testing.T) string {
	t.Helper()
	for _, b := range blocks(t, "yaml") {
		if strings.HasPrefix(b.text, "# "+config.WorkspaceFile) {
			return b.text
		}
	}
	t.Fatal("the guide has no larkspur.yaml")
	return ""
}

func TestExamplesOfConfigurationLoad(t *testing.T) {
	for _, b := range blocks(t, "yaml") {
		if strings.HasPrefix(b.text, switchesOn) {
			continue
		}
		first, _, _ := strings.Cut(b.text, "\n")
		name := strings.TrimPrefix(first, "# ")
		files := map[string]string{config.WorkspaceFile: home(t), name: b.text}
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name == "answers.yaml" {
			if _, problems := config.LoadAnswers(filepath.Join(dir, name), builtins.Signatures()); len(problems) > 0 {
				t.Errorf("%s: %v", b, problems)
			}
			continue
		}
		if _, problems := config.Load(dir); scripts.HasError(problems) || name != config.WorkspaceFile && len(problems) > 0 {
			t.Errorf("%s: %s: %v", b, name, problems)
		}
	}
}

// prelude is what the examples take for granted.
const prelude = "PHONE = \"02:00:00:00:00:01\"\n"

func TestExamplesOfScriptsLoad(t *testing.T) {
	c := newChecker(t)
	for _, b := range blocks(t, "python") {
		if b.shape == "test" {
			continue
		}
		files := map[string]string{config.WorkspaceFile: home(t), "scripts/example.star": prelude + b.text}
		for _, p := range c.problems(t, files) {
			t.Errorf("%s:%d: %s (%s)", b.file, b.line+p.Line-strings.Count(prelude, "\n"), p.Message, p.Hint)
		}
	}
}

// switchesOn begins an example that switches on the playbooks of the one above it,
// whose file each of its lines names.
const switchesOn = "playbooks:\n"

// TestExamplesOfPlaybooksAreSwitchedOn: the whole workspace of a playbook with
// parameters.
func TestExamplesOfPlaybooksAreSwitchedOn(t *testing.T) {
	c, shown := newChecker(t), 0
	file := regexp.MustCompile(`- ([a-z/]+\.star):`)
	for _, b := range blocks(t, "yaml") {
		if !strings.HasPrefix(b.text, switchesOn) || strings.HasPrefix(b.file, playbooksFolder) {
			continue
		}
		shown++
		var script string
		for _, other := range blocks(t, "python") {
			if other.file == b.file && other.line < b.line {
				script = other.text
			}
		}
		files := map[string]string{config.WorkspaceFile: home(t) + b.text, "scripts/" + file.FindStringSubmatch(b.text)[1]: script}
		for _, p := range c.problems(t, files) {
			t.Errorf("%s: %s:%d: %s (%s)", b, p.File, p.Line, p.Message, p.Hint)
		}
	}
	if shown == 0 {
		t.Error("no example switches a playbook on")
	}
}

// TestExamplesOfTestsPass runs each test of the documents against the playbook
// whose rule it triggers.
func TestExamplesOfTestsPass(t *testing.T) {
	tests, runs := newChecker(t), newChecker(t)
	trigger := regexp.MustCompile(`t\.trigger\("([a-z-]+)"`)
	ran := 0
	for _, b := range blocks(t, "python") {
		if b.shape != "test" {
			continue
		}
		rule := trigger.FindStringSubmatch(b.text)[1]
		dir := t.TempDir()
		write(t, dir, map[string]string{config.WorkspaceFile: home(t), "scripts/example.star": prelude + playbookOf(t, b.file, rule), "scripts/example_test.star": b.text})
		settings, _ := config.Load(dir) // without the box some things are missing, which tests do not need
		bench, live, err := trial.OpenBench(t.Context(), trial.Workspace{
			Dir: dir, Library: library.Files(), Config: settings, Evaluator: appliance.Evaluator,
		}, tests.pool, runs.pool)
		if err != nil || !live.OK() {
			t.Fatalf("%s: %v, %v", b, err, live.Snapshot.Problems)
		}
		for _, test := range live.Tests {
			ran++
			if r, err := bench.Run(t.Context(), test); err != nil || r.Status != trial.Passed {
				t.Errorf("%s: %s: %v, %s: %s %s", b, test.Name, err, r.At, r.Message, r.Hint)
			}
		}
	}
	if ran < 4 {
		t.Errorf("got %d tests in the documents, want more", ran)
	}
}

// playbookOf returns the example of a document that declares a rule.
func playbookOf(t *testing.T, file, rule string) string {
	t.Helper()
	for _, b := range blocks(t, "python") {
		if b.file == file && b.shape == "" && strings.Contains(b.text, fmt.Sprintf("rule(name = %q", rule)) {
			return b.text
		}
	}
	t.Fatalf("%s: no example declares the rule %q", file, rule)
	return ""
}

// write writes files into a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExamplesOfBuiltinsLoad(t *testing.T) {
	c := newChecker(t)
	example := regexp.MustCompile("(?s)```python\n(.*?)```")
	workspace := strings.Replace(home(t), "  http:\n", "  http:\n    resolver: {url: https://192.0.2.53}\n", 1)
	for _, s := range builtins.Signatures() {
		page, ok := builtins.Doc(s.Name)
		if !ok || s.Internal {
			continue
		}
		for _, m := range example.FindAllStringSubmatch(page, -1) {
			source := prelude + "def example(i, a = None, e = None):\n    " + strings.ReplaceAll(strings.TrimSpace(m[1]), "\n", "\n    ") +
				"\nrule(name = \"example\", when = on.webhook(\"hello\"), do = example)\n"
			for _, p := range c.problems(t, map[string]string{config.WorkspaceFile: workspace, "scripts/example.star": source}) {
				t.Errorf("%s: %s (%s)\n%s", s.Name, p.Message, p.Hint, m[1])
			}
		}
	}
}

func TestExamplesOfCommandsAreKnown(t *testing.T) {
	tested := 0
	for _, b := range append(blocks(t, "sh", ""), rows(t)...) {
		for n, line := range strings.Split(b.text, "\n") {
			args, ours := larkspur(line)
			if !ours {
				continue
			}
			tested++
			var out, said bytes.Buffer
			if code := command.Main(append(args, "--help"), strings.NewReader(""), &out, &said); code != 0 {
				t.Errorf("%s:%d: larkspur %s: %s", b.file, b.line+n+1, strings.Join(args, " "), said.String())
			}
			usage, _, _ := strings.Cut(out.String(), "\n")
			if strings.Contains(usage, "list") || strings.Contains(usage, "|") {
				if word := subcommand(args); word != "" && !regexp.MustCompile(`\b`+word+`\b`).MatchString(usage) {
					t.Errorf("%s:%d: larkspur %s: %s knows no %s", b.file, b.line+n+1, strings.Join(args, " "), args[0], word)
				}
			}
		}
	}
	if tested < 30 {
		t.Errorf("got %d commands in the documents, want more", tested)
	}
}

// larkspur returns the arguments of a line that calls us.
func larkspur(line string) ([]string, bool) {
	line, _, _ = strings.Cut(line, "  #")
	line = strings.Replace(line, "go run . ", "larkspur ", 1)
	line = strings.NewReplacer("./larkspur ", "larkspur ", "/usr/local/bin/larkspur ", "larkspur ").Replace(line)
	m := regexp.MustCompile(`^(?:sudo )?larkspur (.*)$`).FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return nil, false
	}
	rest, _, _ := strings.Cut(m[1], " > ")
	var args []string
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(rest, -1) {
		args = append(args, strings.Trim(w, `"`))
	}
	return args, len(args) > 0
}

// subcommand is the first argument of a command that is no option and no
// option's value.
func subcommand(args []string) string {
	for i := 1; i < len(args); i++ {
		switch {
		case args[i] == "--json":
		case strings.HasPrefix(args[i], "-"):
			i++
		default:
			return args[i]
		}
	}
	return ""
}

// rows are the commands of tables: what stands between backticks.
func rows(t *testing.T) []block {
	t.Helper()
	var found []block
	quoted := regexp.MustCompile("`(larkspur [^`…]+)`")
	for _, file := range documents {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			for _, m := range quoted.FindAllStringSubmatch(line, -1) {
				plain := regexp.MustCompile(`\[[A-Z]+\]`).ReplaceAllString(m[1], "")
				if !regexp.MustCompile(`^larkspur (help|fmt|token|backup)\b`).MatchString(plain) {
					found = append(found, block{file: file, line: n, text: plain})
				}
			}
		}
	}
	return found
}

// shapes are the types of which the documents' JSON must be.
func shapes() map[string]any {
	return map[string]any{
		"check": &engine.Problem{}, "test": &command.TestLine{}, "replay": &command.ReplayLine{}, "replayrun": &command.ReplayRun{}, "event": &command.ReplayEvent{}, "run": &api.Run{}, "error": &api.Failure{},
		"list": &api.List[engine.Incident]{}, "hook": &struct {
			Event string `json:"event"`
		}{},
		"report": &struct {
			Subject  string `json:"subject"`
			Text     string `json:"text"`
			Reporter string `json:"reporter"`
		}{},
	}
}

func TestExamplesOfJSONHaveTheirShape(t *testing.T) {
	for _, b := range blocks(t, "json") {
		if b.shape == "dns" {
			sameKeys(t, b, firstMessage(t))
			continue
		}
		v, known := shapes()[b.shape]
		if !known {
			t.Errorf("%s: got the shape %q, want one of shapes", b, b.shape)
			continue
		}
		dec := json.NewDecoder(strings.NewReader(b.text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if b.shape == "event" {
			continue // its optional parts may be left out
		}
		wrote, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		sameKeys(t, b, wrote)
	}
}

// firstMessage is what larkspur dns prints.
func firstMessage(t *testing.T) []byte {
	t.Helper()
	var out, said bytes.Buffer
	if code := command.Main([]string{"dns", "appliance/demo/netflix.pcap"}, strings.NewReader(""), &out, &said); code != 0 {
		t.Fatal(said.String())
	}
	first, _, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	return first
}

// sameKeys holds the keys of an example against those that we write.
func sameKeys(t *testing.T, b block, wrote []byte) {
	t.Helper()
	var want, got any
	if err := json.Unmarshal([]byte(b.text), &got); err != nil {
		t.Errorf("%s: %v", b, err)
		return
	}
	if err := json.Unmarshal(wrote, &want); err != nil {
		t.Fatal(err)
	}
	if g, w := keys(got, ""), keys(want, ""); !reflect.DeepEqual(g, w) {
		t.Errorf("%s: got the keys %v, want %v", b, g, w)
	}
}

func keys(v any, path string) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			list = append(append(list, path+"."+k), keys(x, path+"."+k)...)
		}
	case []any:
		for _, x := range v {
			list = append(list, keys(x, path+"[]")...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestGuideListsTheAPI holds the guide's table against the calls that there are.
func TestGuideListsTheAPI(t *testing.T) {
	text, err := os.ReadFile("docs/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, real []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(GET|POST) (/[^` ]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, m[1]+" "+m[2])
	}
	for _, op := range api.Operations() {
		real = append(real, op.Method+" "+op.Path)
	}
	slices.Sort(listed)
	slices.Sort(real)
	if !reflect.DeepEqual(listed, real) {
		t.Errorf("got  %v\nwant %v", listed, real)
	}
}

// TestDocumentsLinkToWhatThereIs: files, and headings of the guide.
func TestDocumentsLinkToWhatThereIs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, file := range documents {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			at := file
			if target != "" {
				at = filepath.Join(filepath.Dir(file), target)
			}
			page, err := os.ReadFile(at)
			if err != nil {
				t.Errorf("%s: %s leads nowhere", file, m[1])
			} else if anchor != "" && !slices.Contains(headings(string(page)), anchor) {
				t.Errorf("%s: %s: there is no such heading", file, m[1])
			}
		}
	}
}

// headings are the anchors that a page's headings get.
func headings(page string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	return list
}
